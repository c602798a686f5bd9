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
    """The mean of M perceptrons with one hidden layer over F standardised features and the part's name; immutable.

    The same evidence means different things for different parts: a pin shows fifty pixels, a motor thousands.

    mean, scale: (F,) of the features. Over F features and P parts, one of which is 1: hidden (M, F + P, H),
    hidden_bias (M, H), out (M, H), skip (M, F + P) linear weights beside the hidden layer, bias (M,).
    """

    mean: FloatArray
    scale: FloatArray
    hidden: FloatArray
    hidden_bias: FloatArray
    out: FloatArray
    skip: FloatArray
    bias: FloatArray

    def __post_init__(self) -> None:
        count, fits = len(FEATURES), np.ndim(self.hidden) == 3 and np.ndim(self.skip) == 2
        fits = fits and np.shape(self.mean) == np.shape(self.scale) == (count,)
        if not fits or not np.shape(self.hidden)[1] == np.shape(self.skip)[1] > count:
            raise BinposeError(
                f"A calibration for {np.shape(self.mean)} features; expected {count} ({', '.join(FEATURES)}) and at "
                "least one part; it was made by another version: fit it again with `binpose train`."
            )

    @property
    def parts(self) -> int:
        """P, the number of parts that it knows."""
        return int(np.shape(self.hidden)[1]) - len(FEATURES)

    def __call__(self, features: FloatArray, part: npt.NDArray[np.integer]) -> FloatArray:
        """Probabilities (B,) in [0, 1].

        Args:
            features: (B, F) in the order of FEATURES.
            part: (B,) in 0..P-1, places in the sorted names of the model's objects.
        """
        x = _inputs(features, part, self.mean, self.scale, self.parts)
        members = zip(self.hidden, self.hidden_bias, self.out, self.skip, self.bias, strict=True)
        return np.asarray(np.mean([_sigmoid(_logits(x, list(member))[0]) for member in members], axis=0))

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
    part: npt.NDArray[np.integer] | None = None,
    parts: int = 1,
    groups: npt.NDArray[np.integer] | None = None,
    members: int = 4,
    hidden: int = 16,
    weight_decay: float = 1e-3,
    held_out: float = 0.25,
    iterations: int = 300,
    seed: int = 0,
) -> Calibration:
    """Fit by cross-entropy; the number of iterations is chosen on held-out groups, others for each member.

    Args:
        features: (N, F) in the order of FEATURES, as `IcpRefiner.candidates` gives them.
        correct: (N,) whether the pose is right.
        part: (N,) in 0..parts-1, the place of the candidate's object in the sorted names. None: all the first.
        parts: how many objects there are.
        groups: (N,) frame of each sample; frames are held out whole. None: every sample its own.
        members: networks whose mean is taken.
        hidden: units of the hidden layer.
        weight_decay: penalty on the squared weights.
        held_out: share of the frames on which the best moment is chosen.
        iterations: steps of Adam over all samples.
        seed: of the first weights and of the frames held out.

    Raises:
        BinposeError: for too few samples or only one kind of them.
    """
    x, y, groups = _checked(features, correct, groups)
    part = np.zeros(len(x), np.int64) if part is None else part
    mean, scale = x.mean(0), np.maximum(x.std(0), 1e-3)
    inputs, kinds = _inputs(x, part, mean, scale, parts), np.unique(groups)
    fitted = []
    for member in range(members):
        rng = np.random.default_rng((seed, member))
        aside = np.isin(groups, rng.permutation(kinds)[: max(1, int(held_out * len(kinds)))])
        fitted.append(_train(inputs, y, aside, hidden, weight_decay, iterations, rng))
    return Calibration(mean, scale, *(np.stack(values) for values in zip(*fitted, strict=True)))


def _inputs(
    features: FloatArray, part: npt.NDArray[np.integer], mean: FloatArray, scale: FloatArray, parts: int
) -> FloatArray:
    """(B, F + P) standardised features, and 1 at the part."""
    standard = np.clip((np.asarray(features, np.float64) - mean) / scale, -LIMIT, LIMIT)
    return np.hstack([standard, np.eye(parts)[part]])


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
