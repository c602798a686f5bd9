"""From measured features to the probability that a pose is right."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binpose_core.errors import BinposeError
from binpose_core.geometry import FloatArray
from binpose_refinement.verification import FEATURES

PREFIX = "calibration."
MIN_SAMPLES = 50


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
        x = np.clip((features - self.mean) / self.scale, -6.0, 6.0)
        logit = np.tanh(x @ self.hidden + self.hidden_bias) @ self.out + x @ self.skip + self.bias
        return 1.0 / (1.0 + np.exp(-np.clip(logit, -30.0, 30.0)))

    def to_tensors(self) -> dict[str, npt.NDArray[np.float32]]:
        """Named float32 arrays for the model bundle."""
        return {PREFIX + name: np.asarray(value, np.float32) for name, value in vars(self).items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray]) -> "Calibration | None":
        """The calibration stored in a model bundle, None if it holds none."""
        found = {key[len(PREFIX) :]: np.asarray(value, np.float64) for key, value in tensors.items() if key.startswith(PREFIX)}
        if not found:
            return None
        missing = set(cls.__dataclass_fields__) - set(found)
        if missing:
            raise BinposeError(f"The stored calibration lacks {sorted(missing)}; the model bundle is damaged: train it again.")
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

    Raises:
        BinposeError: for too few samples or only one kind of them.
    """
    x, y, groups = _checked(features, correct, groups)
    mean, scale = x.mean(0), np.maximum(x.std(0), 1e-3)
    standard = np.clip((x - mean) / scale, -6.0, 6.0)
    rng = np.random.default_rng(seed)
    kinds = np.unique(groups)
    aside = np.isin(groups, rng.permutation(kinds)[: max(1, int(held_out * len(kinds)))])
    parameters = _train(standard, y, aside, hidden, weight_decay, iterations, seed)
    return Calibration(mean, scale, *parameters)


def _checked(features: FloatArray, correct: npt.NDArray, groups: npt.NDArray | None) -> tuple[FloatArray, FloatArray, npt.NDArray]:
    x, y = np.asarray(features, np.float64), np.asarray(correct, np.float64)
    if x.ndim != 2 or x.shape[1] != len(FEATURES) or y.shape != (len(x),):
        raise BinposeError(
            f"Calibration data of shapes {x.shape} and {y.shape}; expected (N, {len(FEATURES)}) features and (N,) labels."
        )
    if not np.isfinite(x).all():
        raise BinposeError("Calibration features hold NaN or infinity; leave those candidates out.")
    if len(x) < MIN_SAMPLES or y.min() == y.max():
        raise BinposeError(
            f"{len(x)} calibration samples of which {int(y.sum())} are right; expected at least {MIN_SAMPLES} with both "
            "kinds; collect candidates from more frames."
        )
    return x, y, np.arange(len(x)) if groups is None else np.asarray(groups)


def _train(
    x: FloatArray, y: FloatArray, aside: npt.NDArray[np.bool_], hidden: int, weight_decay: float, iterations: int, seed: int
) -> tuple[FloatArray, ...]:
    """Full-batch Adam with early stopping on the samples `aside`; all parameters at the best moment."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    count = x.shape[1]
    weights = [
        0.5 / count**0.5 * torch.randn(count, hidden, generator=generator), torch.zeros(hidden), torch.zeros(hidden),
        torch.zeros(count), torch.zeros(()),
    ]  # fmt: skip
    weights[4] = torch.tensor(float(np.log((y.mean() + 1e-3) / (1 - y.mean() + 1e-3))))
    weights[2] = 0.1 * torch.randn(hidden, generator=generator)
    weights = [w.requires_grad_() for w in weights]
    optimiser = torch.optim.Adam(weights, lr=0.03)
    inputs, labels = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    held = torch.tensor(aside)
    loss_of = torch.nn.functional.binary_cross_entropy_with_logits
    best, best_loss = [w.detach().clone() for w in weights], float("inf")
    for _ in range(iterations):
        W, b, out, skip, bias = weights
        logits = torch.tanh(inputs @ W + b) @ out + inputs @ skip + bias
        with torch.no_grad():
            value = float(loss_of(logits[held], labels[held]))
        if value < best_loss:
            best, best_loss = [w.detach().clone() for w in weights], value
        loss = loss_of(logits[~held], labels[~held])
        penalty = weight_decay * sum((w**2).sum() for w in (W, out, skip))
        optimiser.zero_grad()
        (loss + penalty).backward()
        optimiser.step()
    W, b, out, skip, bias = (w.double().numpy() for w in best)
    return W, b, out, skip, bias


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
