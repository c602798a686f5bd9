"""From measured features to the probability that a pose is right."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose_core.errors import BinposeError
from binpose_core.geometry import FloatArray
from binpose_refinement.verification import FEATURES

PREFIX = "calibration."
MIN_SAMPLES = 50
LIMIT = 6.0  # standard deviations beyond which a feature says no more
LEARNING_RATE = 0.03


@dataclass(frozen=True, eq=False)
class Calibration:
    """A perceptron with one hidden layer over standardised features; immutable.

    mean, scale: (F,) of the features; hidden: (F, M) and hidden_bias (M,); out: (M,); skip: (F,) linear
    weights beside the hidden layer; bias: ().
    """

    mean: FloatArray
    scale: FloatArray
    hidden: FloatArray
    hidden_bias: FloatArray
    out: FloatArray
    skip: FloatArray
    bias: FloatArray

    def __post_init__(self) -> None:
        count = len(FEATURES)
        shapes = (np.shape(self.mean), np.shape(self.scale), np.shape(self.skip), np.shape(self.hidden)[:1])
        if any(shape != (count,) for shape in shapes):
            raise BinposeError(
                f"A calibration for {np.shape(self.mean)} features; expected {count} ({', '.join(FEATURES)}); "
                "it was made by another version: fit it again with `binpose train`."
            )

    def __call__(self, features: FloatArray) -> FloatArray:
        """Probabilities (B,) in [0, 1] of features (B, F) in the order of FEATURES."""
        x = np.clip((features - self.mean) / self.scale, -LIMIT, LIMIT)
        return _sigmoid(_logits(x, [self.hidden, self.hidden_bias, self.out, self.skip, self.bias])[0])

    def to_tensors(self) -> dict[str, npt.NDArray[np.float32]]:
        """Named float32 arrays for the model bundle."""
        return {PREFIX + name: np.asarray(value, np.float32) for name, value in vars(self).items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray[Any]]) -> "Calibration | None":
        """The calibration stored in a model bundle, None if it holds none."""
        ours = {key: value for key, value in tensors.items() if key.startswith(PREFIX)}
        found = {key[len(PREFIX) :]: np.asarray(value, np.float64) for key, value in ours.items()}
        if not found:
            return None
        missing = set(cls.__dataclass_fields__) - set(found)
        if missing:
            raise BinposeError(
                f"The stored calibration lacks {', '.join(sorted(missing))}; expected the tensors of "
                "`Calibration.to_tensors`; the model bundle is damaged: train it again."
            )
        return cls(**{name: found[name] for name in cls.__dataclass_fields__})


def fit_calibration(
    features: FloatArray,
    correct: npt.NDArray[np.bool_],
    groups: npt.NDArray[np.integer] | None = None,
    hidden: int = 16,
    weight_decay: float = 1e-3,
    held_out: float = 0.25,
    iterations: int = 300,
    seed: int = 0,
) -> Calibration:
    """Fit by cross-entropy; the number of iterations is chosen on held-out groups.

    Args:
        features: (N, F) in the order of FEATURES, as `IcpRefiner.candidates` gives them.
        correct: (N,) whether the pose is right.
        groups: (N,) frame of each sample; frames are held out whole. None: every sample its own.
        hidden: units of the hidden layer.
        weight_decay: penalty on the squared weights.
        held_out: share of the frames on which the best moment is chosen.
        iterations: steps of Adam over all samples.
        seed: of the first weights and of the frames held out.

    Raises:
        BinposeError: for too few samples or only one kind of them.
    """
    x, y, groups = _checked(features, correct, groups)
    mean, scale = x.mean(0), np.maximum(x.std(0), 1e-3)
    standard = np.clip((x - mean) / scale, -LIMIT, LIMIT)
    rng = np.random.default_rng(seed)
    kinds = np.unique(groups)
    aside = np.isin(groups, rng.permutation(kinds)[: max(1, int(held_out * len(kinds)))])
    parameters = _train(standard, y, aside, hidden, weight_decay, iterations, rng)
    return Calibration(mean, scale, *parameters)


def _checked(
    features: FloatArray, correct: npt.NDArray[Any], groups: npt.NDArray[np.integer] | None
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.integer]]:
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
    return x, y, np.arange(len(x)) if groups is None else np.asarray(groups)


def _train(
    x: FloatArray,
    y: FloatArray,
    aside: npt.NDArray[np.bool_],
    hidden: int,
    weight_decay: float,
    iterations: int,
    rng: np.random.Generator,
) -> list[FloatArray]:
    """Full-batch Adam; the parameters (hidden, hidden_bias, out, skip, bias) at the best moment on `aside`."""
    count = x.shape[1]
    share = np.clip(y.mean(), 1e-3, 1 - 1e-3)
    parameters = [
        rng.normal(0, 0.5 / count**0.5, (count, hidden)), np.zeros(hidden), rng.normal(0, 0.1, hidden),
        np.zeros(count), np.array(np.log(share / (1 - share))),
    ]  # fmt: skip
    decay = [weight_decay, 0.0, weight_decay, weight_decay, 0.0]
    first = [np.zeros_like(p) for p in parameters]
    second = [np.zeros_like(p) for p in parameters]
    best, best_loss = parameters, np.inf
    for step in range(1, iterations + 1):
        loss = _cross_entropy(_logits(x[aside], parameters)[0], y[aside])
        if loss < best_loss:
            best, best_loss = parameters, loss
        gradients = _gradients(x[~aside], y[~aside], parameters)
        gradients = [g + 2 * d * p for g, d, p in zip(gradients, decay, parameters, strict=True)]
        first = [0.9 * m + 0.1 * g for m, g in zip(first, gradients, strict=True)]
        second = [0.999 * v + 0.001 * g**2 for v, g in zip(second, gradients, strict=True)]
        rate = LEARNING_RATE * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        parameters = [p - rate * m / (np.sqrt(v) + 1e-8) for p, m, v in zip(parameters, first, second, strict=True)]
    return best


def _logits(x: FloatArray, parameters: list[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Logits (N,) and hidden activations (N, M) of standardised features (N, F)."""
    hidden, hidden_bias, out, skip, bias = parameters
    active = np.tanh(x @ hidden + hidden_bias)
    return active @ out + x @ skip + bias, active


def _cross_entropy(logits: FloatArray, y: FloatArray) -> float:
    return float((np.logaddexp(0.0, logits) - y * logits).mean())


def _gradients(x: FloatArray, y: FloatArray, parameters: list[FloatArray]) -> list[FloatArray]:
    """Of the cross-entropy, in the order of the parameters."""
    logits, active = _logits(x, parameters)
    error = (_sigmoid(logits) - y) / len(y)
    back = error[:, None] * parameters[2] * (1 - active**2)
    return [x.T @ back, back.sum(0), active.T @ error, x.T @ error, np.asarray(error.sum())]


def _sigmoid(logits: FloatArray) -> FloatArray:
    return 1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0)))


@dataclass(frozen=True, eq=False)
class Reliability:
    """A reliability diagram: per bin of the score, (K,) edges [low, high), counts, mean score, share correct."""

    low: FloatArray
    high: FloatArray
    count: npt.NDArray[np.int64]
    mean_score: FloatArray
    share_correct: FloatArray

    @property
    def expected_calibration_error(self) -> float:
        """Mean distance between score and share correct, weighted by the counts (ECE)."""
        total = max(int(self.count.sum()), 1)
        return float((self.count * np.abs(self.mean_score - self.share_correct)).sum() / total)


def reliability(scores: FloatArray, correct: npt.NDArray[np.bool_], bins: int = 10) -> Reliability:
    """Bin scores (N,) in [0, 1] against labels (N,); empty bins show their middle and 0 correct with count 0."""
    scores, correct = np.asarray(scores, np.float64), np.asarray(correct, np.float64)
    edges = np.linspace(0.0, 1.0, bins + 1)
    index = np.clip((scores * bins).astype(np.int64), 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    safe = np.maximum(count, 1)
    mean = np.where(count > 0, np.bincount(index, scores, bins) / safe, (edges[:-1] + edges[1:]) / 2)
    return Reliability(edges[:-1], edges[1:], count, mean, np.bincount(index, correct, bins) / safe)
