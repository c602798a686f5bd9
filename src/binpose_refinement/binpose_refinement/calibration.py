"""Maps measured evidence to the probability that a pose is right; better evidence never lowers it.

The log-odds are a sum of one function per piece of evidence (a generalised additive model, Hastie and Tibshirani
1986). Each function is piecewise linear, and its slopes are constrained to be non-negative. It is therefore monotone
for any samples, and small changes of the evidence change the score little. Each part has its own functions, because the
same evidence means different things: a pose of a block may fit well and yet be turned by half a turn. They can lower a
score as far as the samples say, but raise it only a little: in samples in which nearly all poses of a part are right,
its functions do not learn what a wrong one looks like.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from binpose_core.base.errors import ModelRefused
from binpose_core.geometry.transforms import FloatArray
from binpose_refinement.scene_choice import SCENE_EVIDENCE
from binpose_refinement.verification import FEATURES

PREFIX = "calibration."
MIN_SAMPLES = 50

PRIOR: Mapping[str, float] = {
    "explained": 4.0,
    "solid": 8.0,
    "violation": -4.0,
    "violation_core": -4.0,
    "mask_explained": 2.0,
    "mask_iou": 2.0,
    "mask_in_front": -2.0,
    "visible": 1.0,
    "occluded_unknown": -0.5,
    "stolen": -1.0,
    "normals": 2.0,
    "normals_wrong": -2.0,
    "residual": -1.0,
    "contour_confirmed": 1.0,
    "contour_continued": -1.0,
    "worst_continued": -0.5,
    "evidence": 1.0,
    "duel": 2.0,
    "kind": 3.0,
    "lead": 1.0,
    "company": 2.0,
}
"""The evidence that the score depends on, and the prior log-odds per unit of it.

The sign is a constraint: evidence with a positive one never lowers a score. Only geometric evidence is used. The
confidence of the networks and the clarity of the image edges depend on camera, light and material, and do not transfer
to a camera that no training has seen.
"""
EVIDENCE = tuple(PRIOR)
MARGIN = 0.05
"""How far evidence must lie beyond that limit, as a fraction of the range of the right samples."""
SCENE_PENALTY = 1e-3
"""Of the squared weights of SCENE_EVIDENCE, against the mean cross-entropy."""
SCALES = (0.2, 5.0)
"""Least and largest factor between the log-odds of all poses and those of selected poses."""
HEADROOM = 0.5
"""By how much the log-odds of a part may exceed those of all parts, before they are scaled."""
CAUTION = 4.0
"""Log-odds subtracted for each range of the right samples by which evidence lies outside."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """A monotone additive model of E pieces of evidence for all parts, and for each of P parts; immutable.

    knots: (E, K) increasing support points of the evidence, signed so that higher is better.
    slopes: (1 + P, E, K) >= 0 log-odds: the first column per range below the first knot, then the rise between
        neighbouring knots. The first row is that of all parts; P may be 0.
    bias: (1 + P,) log-odds of the worst evidence.
    headroom: () by how much the log-odds of a part may exceed those of all parts.
    limit, span: (E,) worst value and range of the right samples.
    scene: (S,) <= 0 log-odds per unit of SCENE_EVIDENCE, for poses that were selected as a set.
    """

    knots: FloatArray
    slopes: FloatArray
    bias: FloatArray
    limit: FloatArray
    span: FloatArray
    scene: FloatArray = field(default_factory=lambda: np.zeros(len(SCENE_EVIDENCE)))
    headroom: FloatArray = field(default_factory=lambda: np.array(HEADROOM))

    def __post_init__(self) -> None:
        count = len(EVIDENCE)
        shapes = np.shape(self.limit) == np.shape(self.span) == (count,) and np.shape(self.knots)[:-1] == (count,)
        if not shapes or np.shape(self.slopes) != (*np.shape(self.bias), *np.shape(self.knots)) or self.parts < 0:
            raise ModelRefused(
                f"A calibration for evidence of shape {np.shape(self.knots)}; expected {count} rows "
                f"({', '.join(EVIDENCE)}); the model is damaged: train it again."
            )
        if np.shape(self.scene) != (len(SCENE_EVIDENCE),) or np.max(self.scene) > 0:
            raise ModelRefused(
                f"A calibration with scene weights {np.asarray(self.scene).tolist()}; expected {len(SCENE_EVIDENCE)} "
                f"of 0 or less ({', '.join(SCENE_EVIDENCE)}); the model is damaged: train it again."
            )
        if np.min(self.slopes) < 0:
            raise ModelRefused(
                "A calibration with a negative slope; expected slopes of 0 or more, so that better evidence never "
                "lowers a score; the model is damaged: train it again."
            )

    @property
    def parts(self) -> int:
        """P, the number of parts with functions of their own; 0 where all parts share them."""
        return np.size(self.bias) - 1

    def __call__(self, features: FloatArray, part: npt.ArrayLike) -> FloatArray:
        """Probabilities (B,) in [0, 1].

        Args:
            features: (B, F) in the order of FEATURES.
            part: (B,) or () index of the pose's object in the model; without effect where all parts share one row.
        """
        x = signed_evidence(features)
        terms = basis(x, self.knots, self.span)
        logits = self.bias[0] + (terms * self.slopes[0]).sum((1, 2))
        if self.parts:
            row = 1 + np.asarray(part)
            logits = np.minimum(self.bias[row] + (terms * self.slopes[row]).sum((1, 2)), logits + self.headroom)
        return sigmoid(logits - CAUTION * self._excess(x).sum(1))

    def out_of_distribution(self, features: FloatArray) -> npt.NDArray[np.bool_]:
        """(B,) whether any evidence is worse than that of nearly all right samples; features (B, F)."""
        return np.asarray((self._excess(signed_evidence(features)) > 0).any(1))

    def _excess(self, x: FloatArray) -> FloatArray:
        """(B, E) how far evidence lies beyond the limit, in ranges of the right samples."""
        return np.maximum((self.limit - x) / self.span - MARGIN, 0.0)

    def of_scene(self, scores: FloatArray, scene: FloatArray) -> FloatArray:
        """The probabilities (M,) of poses that were selected as a set.

        Args:
            scores: (M,) of this calibration for each pose by itself.
            scene: (M, S) in the order of SCENE_EVIDENCE; more of it never raises a score.
        """
        return np.where(scores > 0, sigmoid(log_odds(scores) + scene @ self.scene), 0.0)

    def scaled(self, scores: FloatArray, scene: FloatArray, correct: npt.NDArray[np.bool_]) -> "Calibration":
        """The same calibration with scores that are probabilities for poses selected as a set.

        The selection changes the probability that belongs to a score. The log-odds are scaled and shifted (Platt 1999),
        and each piece of evidence that only the set gives may lower them. The selection depends on the scores: poses
        that were selected with the result may be scaled again.

        Args:
            scores: (N,) above 0, of selected poses, as the refiner with this calibration gives them.
            scene: (N, S) their evidence, in the order of SCENE_EVIDENCE.
            correct: (N,) whether they are right.
        """
        if len(scores) < MIN_SAMPLES or np.all(correct) or not np.any(correct):
            return self
        logits, y = log_odds(scores), np.asarray(correct, np.float64)

        def cross_entropy(parameters: FloatArray) -> float:
            scaled = parameters[0] * logits + parameters[1] + scene @ parameters[2:]
            return float((np.logaddexp(0.0, scaled) - y * scaled).mean() + SCENE_PENALTY * (parameters[2:] ** 2).sum())

        count = len(SCENE_EVIDENCE)
        bounds = [SCALES, (None, None), *[(None, 0.0)] * count]
        fitted = minimize(cross_entropy, [1.0, 0.0, *np.zeros(count)], method="L-BFGS-B", bounds=bounds).x
        factor, shift = fitted[:2]
        return replace(
            self,
            slopes=factor * self.slopes,
            bias=factor * self.bias + shift,
            headroom=factor * self.headroom,
            scene=np.minimum(factor * self.scene + fitted[2:], 0.0),
        )

    def to_tensors(self) -> dict[str, npt.NDArray[np.float32]]:
        """Named float32 arrays for the model bundle."""
        return {PREFIX + name: np.asarray(value, np.float32) for name, value in vars(self).items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray[Any]]) -> "Calibration | None":
        """The calibration stored in a model bundle; None if it holds none, or one of other evidence or of another type.

        Raises:
            BinposeError: for a damaged calibration.
        """
        ours = {key: value for key, value in tensors.items() if key.startswith(PREFIX)}
        found = {key[len(PREFIX) :]: np.asarray(value, np.float64) for key, value in ours.items()}
        if not found or "hidden" in found:
            return None
        found.setdefault("scene", np.zeros(len(SCENE_EVIDENCE)))  # earlier versions stored none of these two
        found.setdefault("headroom", np.array(HEADROOM))
        if "slopes" in found and found["slopes"].ndim == 2:  # and had one row for all parts
            found |= {name: found[name][None] for name in ("slopes", "bias") if name in found}
        missing = set(cls.__dataclass_fields__) - set(found)
        if missing:
            raise ModelRefused(
                f"The stored calibration lacks {', '.join(sorted(missing))}; expected the tensors of "
                "`Calibration.to_tensors`; the model bundle is damaged: train it again."
            )
        if len(np.atleast_1d(found["limit"])) != len(EVIDENCE):
            return None
        return cls(**{name: found[name] for name in cls.__dataclass_fields__})


def log_odds(scores: FloatArray) -> FloatArray:
    """Log-odds of probabilities, finite also for 0 and 1."""
    odds = np.clip(scores, 1e-9, 1 - 1e-9)
    return np.asarray(np.log(odds / (1.0 - odds)))


def signed_evidence(features: FloatArray) -> FloatArray:
    """(B, E) the evidence among features (B, F), signed so that higher always supports the pose."""
    columns = [FEATURES.index(name) for name in EVIDENCE]
    return np.asarray(features, np.float64)[:, columns] * np.sign([*PRIOR.values()])


def basis(x: FloatArray, knots: FloatArray, span: FloatArray) -> FloatArray:
    """(B, E, K) weight of each slope at signed evidence (B, E): below the first knot, then per interval."""
    below = np.minimum(x - knots[:, 0], 0.0) / span
    low, high = knots[:, :-1], knots[:, 1:]
    inside = np.clip((x[..., None] - low) / np.maximum(high - low, 1e-9), 0.0, 1.0)
    return np.concatenate([below[..., None], inside], -1)


def sigmoid(logits: FloatArray) -> FloatArray:
    """Probabilities of log-odds of any shape."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0))))
