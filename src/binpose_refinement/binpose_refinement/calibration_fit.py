"""Fits a calibration: first one model of all parts, then for each part its deviations from it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import FloatArray
from binpose_refinement.calibration import MIN_SAMPLES, PRIOR, Calibration, basis, sigmoid, signed_evidence
from binpose_refinement.verification import FEATURES

KNOTS = 8
"""Support points of each function, at quantiles of the samples."""
RARE = 0.002
"""Fraction of the right samples beyond which evidence counts as out of distribution."""
LEAST_SPAN = 0.2
"""Least range of the right samples, so that tiny differences between nearly equal samples do not count."""
PRIOR_WEIGHT = 0.003
"""Weight of a squared deviation of one from the prior's log-odds, as a fraction of the number of samples."""
PART_SLOPE_WEIGHT, PART_BIAS_WEIGHT = 1.5, 0.1
"""The same for what a part's slopes and mean log-odds deviate from those of all parts, in samples."""
OPTIMISER = {"maxiter": 5000, "maxfun": 20000, "ftol": 1e-12, "gtol": 1e-8, "maxcor": 50}


def fit_calibration(
    features: FloatArray,
    correct: npt.NDArray[np.bool_],
    weight: FloatArray | None = None,
    part: npt.NDArray[np.int64] | None = None,
    parts: int = 0,
    prior_weight: float = PRIOR_WEIGHT,
) -> Calibration:
    """Fit by penalised cross-entropy with SciPy's L-BFGS-B, whose bounds keep the slopes non-negative.

    The penalty pulls the slopes towards those of PRIOR, so that evidence which the samples do not need still counts.
    The functions of a part are pulled towards those of all parts; a part without samples has exactly these.

    Args:
        features: (N, F) in the order of FEATURES, as `IcpRefiner.candidates` returns them.
        correct: (N,) whether the pose is right.
        weight: (N,) of the samples; default 1 each.
        part: (N,) index of each sample's object in the model; None for functions of all parts alone.
        parts: number of the model's objects.
        prior_weight: of a squared deviation of one from the prior's log-odds, as a fraction of the number of samples.

    Raises:
        BinposeError: for too few samples, or only right or only wrong ones.
    """
    features, y = _checked(features, correct)
    x = signed_evidence(features)
    knots, span = _knots(x), np.maximum(np.quantile(x[y > 0], 1 - RARE, 0) - np.quantile(x[y > 0], RARE, 0), LEAST_SPAN)
    prior = np.abs([*PRIOR.values()])[:, None] * np.column_stack([span, np.diff(knots, axis=1)])
    weight, terms = np.ones(len(y)) if weight is None else weight, basis(x, knots, span)
    shared = _fitted(terms, y, weight, _Prior(prior, prior_weight * len(y)))
    fitted = [shared]
    if part is not None:
        expected = _Prior(shared[0], PART_SLOPE_WEIGHT, shared[1], PART_BIAS_WEIGHT)
        chosen = [np.flatnonzero(part == number) for number in range(parts)]
        fitted += [_fitted(terms[i], y[i], weight[i], expected) if len(i) else shared for i in chosen]
    slopes, bias = (np.array(values) for values in zip(*fitted, strict=True))
    return Calibration(knots, slopes, bias, np.quantile(x[y > 0], RARE, 0), span)


@dataclass(frozen=True)
class _Prior:
    """slopes (E, K) and bias that are expected, and the weights of squared deviations from them."""

    slopes: FloatArray
    slope_weight: float
    bias: float = 0.0
    bias_weight: float = 0.0


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


def _fitted(terms: FloatArray, y: FloatArray, weight: FloatArray, prior: _Prior) -> tuple[FloatArray, float]:
    """Slopes (E, K) >= 0 and bias that minimise the penalised cross-entropy for terms (N, E, K)."""
    count, shape = len(y), terms.shape[1:]
    design, expected = terms.reshape(count, -1), prior.slopes.ravel()
    middle = design.mean(0)
    design = design - middle  # makes the bias independent of the slopes: the problem is far better conditioned
    mean = prior.bias + middle @ expected

    def objective(parameters: FloatArray) -> tuple[float, FloatArray]:
        level, slopes = parameters[0] - mean, parameters[1:] - expected
        logits = parameters[0] + design @ parameters[1:]
        loss = (weight * (np.logaddexp(0.0, logits) - y * logits)).sum()
        loss += prior.slope_weight * (slopes**2).sum() + prior.bias_weight * level**2
        error = weight * (sigmoid(logits) - y)
        of_level = error.sum() + 2 * prior.bias_weight * level
        of_slopes = design.T @ error + 2 * prior.slope_weight * slopes
        return float(loss) / count, np.append(of_level, of_slopes) / count

    bounds = [(None, None), *[(0.0, None)] * design.shape[1]]
    start = np.append(mean if prior.bias_weight else 0.0, expected)
    best = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=OPTIMISER).x
    return best[1:].reshape(shape), float(best[0] - middle @ best[1:])
