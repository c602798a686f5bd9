"""The report of an estimation: pictures, the 3D scene, what was found and how long it took."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from binpose.bundle import UNCALIBRATED
from binpose.report import Report, comparison
from binpose.runs import FrameOutcome, RunRecord
from binpose.scene_view import add_scene_viewer, scene_traces
from binpose_core.drawing import OverlayDrawer
from binpose_core.frames import RgbdFrame
from binpose_core.outlines import Image

MAX_PICTURES = 24
MAX_SCENES = 6


@dataclass
class RunGallery:
    """Collects what the report shows of each frame as it passes, so that frames need not be kept."""

    drawer: OverlayDrawer
    figures: list[str] = field(default_factory=list)
    scenes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, frame: RgbdFrame, outcome: FrameOutcome, overlay: Image, notes: Sequence[str] = ()) -> None:
        """A frame, its poses drawn over it, and a line per pose for the 3D scene's tooltips."""
        if len(self.figures) < MAX_PICTURES:
            caption = f"{outcome.name}: {_counted(len(outcome.poses), 'part')}, {1000 * _total(outcome):.0f} ms"
            self.figures.append(comparison(frame.rgb, overlay, caption))
        if len(self.scenes) < MAX_SCENES and (outcome.poses or frame.depth_m is not None):
            self.scenes[outcome.name] = scene_traces(
                frame, outcome.poses, self.drawer.objects, self.drawer.colors, notes
            )

    def add_to(self, report: Report, frames: int) -> None:
        """The sections with pictures and scenes."""
        if self.figures:
            shown = f"The first {len(self.figures)} of {frames} frames. " if frames > len(self.figures) else ""
            report.add_section("Frames", f"{shown}Drag across a picture to see what is under the outlines.")
            report.add_figures(self.figures)
        if self.scenes:
            report.add_section(
                "Scene", "Estimated parts among the points that the camera saw. Drag to turn, scroll to come closer."
            )
            add_scene_viewer(report, self.scenes)


def run_report(record: RunRecord, outcomes: Sequence[FrameOutcome], gallery: RunGallery) -> str:
    """The page of a finished run."""
    done = [outcome for outcome in outcomes if outcome.error is None]
    report = Report(
        title=f"{_counted(sum(len(o.poses) for o in done), 'part')} in {_counted(len(done), 'frame')}",
        subtitle=f"{record.source}{f', split {record.split}' if record.split else ''}",
        facts=_facts(record, done),
    )
    if not record.calibrated:
        report.add_text(UNCALIBRATED)
    add_problems(report, outcomes)
    gallery.add_to(report, len(done))
    report.add_section("Found parts")
    report.add_table(("frame", *record.objects, "all"), _count_rows(record, done))
    report.add_section("Time")
    report.add_table(("stage", "median ms", "slowest ms"), time_rows(done))
    return report.render()


def add_problems(report: Report, outcomes: Sequence[FrameOutcome]) -> None:
    """The frames that could not be processed, with their reasons."""
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if failed:
        report.add_section(f"{_counted(len(failed), 'frame')} could not be processed")
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
        "model": record.model,
        "version": record.model_version[:12],
        "threshold": f"{record.threshold:.2f}",
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


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
