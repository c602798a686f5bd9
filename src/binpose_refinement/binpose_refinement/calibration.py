"""From measured evidence to the probability that a pose is right, never lower for better evidence.

The log-odds are a sum of one function per piece of evidence (a generalised additive model, Hastie and Tibshirani
1986). Each function is piecewise linear and monotone, because its slopes are not negative by construction. No
evidence can therefore be read the wrong way round, whatever the samples were, and small changes of the evidence
change the score little.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from binpose_core.base.errors import BinposeError, ModelRefused
from binpose_core.geometry.transforms import FloatArray
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
"""The evidence that decides, and the log-odds per unit of it where samples do not show otherwise.

The sign is a law: evidence with a positive one never lowers a score. Only geometry counts: what the networks say of
their own certainty, and how clear the image's edges are, changes with camera, light and material, and means little on
a camera that no training has seen.
"""
EVIDENCE = tuple(PRIOR)
KNOTS = 8
"""Support points of each function, at quantiles of the samples."""
RARE = 0.002
"""Share of the right samples beyond which evidence counts as outside of what was seen."""
LEAST_SPAN = 0.2
"""Least range of the right samples: where they are all alike, a little difference says little."""
MARGIN = 0.05
"""How far evidence must lie beyond that limit, as a share of the range of the right samples."""
PRIOR_WEIGHT = 0.003
"""Of a squared deviation of one from the prior's log-odds, as a share of the samples."""
OPTIMISER = {"maxiter": 5000, "maxfun": 20000, "ftol": 1e-12, "gtol": 1e-8, "maxcor": 50}
SCALES = (0.2, 5.0)
"""Least and largest factor between the log-odds of all poses and those of selected ones."""
CAUTION = 4.0
"""Log-odds that evidence loses for each range of the right samples by which it lies outside."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """A monotone additive model of E pieces of evidence; immutable.

    knots: (E, K) increasing support points of the evidence, signed so that higher is better. slopes: (E, K) >= 0
    log-odds: in the first column per range below the first knot, then the rise between neighbouring knots.
    bias: () log-odds of the worst evidence. limit, span: (E,) where the right samples end on the bad side, and their
    range.
    """

    knots: FloatArray
    slopes: FloatArray
    bias: FloatArray
    limit: FloatArray
    span: FloatArray

    def __post_init__(self) -> None:
        count = len(EVIDENCE)
        shapes = np.shape(self.limit) == np.shape(self.span) == (count,) and np.shape(self.bias) == ()
        if not shapes or np.shape(self.knots) != np.shape(self.slopes) or np.shape(self.knots)[:-1] != (count,):
            raise ModelRefused(
                f"A calibration for evidence of shape {np.shape(self.knots)}; expected {count} rows "
                f"({', '.join(EVIDENCE)}); the model is damaged: train it again."
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
        """(B,) whether some evidence is worse than that of nearly all right samples; features (B, F)."""
        return np.asarray((self._excess(signed_evidence(features)) > 0).any(1))

    def _excess(self, x: FloatArray) -> FloatArray:
        """(B, E) how far evidence lies outside on the bad side, in ranges of the right samples."""
        return np.maximum((self.limit - x) / self.span - MARGIN, 0.0)

    def scaled(self, scores: FloatArray, correct: npt.NDArray[np.bool_]) -> "Calibration":
        """The same order of poses, with scores that are probabilities for poses that were selected by score.

        Selection changes what a score means: of each detection the best pose is reported. The log-odds are scaled and
        shifted (Platt 1999) to fit poses that this calibration has scored and the refiner has selected.

        Args:
            scores: (N,) of selected poses.
            correct: (N,) whether they are right.
        """
        if len(scores) < MIN_SAMPLES or np.all(correct) or not np.any(correct):
            return self
        odds, y = np.clip(scores, 1e-9, 1 - 1e-9), np.asarray(correct, np.float64)
        logits = np.log(odds / (1.0 - odds))

        def cross_entropy(parameters: FloatArray) -> float:
            scaled = parameters[0] * logits + parameters[1]
            return float((np.logaddexp(0.0, scaled) - y * scaled).mean())

        factor, shift = minimize(cross_entropy, [1.0, 0.0], method="L-BFGS-B", bounds=[SCALES, (None, None)]).x
        return replace(self, slopes=factor * self.slopes, bias=np.array(factor * self.bias + shift))

    def to_tensors(self) -> dict[str, npt.NDArray[np.float32]]:
        """Named float32 arrays for the model bundle."""
        return {PREFIX + name: np.asarray(value, np.float32) for name, value in vars(self).items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray[Any]]) -> "Calibration | None":
        """The calibration stored in a model bundle; None if it holds none, or one of other evidence or another kind.

        Raises:
            BinposeError: for a damaged calibration.
        """
        ours = {key: value for key, value in tensors.items() if key.startswith(PREFIX)}
        found = {key[len(PREFIX) :]: np.asarray(value, np.float64) for key, value in ours.items()}
        if not found or "hidden" in found:
            return None
        missing = set(cls.__dataclass_fields__) - set(found)
        if missing:
            raise ModelRefused(
                f"The stored calibration lacks {', '.join(sorted(missing))}; expected the tensors of "
                "`Calibration.to_tensors`; the model bundle is damaged: train it again."
            )
        if len(np.atleast_1d(found["limit"])) != len(EVIDENCE):
            return None
        return cls(**{name: found[name] for name in cls.__dataclass_fields__})


def signed_evidence(features: FloatArray) -> FloatArray:
    """(B, E) the evidence among features (B, F), signed so that higher always speaks for the pose."""
    columns = [FEATURES.index(name) for name in EVIDENCE]
    return np.asarray(features, np.float64)[:, columns] * np.sign([*PRIOR.values()])


def basis(x: FloatArray, knots: FloatArray, span: FloatArray) -> FloatArray:
    """(B, E, K) how much of each slope counts at signed evidence (B, E): below the first knot, then per interval."""
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
    """Fit by penalised cross-entropy with SciPy's L-BFGS-B, whose bounds keep the slopes from being negative.

    The penalty draws the slopes to those of PRIOR: evidence that the samples happen not to need still counts.

    Args:
        features: (N, F) in the order of FEATURES, as `IcpRefiner.candidates` gives them.
        correct: (N,) whether the pose is right.
        weight: (N,) of the samples; default 1 each.
        prior_weight: of a squared deviation of one from the prior's log-odds, as a share of the samples.

    Raises:
        BinposeError: for too few samples or only one kind of them.
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
    design = design - middle  # a bias that does not hang on the slopes: the problem is far better conditioned

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
