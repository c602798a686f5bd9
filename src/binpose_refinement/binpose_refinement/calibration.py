"""Maps measured evidence to the probability that a pose is right; better evidence never lowers it.

The log-odds are a sum of one function per piece of evidence (a generalised additive model, Hastie and Tibshirani
1986). Each function is piecewise linear, and its slopes are constrained to be non-negative. It is therefore monotone
for any samples, and small changes of the evidence change the score little.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from binpose_core.base.errors import BinposeError, ModelRefused
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
KNOTS = 8
"""Support points of each function, at quantiles of the samples."""
RARE = 0.002
"""Fraction of the right samples beyond which evidence counts as out of distribution."""
LEAST_SPAN = 0.2
"""Least range of the right samples, so that tiny differences between nearly equal samples do not count."""
MARGIN = 0.05
"""How far evidence must lie beyond that limit, as a fraction of the range of the right samples."""
PRIOR_WEIGHT = 0.003
"""Weight of a squared deviation of one from the prior's log-odds, as a fraction of the number of samples."""
OPTIMISER = {"maxiter": 5000, "maxfun": 20000, "ftol": 1e-12, "gtol": 1e-8, "maxcor": 50}
SCENE_PENALTY = 1e-3
"""Of the squared weights of SCENE_EVIDENCE, against the mean cross-entropy."""
SCALES = (0.2, 5.0)
"""Least and largest factor between the log-odds of all poses and those of selected poses."""
CAUTION = 4.0
"""Log-odds subtracted for each range of the right samples by which evidence lies outside."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """A monotone additive model of E pieces of evidence; immutable.

    knots: (E, K) increasing support points of the evidence, signed so that higher is better.
    slopes: (E, K) >= 0 log-odds: the first column per range below the first knot, then the rise between neighbouring
        knots.
    bias: () log-odds of the worst evidence.
    limit, span: (E,) worst value and range of the right samples.
    scene: (S,) <= 0 log-odds per unit of SCENE_EVIDENCE, for poses that were selected as a set.
    """

    knots: FloatArray
    slopes: FloatArray
    bias: FloatArray
    limit: FloatArray
    span: FloatArray
    scene: FloatArray = field(default_factory=lambda: np.zeros(len(SCENE_EVIDENCE)))

    def __post_init__(self) -> None:
        count = len(EVIDENCE)
        shapes = np.shape(self.limit) == np.shape(self.span) == (count,) and np.shape(self.bias) == ()
        if not shapes or np.shape(self.knots) != np.shape(self.slopes) or np.shape(self.knots)[:-1] != (count,):
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

    def __call__(self, features: FloatArray) -> FloatArray:
        """Probabilities (B,) in [0, 1].

        Args:
            features: (B, F) in the order of FEATURES.
        """
        x = signed_evidence(features)
        contributions = (basis(x, self.knots, self.span) * self.slopes).sum((1, 2))
        return _sigmoid(self.bias + contributions - CAUTION * self._excess(x).sum(1))

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
        return np.where(scores > 0, _sigmoid(log_odds(scores) + scene @ self.scene), 0.0)

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
            bias=np.array(factor * self.bias + shift),
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
        found.setdefault("scene", np.zeros(len(SCENE_EVIDENCE)))  # earlier versions stored none
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


def fit_calibration(
    features: FloatArray,
    correct: npt.NDArray[np.bool_],
    weight: FloatArray | None = None,
    prior_weight: float = PRIOR_WEIGHT,
) -> Calibration:
    """Fit by penalised cross-entropy with SciPy's L-BFGS-B, whose bounds keep the slopes non-negative.

    The penalty pulls the slopes towards those of PRIOR, so that evidence which the samples do not need still counts.

    Args:
        features: (N, F) in the order of FEATURES, as `IcpRefiner.candidates` returns them.
        correct: (N,) whether the pose is right.
        weight: (N,) of the samples; default 1 each.
        prior_weight: of a squared deviation of one from the prior's log-odds, as a fraction of the number of samples.

    Raises:
        BinposeError: for too few samples, or only right or only wrong ones.
    """
    features, y = _checked(features, correct)
    x = signed_evidence(features)
    knots, span = _knots(x), np.maximum(np.quantile(x[y > 0], 1 - RARE, 0) - np.quantile(x[y > 0], RARE, 0), LEAST_SPAN)
    prior = np.abs([*PRIOR.values()])[:, None] * np.column_stack([span, np.diff(knots, axis=1)])
    weight = np.ones(len(y)) if weight is None else weight
    slopes, bias = _fitted(basis(x, knots, span), y, weight, prior, prior_weight * len(y))
    return Calibration(knots, slopes, np.array(bias), np.quantile(x[y > 0], RARE, 0), span)


def _checked(features: FloatArray, correct: npt.NDArray[Any]) -> tuple[FloatArray, FloatArray]:
    x, y = np.asarray(features, np.float64), np.asarray(correct, np.float64)
    if x.ndim != 2 or x.shape[1] != len(FEATURES) or y.shape != (len(x),):
        raise BinposeError(
            f"Calibration data of shapes {x.shape} and {y.shape}; expected (N, {len(FEATURES)}) features and (N,) "
            "labels, as `IcpRefiner.candidates` gives them."
        )
    if not np.isfinite(x).all():
        raise BinposeError("Calibration features hold NaN or infinity; leave those candidates out.")
    if len(x) < MIN_SAMPLES or y.min() == y.max():
        raise BinposeError(
            f"{len(x)} calibration samples of which {int(y.sum())} are right; expected at least {MIN_SAMPLES} with "
            "both kinds; collect candidates from more frames."
        )
    return x, y


def _knots(x: FloatArray) -> FloatArray:
    """(E, K) support points at quantiles of signed evidence (N, E), at least a little apart."""
    knots = np.quantile(x, np.linspace(0.01, 0.99, KNOTS), axis=0).T
    return np.asarray(np.maximum.accumulate(knots + 1e-6 * np.arange(KNOTS), axis=1))


def _fitted(
    terms: FloatArray, y: FloatArray, weight: FloatArray, prior: FloatArray, penalty: float
) -> tuple[FloatArray, float]:
    """Slopes (E, K) >= 0 and bias that minimise the penalised cross-entropy for terms (N, E, K)."""
    count, shape = len(y), terms.shape[1:]
    design, expected = terms.reshape(count, -1), prior.ravel()
    middle = design.mean(0)
    design = design - middle  # makes the bias independent of the slopes: the problem is far better conditioned

    def objective(parameters: FloatArray) -> tuple[float, FloatArray]:
        slopes = parameters[1:]
        logits = parameters[0] + design @ slopes
        loss = (weight * (np.logaddexp(0.0, logits) - y * logits)).sum() + penalty * ((slopes - expected) ** 2).sum()
        error = weight * (_sigmoid(logits) - y)
        gradient = np.concatenate([[error.sum()], design.T @ error + 2 * penalty * (slopes - expected)])
        return float(loss) / count, gradient / count

    bounds = [(None, None), *[(0.0, None)] * design.shape[1]]
    best = minimize(
        objective, np.concatenate([[0.0], expected]), jac=True, method="L-BFGS-B", bounds=bounds, options=OPTIMISER
    ).x
    return best[1:].reshape(shape), float(best[0] - middle @ best[1:])


def _sigmoid(logits: FloatArray) -> FloatArray:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0))))
