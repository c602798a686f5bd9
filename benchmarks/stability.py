"""Stability of confident parts under float32 rounding noise in the depth.

    python benchmarks/stability.py [--model demo] [--frames 30] [--runs 8]

The first row is for frames as sensors deliver them, with quantised depth; the second for the same frames with depth
between the quantisation steps, like processed depth. Sure parts have a score of 0.9 or more in some run.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import tyro

from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import PoseEstimate
from binpose_pipeline.bundle import load_bundle
from common import heading, table
from scenes import TUNING_SEED, unseen_views

SURE, SAME_PLACE_M = 0.9, 0.01
BETWEEN_STEPS_M = 2e-5


@dataclass(frozen=True)
class Arguments:
    """model: a store's folder or a shipped model's name. frames: one pile each. runs: of each frame."""

    model: str = "demo"
    frames: int = 30
    runs: int = 8


def main(arguments: Arguments) -> None:
    """Measure and print the table."""
    heading(f"Sure parts in {arguments.runs} runs with rounding noise, {arguments.frames} simulated frames")
    bundle = load_bundle(arguments.model)
    frames = [view.frame for view in unseen_views(bundle.objects, arguments.frames, seed=TUNING_SEED)]
    rows = []
    for name, offset_m in (("as measured", 0.0), ("between the steps", BETWEEN_STEPS_M)):
        rng = np.random.default_rng(0)
        counts = [
            count
            for frame in frames
            for count in times_found([bundle.pipeline(f) for f in rounded(rng, frame, arguments.runs, offset_m)])
        ]
        always = sum(reported == arguments.runs for _, reported in counts)
        sure = sum(found == arguments.runs for found, _ in counts)
        rows.append([name, str(len(counts)), f"{always / len(counts):.1%}", f"{sure / len(counts):.1%}"])
    table(["depth", "sure parts", "reported in all runs", "sure in all runs"], rows)
    print(f"model {bundle.version[:12]}")


def rounded(rng: np.random.Generator, frame: RgbdFrame, runs: int, offset_m: float) -> list[RgbdFrame]:
    """The frame, and copies whose depth is one float32 step higher or lower, at random per pixel."""
    depth_m = frame.depth_m
    assert depth_m is not None
    depth_m = np.where(depth_m > 0, depth_m + offset_m * rng.random(depth_m.shape), 0).astype(np.float32)
    copies = [depth_m]
    for _ in range(runs - 1):
        towards = np.where(rng.random(depth_m.shape) < 0.5, 0, 9).astype(np.float32)
        copies.append(np.where(depth_m > 0, np.nextafter(depth_m, towards), 0).astype(np.float32))
    return [replace(frame, depth_m=copy) for copy in copies]


def times_found(runs: Sequence[Sequence[PoseEstimate]], threshold: float = 0.5) -> list[tuple[int, int]]:
    """For each part that is sure in some run, the number of runs in which it is sure, and in which it is reported."""
    sure: list[PoseEstimate] = []
    for pose in (pose for run in runs for pose in run if pose.score >= SURE):
        if not any(_same(pose, other) for other in sure):
            sure.append(pose)
    return [
        tuple(sum(any(_same(p, pose) and p.score >= least for p in run) for run in runs) for least in (SURE, threshold))
        for pose in sure
    ]


def _same(a: PoseEstimate, b: PoseEstimate) -> bool:
    distance_m = np.linalg.norm(a.T_cam_obj[:3, 3] - b.T_cam_obj[:3, 3])
    return a.object_id == b.object_id and bool(distance_m < SAME_PLACE_M)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
