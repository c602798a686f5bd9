"""The report of an evaluation: the figures, the reliability diagram, and every part with its verdict."""

from collections.abc import Mapping, Sequence

import numpy as np

from binpose.report import Report, comparison
from binpose_core.drawing.outlines import Image
from binpose_core.drawing.overlays import OverlayDrawer, Rgb
from binpose_core.evaluation.matching import EvaluationConfig, FrameEvaluation, FrameTruth, Verdict
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import PoseEstimate
from binpose_pipeline.evaluation import EvaluationResult, EvaluationRow, missed_parts
from binpose_pipeline.reliability import reliability_svg
from binpose_pipeline.run_checks import agreement_sentence
from binpose_pipeline.run_evaluation import EvaluatedFrame
from binpose_pipeline.runs import RunRecord

HEADER = (
    "object", "by", "parts", "found", "recall", "precision", "median error mm", "AUC", "MSSD recall", "VSD", "MSSD",
    "MSPD", "wrong", "outside", "unknown", "depth agrees",
)  # fmt: skip
RARE = {"outside": "0", "unknown": "0", "depth agrees": "-"}
VERDICT_COLORS: Mapping[Verdict, Rgb] = {
    Verdict.RIGHT: (64, 230, 110),
    Verdict.WRONG: (255, 76, 64),
    Verdict.UNKNOWN: (90, 180, 255),
    Verdict.IGNORED: (170, 176, 190),
}
MISSED: Rgb = (255, 190, 40)
MAX_PICTURES = 24
LEGEND = (
    "Green: right. Red: wrong. Amber: a known part that was not found. Blue: no part is annotated there. "
    "Grey: hardly visible or of doubtful annotation, not counted. Drag across a picture to see below the lines."
)


def add_evaluation(report: Report, result: EvaluationResult) -> None:
    """The table of figures and the reliability diagram."""
    config = result.config
    report.add_section("Errors")
    caption = (
        f"A pose is right if its ADD or, for a symmetric part, ADD-S is below {100 * config.max_error:g} % of the "
        f"diameter. Parts that are at least {100 * config.min_visible_fraction:g} % visible and estimates with a score "
        f"of at least {config.score_threshold:g} count. AUC is the area under the recall over the error up to that "
        "limit. VSD, MSSD and MSPD are BOP's average recalls. Depth agrees (without labels): of the estimates with "
        "depth on them, those with at least 80 % of their visible surface at the measured depth."
    )
    shown = shown_columns(result)
    rows = [formatted_row(row) for row in result.rows]
    report.add_table([HEADER[n] for n in shown], [[row[n] for n in shown] for row in rows], caption)
    estimates = int(result.reliability.count.sum())
    if estimates:
        report.add_section(
            "Reliability",
            f"Of the poses scored 0.8, are 80 % right? {estimates} estimates, mean distance from the diagonal "
            f"{result.reliability.expected_calibration_error:.3f}.",
        )
        report.add_html(reliability_svg(result.reliability))


def shown_columns(result: EvaluationResult) -> list[int]:
    """Indices of HEADER without columns that are empty for every object."""
    rows = [formatted_row(row) for row in result.rows]
    return [n for n, name in enumerate(HEADER) if name not in RARE or any(row[n] != RARE[name] for row in rows)]


def formatted_row(row: EvaluationRow) -> tuple[str, ...]:
    """The cells of HEADER."""
    fractions = (row.auc, row.mssd_recall, row.vsd, row.mssd, row.mspd)
    return (
        row.object_id,
        row.metric,
        str(row.parts),
        str(row.found),
        fraction_text(row.recall),
        fraction_text(row.precision),
        f"{row.median_error_mm:.2f}" if np.isfinite(row.median_error_mm) else "-",
        *(fraction_text(value) for value in fractions),
        *(str(value) for value in (row.wrong, row.outside, row.unknown)),
        f"{row.agree} of {row.agree + row.contradicted}" if row.agree + row.contradicted else "-",
    )


def evaluation_page(
    record: RunRecord,
    drawer: OverlayDrawer,
    frames: Sequence[EvaluatedFrame],
    result: EvaluationResult,
    notes: Sequence[str],
) -> str:
    """The page of an evaluated run."""
    overall = result.rows[-1]
    report = Report(
        title=f"{overall.found} of {overall.parts} known parts found",
        subtitle=f"{record.source}{f', split {record.split}' if record.split else ''}, model {record.model}",
        facts={
            "recall": fraction_text(overall.recall),
            "precision": fraction_text(overall.precision),
            "median error": f"{overall.median_error_mm:.2f} mm",
            "version": record.model_version[:12],
        },
    )
    if result.depth_check.checked:
        report.add_status(agreement_sentence(result.depth_check), good=not result.depth_check.is_low)
    for note in notes:
        report.add_text(note)
    add_evaluation(report, result)
    figures = [
        comparison(frame.rgb, draw_verdicts(frame, e.poses, e.judged, e.truth, drawer, result.config), e.name)
        for e in frames[:MAX_PICTURES]
        if (frame := e.frame) is not None
    ]
    report.add_section("Frames", LEGEND)
    report.add_figures(figures)
    return report.render()


def draw_verdicts(
    frame: RgbdFrame,
    poses: Sequence[PoseEstimate],
    evaluation: FrameEvaluation,
    truth: FrameTruth,
    drawer: OverlayDrawer,
    config: EvaluationConfig,
) -> Image:
    """The image (H, W, 3) with estimates above the threshold coloured by verdict; missed parts carry no score."""
    sure = [n for n, pose in enumerate(poses) if pose.score >= config.score_threshold]
    drawn = [poses[n] for n in sure]
    colors = [VERDICT_COLORS[evaluation.estimates[n].verdict] for n in sure]
    for index in missed_parts(evaluation, truth, drawer.objects, config):
        part = truth.parts[index]
        drawn.append(PoseEstimate(part.object_id, part.T_cam_obj, float("nan")))
        colors.append(MISSED)
    names = {color: verdict.value for verdict, color in VERDICT_COLORS.items()} | {MISSED: "missed"}
    legend = [(f"{name} x{colors.count(color)}", color) for color, name in names.items() if color in colors]
    return drawer(frame, drawn, colors, legend)


def fraction_text(value: float | None) -> str:
    """A fraction with three digits, a dash for None."""
    return "-" if value is None or not np.isfinite(value) else f"{value:.3f}"
