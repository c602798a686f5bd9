"""Against OpenCV's PPF and Open3D's FPFH + RANSAC, all given the true masks and part names, on the same frames.

    python benchmarks/peers.py [--model demo] [--frames 12]

Every method has all CPUs: this one and Open3D through their own threads, PPF, which has none, through one part per CPU.
The time of a part is that of all parts of its frame divided by their number; the CPU time adds up all threads and says
what other processes cannot disturb. The methods take turns frame by frame.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tyro

from binpose_core.base.threads import available_cpus, limit_threads
from binpose_core.evaluation.matching import HALF_VISIBLE, right_errors_m
from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection
from binpose_core.frames.working_view import WorkingView
from binpose_core.geometry.transforms import FloatArray
from binpose_pipeline.bundle import PipelineBundle, load_bundle
from binpose_simulation.scene import SimulatedView
from common import heading, spread, table
from peer_methods import MaskedPart, Method, Open3dFpfh, OpencvPpf
from scenes import unseen_views

OURS = "binpose"


@dataclass(frozen=True)
class Arguments:
    """model: a store's folder or a shipped model's name. frames: how many, one pile each."""

    model: str = "demo"
    frames: int = 12


class Ours:
    """The pose network and the refiner of a model, on detections made of masks."""

    def __init__(self, bundle: PipelineBundle) -> None:
        self.segmenter: Any = bundle.segmenter
        self.estimator, self.refiner = bundle.estimator, bundle.refiner

    def detections(self, frame: RgbdFrame, parts: Sequence[MaskedPart]) -> list[Detection]:
        """The parts as the segmenter would report them, had it found exactly these masks and names.

        A detection also has the part's centre. The truth stays out of it: it is what the segmentation network's
        votes say on the mask.
        """
        view = self.segmenter.view(frame)
        votes = self.segmenter.votes(view)
        return [_detection(part, view, votes) for part in parts]

    def poses(self, frame: RgbdFrame, detections: Sequence[Detection]) -> list[FloatArray | None]:
        """The verified pose of each detection, None where there is none."""
        estimates = self.refiner(frame, detections, self.estimator(frame, detections))
        found = {estimate.detection_index: estimate.T_cam_obj for estimate in estimates}
        return [found.get(index) for index in range(len(detections))]


class Seconds(NamedTuple):
    """By the clock on the wall, and of all threads together."""

    wall: float
    cpu: float


class Measurements:
    """Errors of every part and seconds per part of every frame, by method."""

    def __init__(self, errors: dict[str, PartErrors]) -> None:
        self._errors = errors
        self.object_ids: list[str] = []
        self.right: dict[str, list[bool]] = {}
        self.seconds: dict[str, list[Seconds]] = {}

    def add_truth(self, view: SimulatedView, indices: npt.NDArray[np.integer]) -> None:
        """The parts of a frame that count."""
        self.object_ids += [view.object_ids[i] for i in indices]

    def add(
        self,
        method: str,
        view: SimulatedView,
        indices: npt.NDArray[np.integer],
        poses: Sequence[FloatArray | None],
        seconds: Seconds,
    ) -> None:
        """A method's poses of the frame's parts `indices`, and the time they took together."""
        self.right.setdefault(method, []).extend(
            is_right(self._errors[view.object_ids[i]], pose, view.T_cam_obj[i])
            for i, pose in zip(indices, poses, strict=True)
        )
        self.seconds.setdefault(method, []).append(_share(seconds, len(indices)))

    def recall(self, method: str, object_id: str | None = None) -> float:
        """The share of the parts, or of those of one object, whose pose is right."""
        ours = np.array([object_id in (None, name) for name in self.object_ids], bool)
        return float(np.array(self.right[method])[ours].mean())


def is_right(part: PartErrors, pose: FloatArray | None, truth: FloatArray) -> bool:
    """Whether a method gave the right pose."""
    return pose is not None and bool(np.isfinite(right_errors_m(part, pose[None], truth[None])).all())


def main(arguments: Arguments) -> None:
    """Measure and print the tables."""
    limit_threads(available_cpus())
    heading(f"Poses from true masks: {arguments.frames} simulated bins never seen, parts at least 50 % visible")
    bundle = load_bundle(arguments.model)
    peers: dict[str, Method] = {"OpenCV PPF + ICP": OpencvPpf(bundle.objects)}
    peers["Open3D FPFH + RANSAC + ICP"] = Open3dFpfh(bundle.objects)
    views = unseen_views(bundle.objects, arguments.frames)
    measured = Measurements({name: PartErrors(model) for name, model in bundle.objects.items()})
    centers_s = measure(views, Ours(bundle), peers, measured)
    report(measured, centers_s)
    print(f"The first frame is also the warm-up, which does not count; model {bundle.version[:12]}")


def measure(
    views: Sequence[SimulatedView], ours: Ours, peers: dict[str, Method], measured: Measurements
) -> npt.NDArray[np.float64]:
    """All methods on every frame in turn; returns the seconds per part that reading the centres took."""
    centers_s = []
    for number, view in enumerate(views):
        indices = np.flatnonzero(view.visible_fraction >= HALF_VISIBLE)
        if not len(indices):
            continue
        parts = [MaskedPart(view.object_ids[i], view.instance_ids == i) for i in indices]
        for counts in (False, True) if number == 0 else (True,):
            detections, reading = _timed(view.frame, ours.detections, parts)
            results = {OURS: _timed(view.frame, ours.poses, detections)}
            results |= {name: _timed(view.frame, peer, parts) for name, peer in peers.items()}
            if counts:
                centers_s.append(reading.wall / len(parts))
                measured.add_truth(view, indices)
                for name, (poses, seconds) in results.items():
                    measured.add(name, view, indices, poses, seconds)
    return np.array(centers_s)


def report(measured: Measurements, centers_s: npt.NDArray[np.float64]) -> None:
    """Recall by part, and times."""
    methods = list(measured.seconds)
    names = list(dict.fromkeys(measured.object_ids))
    rows = [
        [name, str(measured.object_ids.count(name)), *(f"{measured.recall(method, name):.0%}" for method in methods)]
        for name in sorted(names)
    ]
    rows.append(["all", str(len(measured.object_ids)), *(f"**{measured.recall(method):.1%}**" for method in methods)])
    print("Recall: ADD (symmetric parts: ADD-S) < 10 % of the diameter\n")
    table(["part", "parts", *methods], rows)
    times = {method: np.array(values) for method, values in measured.seconds.items()}
    factors = {method: np.median(values, 0) / np.median(times[OURS], 0) for method, values in times.items()}
    header = ["method", "ms per part", "CPU ms per part", f"{OURS} is faster by", "in CPU time by"]
    rows = [
        [name, spread(t[:, 0], 1e-3), spread(t[:, 1], 1e-3), *(f"{factor:.1f} times" for factor in factors[name])]
        for name, t in times.items()
    ]
    table(header, rows)
    print(
        f"Medians of {len(centers_s)} frames (10th-90th percentile). Masks and names cost nothing here, and neither do "
        f"the parts' centres, which {OURS}'s segmentation gives with the masks: {spread(centers_s, 1e-3)} ms per part."
    )


def _timed(frame: RgbdFrame, function: Any, given: Any) -> tuple[Any, Seconds]:
    """What the function makes of the frame and the time it takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = function(frame, given)
    return result, Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def _share(seconds: Seconds, parts: int) -> Seconds:
    return Seconds(*(value / parts for value in seconds))


def _detection(part: MaskedPart, view: WorkingView, votes: Any) -> Detection:
    """A part's mask with the centre that the network's votes (`Segmenter.votes`) on it agree on."""
    plain = Detection.from_mask(part.object_id, 1.0, part.mask)
    cells = _cells(part.mask, view, votes.scale_px.shape)
    if not len(cells[0]):
        return plain
    weight = 1.0 / (0.5 + votes.scale_px[cells])
    u, v = view.to_frame_px((votes.center_px[cells] * weight[:, None]).sum(0) / weight.sum())
    stride = view.depth_m.shape[0] // votes.scale_px.shape[0]
    depth_m = view.depth_m[::stride, ::stride][cells]
    known = depth_m > 0
    center_m = float(np.median((depth_m + votes.depth_offset_m[cells])[known])) if known.any() else float("nan")
    return replace(plain, center_px=(float(u), float(v)), center_depth_m=center_m)


def _cells(
    mask: npt.NDArray[np.bool_], view: WorkingView, shape: tuple[int, int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows and columns of the votes' cells (h, w) that lie in a mask of the frame, at least by half if any does."""
    columns, rows = view.frame_indices()
    padded = np.pad(mask, ((0, rows[-1] + 1), (0, columns[-1] + 1)))[np.ix_(rows, columns)]
    share = padded.reshape(shape[0], len(rows) // shape[0], shape[1], len(columns) // shape[1]).mean((1, 3))
    inside = np.nonzero(share >= 0.5)
    return inside if len(inside[0]) else np.nonzero(share)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
