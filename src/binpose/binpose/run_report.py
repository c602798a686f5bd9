"""The report of an estimation: agreement with the depth, warnings, images, the 3D scene and the times."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from binpose.report import Report, comparison
from binpose.scene_view import add_scene_viewer, scene_traces
from binpose_core.drawing.outlines import Image
from binpose_core.drawing.overlays import ALERT, OverlayDrawer
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import PoseEstimate
from binpose_pipeline.bundle import UNCALIBRATED
from binpose_pipeline.depth_check import SURE, check_depth
from binpose_pipeline.run_checks import (
    agreement_sentence,
    counted,
    empty_frames,
    notes_of,
    reported_poses,
    warnings,
)
from binpose_pipeline.runs import FrameOutcome, RunRecord, alternatives
from binpose_refinement.consistency import DEPTH_AGREEMENT, agrees

MAX_PICTURES = 24
RED = "Red lines: the depth contradicts the pose. "
MAX_SCENES = 6
AMBIGUOUS_PROBABILITY = 0.2
"""Least probability of another pose of a part that the report lists."""


@dataclass
class RunGallery:
    """Collects the report's content of each frame during the run, so that frames need not be kept."""

    drawer: OverlayDrawer
    figures: list[str] = field(default_factory=list)
    scenes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, frame: RgbdFrame, outcome: FrameOutcome, overlay: Image, notes: Sequence[str] = ()) -> None:
        """A frame, its poses drawn over it, and a line per pose for the 3D scene's tooltips."""
        if len(self.figures) < MAX_PICTURES:
            self.figures.append(comparison(frame.rgb, overlay, _caption(outcome)))
        if len(self.scenes) < MAX_SCENES and (outcome.poses or frame.depth_m is not None):
            self.scenes[outcome.name] = scene_traces(
                frame, outcome.poses, self.drawer.objects, self.drawer.colors, notes or _tooltips(outcome.poses)
            )

    def add_to(self, report: Report, frames: int) -> None:
        """The sections with pictures and scenes."""
        if self.figures:
            shown = f"The first {len(self.figures)} of {frames} frames. " if frames > len(self.figures) else ""
            report.add_section("Frames", f"{shown}{RED}Drag across a picture to see the image below the outlines.")
            report.add_figures(self.figures)
        if self.scenes:
            report.add_section("Scene", "Estimated parts and observed points. Drag to rotate, scroll to zoom.")
            add_scene_viewer(report, self.scenes)


def run_report(record: RunRecord, outcomes: Sequence[FrameOutcome], gallery: RunGallery) -> str:
    """The page of a finished run."""
    done = [outcome for outcome in outcomes if outcome.error is None]
    report = Report(
        title=f"{counted(sum(len(o.poses) for o in done), 'part')} in {counted(len(done), 'frame')}",
        subtitle=f"{record.source}{f', split {record.split}' if record.split else ''}",
        facts=_facts(record, done),
    )
    add_checks(report, outcomes, record)
    add_problems(report, outcomes)
    gallery.add_to(report, len(done))
    _add_ambiguous(report, done)
    report.add_section("Found parts")
    report.add_table(("frame", *record.objects, "all"), _count_rows(record, done))
    report.add_section("Time")
    report.add_table(("stage", "median ms", "slowest ms"), time_rows(done))
    return report.render()


def add_checks(report: Report, outcomes: Sequence[FrameOutcome], record: RunRecord) -> None:
    """The most important results: agreement with the depth, warnings, frames without parts, notes on the input."""
    done = [outcome for outcome in outcomes if outcome.error is None]
    check, found = check_depth(reported_poses(done)), warnings(done)
    if check.checked:
        report.add_status(agreement_sentence(check), good=not check.is_low)
    for text in [*found, *([] if record.calibrated else [UNCALIBRATED])]:
        report.add_status(text, good=False)
    _add_empty(report, done)
    notes = notes_of(done, record.notes)
    if notes:
        report.add_section("Notes on the input")
        for note in notes:
            report.add_text(note)
    if check.checked:
        _add_agreement(report, done, record)


def draw_checked(drawer: OverlayDrawer, frame: RgbdFrame, poses: Sequence[PoseEstimate]) -> Image:
    """The overlay (H, W, 3) with red lines for poses that the depth contradicts."""
    alert = [agrees(pose) is False for pose in poses]
    legend = drawer.counts(poses)
    if any(alert):
        legend.append((f"contradicted by the depth x{sum(alert)}", ALERT))
    return drawer(frame, poses, legend=legend, alert=alert)


def add_problems(report: Report, outcomes: Sequence[FrameOutcome]) -> None:
    """The frames that could not be processed, with their reasons."""
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if failed:
        report.add_section(f"{counted(len(failed), 'frame')} could not be processed")
        report.add_table(("frame", "reason"), [(outcome.name, outcome.error) for outcome in failed])


def time_rows(outcomes: Sequence[FrameOutcome]) -> list[tuple[str, float, float]]:
    """(stage, median ms, slowest ms) over frames, and their sum last; the first of several frames is warm-up."""
    warm = outcomes[1:] if len(outcomes) > 1 else outcomes
    if not warm:
        return []
    stages: list[str] = list(warm[0].seconds)
    table = 1e3 * np.array([[outcome.seconds.get(stage, 0.0) for stage in stages] for outcome in warm])
    columns = [*zip(stages, table.T, strict=True), ("all", table.sum(1))]
    return [(name, float(np.median(values)), float(values.max())) for name, values in columns]


def _facts(record: RunRecord, done: Sequence[FrameOutcome]) -> dict[str, str]:
    seconds = [_total(outcome) for outcome in done]
    return {
        "agree with the depth": _agreement(done),
        "model": record.model,
        "version": record.model_version[:12],
        "threshold": f"{record.threshold:.2f}",
        "unexplained": _unexplained(done),
        "median time per frame": f"{1000 * float(np.median(seconds)):.0f} ms" if seconds else "-",
    }


def _count_rows(record: RunRecord, done: Sequence[FrameOutcome]) -> list[list[str | int]]:
    rows: list[list[str | int]] = []
    for outcome in done:
        ids = [pose.object_id for pose in outcome.poses]
        rows.append([outcome.name, *(ids.count(name) for name in record.objects), len(ids)])
    return rows


def _total(outcome: FrameOutcome) -> float:
    return sum(outcome.seconds.values())


def _add_empty(report: Report, done: Sequence[FrameOutcome]) -> None:
    empty = empty_frames(done)
    if not empty:
        return
    report.add_section(f"{counted(sum(len(names) for _, names in empty), 'frame')} of {len(done)} without a part")
    report.add_table(("reason", "frames"), [(sentence, ", ".join(names)) for sentence, names in empty])


def _add_agreement(report: Report, done: Sequence[FrameOutcome], record: RunRecord) -> None:
    poses = reported_poses(done)
    report.add_section(
        "Agreement with the depth",
        "A check without labels: at least 80 % of the visible surface of a pose must be at the measured depth. "
        "A pose that agrees may still be wrong, for example a similar part; a contradicted one lies in empty space.",
    )
    groups = {name: [pose for pose in poses if pose.object_id == name] for name in record.objects}
    groups = {name: group for name, group in groups.items() if group} | ({"all": poses} if len(groups) > 1 else {})
    checks = {name: check_depth(group) for name, group in groups.items()}
    header = ["object", "reported", "agree", "contradicted", f"of these scored {SURE} or more"]
    unlike = any(check.out_of_distribution for check in checks.values())
    report.add_table(
        [*header, "unlike the score's samples"] if unlike else header,
        [
            [
                name,
                c.reported,
                c.agree,
                c.contradicted,
                c.contradicted_sure,
                *([c.out_of_distribution] if unlike else []),
            ]
            for name, c in checks.items()
        ],
    )


def _add_ambiguous(report: Report, done: Sequence[FrameOutcome]) -> None:
    """Parts whose pose the image leaves open, with the other poses and their probabilities."""
    rows = [
        [outcome.name, pose.object_id, f"{pose.score:.2f}", ", ".join(f"{h.object_id} {h.score:.2f}" for h in others)]
        for outcome in done
        for pose in outcome.poses
        if (others := alternatives(pose, AMBIGUOUS_PROBABILITY))
    ]
    if not rows:
        return
    report.add_section(
        f"{counted(len(rows), 'part')} with more than one probable pose",
        f"Other poses of the same part with a probability of at least {AMBIGUOUS_PROBABILITY:.0%}; the detail that "
        "distinguishes them is hidden or too small. poses.json lists them. Act on what holds for all of them.",
    )
    report.add_table(("frame", "object", "probability", "other poses"), rows)


def _unexplained(done: Sequence[FrameOutcome]) -> str:
    known = [outcome.unexplained for outcome in done if math.isfinite(outcome.unexplained)]
    return f"{float(np.median(known)):.0%} of the bin's content (median)" if known else "-"


def _agreement(done: Sequence[FrameOutcome]) -> str:
    check = check_depth(reported_poses(done))
    return f"{check.agree} of {check.reported}" if check.checked else "-"


def _caption(outcome: FrameOutcome) -> str:
    check = check_depth(outcome.poses)
    contradicted = f", {check.contradicted} contradicted by the depth" if check.contradicted else ""
    time = f"{1000 * _total(outcome):.0f} ms"
    if outcome.reason is not None:
        return f"{outcome.name}: no part, {time}. {outcome.reason.sentence}"
    unexplained = f", {outcome.unexplained:.0%} unexplained" if math.isfinite(outcome.unexplained) else ""
    return f"{outcome.name}: {counted(len(outcome.poses), 'part')}{contradicted}{unexplained}, {time}"


def _tooltips(poses: Sequence[PoseEstimate]) -> list[str]:
    return [
        f"{pose.residuals[DEPTH_AGREEMENT]:.0%} agree with the depth" if DEPTH_AGREEMENT in pose.residuals else ""
        for pose in poses
    ]
