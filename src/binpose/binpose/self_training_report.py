"""The report of a self-training: what was learnt from which labels, what it changed, and what the gate decided."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from binpose.gate_sections import add_gate
from binpose.report import Cell, Report, comparison, percent_text, picture
from binpose_core.base.files import read_json
from binpose_core.drawing.outlines import Image
from binpose_core.drawing.overlays import OverlayDrawer
from binpose_core.frames.types import PoseEstimate
from binpose_pipeline.bundle import PipelineBundle
from binpose_self_training.recorded_frames import RecordedFrames
from binpose_self_training.records import RoundRecord
from binpose_self_training.self_training import SelfTrainingResult

EXAMPLES = 8
"""Pictures of accepted poses, and of poses of each reason."""
COMPARED = 6
"""Held-out frames that show the poses before and after."""
MARGIN = 0.7
"""Of a part's projected diameter, around it in a picture."""
LEAST_PX = 200


def self_training_page(result: SelfTrainingResult, directory: Path, threshold: float) -> str:
    """The page of a finished self-training.

    Args:
        result: of the run.
        directory: of the run, with the evidence of each round.
        threshold: least score of poses in pictures of frames.
    """
    report = Report(_title(result), "Self-training", _facts(result))
    if result.verdict is not None:
        add_gate(report, result.verdict)
    _add_rounds(report, result.records)
    drawer = OverlayDrawer(result.champion.objects)
    _add_labels(report, result, directory, drawer)
    _add_changes(report, result, drawer, threshold)
    _add_costs(report, result.records)
    for note in (*result.frames.notes, *result.held_out.notes):
        report.add_text(note)
    return report.render()


def _title(result: SelfTrainingResult) -> str:
    if result.verdict is None:
        return "No student was trained"
    return {
        "promoted": "The student is better and replaces the model in use",
        "refused": "The student was refused; the model in use stays",
        "undecided": "Not proven to be better; the model in use stays",
    }[result.verdict.decision.value]


def _facts(result: SelfTrainingResult) -> dict[str, str]:
    first = result.records[0]
    return {
        "frames learnt from": str(len(result.frames)),
        "frames held out": str(len(result.held_out)),
        "rounds": str(sum(bool(record.student) for record in result.records)),
        "labels, first round": f"{first.labels} of {first.poses} poses",
        "model in use before": result.champion.version[:12],
        "candidate": result.candidate.version[:12] if result.has_candidate else "-",
    }


def _add_rounds(report: Report, records: Sequence[RoundRecord]) -> None:
    report.add_section("Rounds", "Each student is the next teacher. The rounds end when the labels no longer grow.")
    header = ["round", "teacher", "poses", "labels", "unexplained"]
    known = [_measured(record) for record in records]
    names = [name for name in known[0] if any(row[name] != "-" for row in known)]
    rows: list[list[Cell]] = [
        [r.number, r.teacher[:12], r.poses, r.labels, percent_text(r.unexplained), *(row[name] for name in names)]
        for r, row in zip(records, known, strict=True)
    ]
    caption = "Label precision, label yield, recall and precision need known poses; nothing is learnt from these."
    report.add_table([*header, *names], rows, caption if names else "")
    if records[-1].ended:
        report.add_text(f"No further student: {records[-1].ended}.")
    parts = sorted({name for record in records for name in record.labels_by_part})
    report.add_table(
        ["round", *parts], [[r.number, *(r.labels_by_part.get(name, 0) for name in parts)] for r in records],
        "Labels of each part.",
    )  # fmt: skip
    reasons = sorted({name for record in records for name in record.rejections})
    report.add_table(
        ["round", *reasons], [[r.number, *(r.rejections.get(name, 0) for name in reasons)] for r in records],
        "Poses that did not become labels, by the first reason.",
    )  # fmt: skip


def _measured(record: RoundRecord) -> dict[str, str]:
    labels, test = record.measured.get("labels", {}), record.measured.get("test", {}).get("all", {})
    return {
        "label precision": percent_text(labels.get("precision")),
        "label yield": percent_text(labels.get("yield")),
        "recall": percent_text(test.get("recall")),
        "precision": percent_text(test.get("precision")),
        "average precision": percent_text(test.get("average_precision")),
    }


def _add_labels(report: Report, result: SelfTrainingResult, directory: Path, drawer: OverlayDrawer) -> None:
    """Examples of accepted and rejected poses of the last round that trained a student."""
    trained = [record for record in result.records if record.student] or list(result.records)
    number = trained[-1].number
    entries: list[dict[str, Any]] = read_json(directory / f"round_{number}" / "evidence.json")
    reasons = sorted({str(entry["rejection"]) for entry in entries})
    report.add_section(
        f"Labels of round {number}",
        "Accepted and rejected poses drawn over the image. d_a is the distance in the image, d_g that of the surfaces "
        "in diameters, depth the fraction of the visible surface whose depth agrees.",
    )
    for reason in reasons:
        own = [entry for entry in entries if entry["rejection"] == reason]
        chosen = [own[i] for i in np.unique(np.linspace(0, len(own) - 1, min(EXAMPLES, len(own))).astype(int))]
        report.add_text(f"{'Accepted' if not reason else f'Rejected: {reason}'} ({len(own)} poses)")
        report.add_figures([_example(result.frames, entry, drawer) for entry in chosen])


def _example(frames: RecordedFrames, entry: Mapping[str, Any], drawer: OverlayDrawer) -> str:
    frame = frames.store[int(entry["frame"])].frame
    pose = PoseEstimate(str(entry["object_id"]), np.array(entry["T_cam_obj"]), float(entry["score"]))
    diameter_m = drawer.objects[pose.object_id].diameter_m
    u, v = frame.camera.project(pose.T_cam_obj[:3, 3])
    reach = int(max(LEAST_PX / 2, MARGIN * diameter_m * frame.camera.fx / max(pose.T_cam_obj[2, 3], 0.05)))
    shown = drawer(frame, [pose], legend=[])
    rows, columns = _around(int(v), reach, shown.shape[0]), _around(int(u), reach, shown.shape[1])
    both: Image = np.hstack([frame.rgb[rows, columns], shown[rows, columns]])
    measured = ", ".join(
        f"{name} {_short(entry[key])}"
        for name, key in (("d_a", "d_a"), ("d_g", "d_g"), ("depth", "depth_agreement"), ("score", "score"))
    )
    return picture(both, f"{pose.object_id}: {measured}")


def _around(center: int, reach: int, size: int) -> slice:
    """At most 2 * reach pixels around a centre, inside the image."""
    start = min(max(center - reach, 0), max(size - 2 * reach, 0))
    return slice(start, min(start + 2 * reach, size))


def _add_changes(report: Report, result: SelfTrainingResult, drawer: OverlayDrawer, threshold: float) -> None:
    """Held-out frames with the poses of both models."""
    if not result.has_candidate or not len(result.held_out):
        return
    report.add_section(
        "Before and after",
        "Held-out frames: drag from the poses of the model in use to those of the candidate.",
    )
    chosen = np.unique(np.linspace(0, len(result.held_out) - 1, min(COMPARED, len(result.held_out))).astype(int))
    figures = []
    for index in chosen.tolist():
        frame = result.held_out.store[index].frame
        before, after = (_reported(bundle, frame, threshold) for bundle in (result.champion, result.candidate))
        caption = f"{result.held_out.infos[index].name}: {len(before)} poses before, {len(after)} after"
        figures.append(comparison(drawer(frame, before), drawer(frame, after), caption))
    report.add_figures(figures)


def _reported(bundle: PipelineBundle, frame: Any, threshold: float) -> list[PoseEstimate]:
    return [pose for pose in bundle.pipeline(frame) if pose.score >= threshold]


def _add_costs(report: Report, records: Sequence[RoundRecord]) -> None:
    report.add_section("Time")
    stages = list(dict.fromkeys(stage for record in records for stage in record.seconds))
    rows: list[list[Cell]] = [
        [r.number, *(f"{r.seconds.get(stage, 0.0) / 60:.1f}" for stage in stages)] for r in records
    ]
    report.add_table(["round", *(f"{stage}, min" for stage in stages)], rows)


def _short(value: float | None) -> str:
    return "-" if value is None else json.dumps(round(value, 3))
