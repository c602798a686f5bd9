"""Bad and good students of a model, made from its stored results or from changed networks.

A student is a model with changed weights, a change of its results, or both. In a pair the first one is in use and the
second one is the candidate.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
import torch

from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import exp_so3
from binpose_pipeline.bundle import PipelineBundle
from binpose_pipeline.pipeline import TimedResult
from binpose_refinement.calibration import log_odds

Poses = list[PoseEstimate]
Change = Callable[[Poses, np.random.Generator], Poses]


@dataclass(frozen=True)
class Student:
    """weights: name of the networks, see `networks`. change: of the poses. slower: factor of the times."""

    name: str
    weights: str = "demo"
    change: Change = lambda poses, rng: poses
    slower: float = 1.0

    def result(self, frame_name: str, result: TimedResult) -> TimedResult:
        """The student's result on a frame from that of its networks."""
        rng = np.random.default_rng(crc32(f"{self.name}/{frame_name}".encode()))
        poses = sorted(self.change(list(result.poses), rng), key=lambda pose: -pose.score)
        return replace(result, poses=poses, seconds={k: self.slower * v for k, v in result.seconds.items()})


def networks(bundle: PipelineBundle, name: str) -> PipelineBundle:
    """The model with the weights of a name: "demo", "detector+0.1", "pose+0.2", "new detector" or "new pose"."""
    if name == "demo":
        return bundle
    stage, _, noise = name.partition("+")
    if noise:
        which = "segmenter" if stage == "detector" else "estimator"
        return bundle.using(**{which: _noisy(bundle, which, float(noise))})
    which = "segmenter" if name == "new detector" else "estimator"
    return bundle.using(**{which: _noisy(bundle, which, None)})


def _noisy(bundle: PipelineBundle, which: str, noise: float | None) -> object:
    """A stage whose weights have relative noise, or random weights of the same spread where `noise` is None."""
    from copy import deepcopy

    stage = deepcopy(getattr(bundle, which))
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in stage.network.parameters():
            spread = weight.std() if weight.numel() > 1 else weight.abs().mean()
            random = torch.randn(weight.shape, generator=generator) * spread
            weight.copy_(random if noise is None else weight + noise * random)
    return stage


def fewer(share: float) -> Change:
    """Leave out a share of the poses."""
    return lambda poses, rng: [pose for pose in poses if rng.random() >= share]


def without(*names: str) -> Change:
    """Forget parts."""
    return lambda poses, rng: [pose for pose in poses if pose.object_id not in names]


def renamed(pairs: dict[str, str]) -> Change:
    """Swap classes."""
    return lambda poses, rng: [replace(p, object_id=pairs.get(p.object_id, p.object_id)) for p in poses]


def shifted(offset_m: Sequence[float]) -> Change:
    """Move all poses alike."""
    return lambda poses, rng: [_moved(pose, np.asarray(offset_m)) for pose in poses]


def jittered(spread_m: float) -> Change:
    """Move each pose at random."""
    return lambda poses, rng: [_moved(pose, rng.normal(0.0, spread_m, 3)) for pose in poses]


def turned(share: float) -> Change:
    """Turn a share of the poses by 60 degrees about an axis at random."""

    def change(poses: Poses, rng: np.random.Generator) -> Poses:
        return [_turned(pose, rng) if rng.random() < share else pose for pose in poses]

    return change


def sharper(factor: float, shift: float = 0.0) -> Change:
    """Over-confident scores: log-odds times a factor plus a shift."""

    def change(poses: Poses, rng: np.random.Generator) -> Poses:
        return [replace(pose, score=_sigmoid(factor * float(log_odds(np.array(pose.score))) + shift)) for pose in poses]

    return change


def repeated(copies: int, spread_m: float) -> Change:
    """Report copies of each pose near it."""
    return lambda poses, rng: [
        pose if n == 0 else _moved(pose, rng.normal(0.0, spread_m, 3)) for pose in poses for n in range(copies + 1)
    ]


def invented(count: int, score: float = 0.9) -> Change:
    """Add poses of found parts at places that are 3 to 6 cm beside them."""

    def change(poses: Poses, rng: np.random.Generator) -> Poses:
        sure = [pose for pose in poses if pose.score >= 0.5]
        added = [sure[int(rng.integers(len(sure)))] for _ in range(count)] if sure else []
        away = [rng.choice([-1, 1], 3) * rng.uniform([0.03, 0.03, 0.0], [0.06, 0.06, 0.01]) for _ in added]
        return [*poses, *(replace(_moved(pose, v), score=score) for pose, v in zip(added, away, strict=True))]

    return change


def _moved(pose: PoseEstimate, offset_m: np.ndarray) -> PoseEstimate:
    T = np.array(pose.T_cam_obj)
    T[:3, 3] += offset_m
    return replace(pose, T_cam_obj=T, hypotheses=())


def _turned(pose: PoseEstimate, rng: np.random.Generator) -> PoseEstimate:
    T, axis = np.array(pose.T_cam_obj), rng.normal(size=3)
    T[:3, :3] = T[:3, :3] @ exp_so3((np.pi / 3 * axis / np.linalg.norm(axis))[None])[0]
    return replace(pose, T_cam_obj=T, hypotheses=())


def _sigmoid(x: float) -> float:
    return float(1.0 / (1.0 + np.exp(-np.clip(x, -30, 30))))


SWAPS = {"hex_bolt": "stepped_shaft", "stepped_shaft": "hex_bolt", "spur_gear": "v_pulley", "v_pulley": "spur_gear"}
DEMO = Student("demo")
BAD = (
    Student("detector with 10 % noise", "detector+0.1"),
    Student("detector with 30 % noise", "detector+0.3"),
    Student("pose network with 10 % noise", "pose+0.1"),
    Student("pose network with 30 % noise", "pose+0.3"),
    Student("random weights of the detector", "new detector"),
    Student("random weights of the pose network", "new pose"),
    Student("forgot hex_bolt", change=without("hex_bolt")),
    Student("forgot spur_gear", change=without("spur_gear")),
    Student("forgot connector", change=without("connector")),
    Student("forgot t_pipe", change=without("t_pipe")),
    Student("forgot four parts", change=without("hex_bolt", "l_bracket", "v_pulley", "hinge_leaf")),
    Student("swapped bolts and shafts", change=renamed({k: SWAPS[k] for k in ("hex_bolt", "stepped_shaft")})),
    Student("swapped gears and pulleys", change=renamed({k: SWAPS[k] for k in ("spur_gear", "v_pulley")})),
    Student("all brackets are bolts", change=renamed({"l_bracket": "hex_bolt"})),
    Student("scores three times as sharp", change=sharper(3.0)),
    Student("scores shifted by 3", change=sharper(1.0, 3.0)),
    Student("all scores above 0.99", change=sharper(0.0, 6.0)),
    Student("empty", change=fewer(1.0)),
    Student("1.5 times as slow", slower=1.5),
    Student("3 times as slow", slower=3.0),
    Student("4 mm too far", change=shifted((0.0, 0.0, 0.004))),
    Student("4 mm to the side", change=shifted((0.004, 0.0, 0.0))),
    Student("3 mm of noise", change=jittered(0.003)),
    Student("a third turned", change=turned(0.33)),
    Student("each pose three times", change=repeated(2, 0.0015)),
    Student("each pose twice, apart", change=repeated(1, 0.006)),
    Student("two invented poses a frame", change=invented(2)),
    Student("six invented poses a frame", change=invented(6)),
    Student("misses a sixth", change=fewer(0.17)),
    Student("misses half", change=fewer(0.5)),
)
WORSE_CHAMPIONS = (
    Student("missed a sixth", change=fewer(0.17)),
    Student("missed a quarter", change=fewer(0.25)),
    Student("missed 40 %", change=fewer(0.4)),
    Student("was 3 mm too far", change=shifted((0.0, 0.0, 0.003))),
    Student("had 2 mm of noise", change=jittered(0.002)),
    Student("turned a fifth", change=turned(0.2)),
    Student("reported each pose twice", change=repeated(1, 0.0015)),
    Student("invented three poses a frame", change=invented(3)),
    Student("did not know hex_bolt well", change=without("hex_bolt")),
    Student("had a detector with 10 % noise", "detector+0.1"),
)
"""Of good candidates: the model itself is the candidate for each of them."""
EQUALS = tuple(tuple(Student(f"misses a fifth ({n}{which})", change=fewer(0.2)) for which in "ab") for n in range(1, 7))
"""Pairs without a difference in the mean."""
