"""The report of the demo: results, accuracy and times."""

from collections.abc import Sequence

import numpy as np

from binpose.evaluation_report import add_evaluation, fraction_text
from binpose.report import Report
from binpose.run_report import RunGallery, add_checks, add_problems, time_rows
from binpose_core.evaluation.matching import Verdict
from binpose_pipeline.evaluation import EvaluationResult
from binpose_pipeline.runs import FrameOutcome, RunRecord


def demo_page(
    record: RunRecord, outcomes: Sequence[FrameOutcome], gallery: RunGallery, result: EvaluationResult
) -> str:
    """The page of a finished demo."""
    overall = result.rows[-1]
    times = {name: median for name, median, _ in time_rows(outcomes)}
    visible = 100 * result.config.min_visible_fraction
    report = Report(
        title=f"{overall.found} of {overall.parts} parts found, {overall.median_error_mm:.2f} mm off",
        subtitle=(
            f"Simulated bins of {len(record.objects)} part types, seen by a simulated depth camera with noise, "
            "shadows and holes. The networks were trained on CAD meshes alone, and on other bins. Only parts of which "
            f"at least {visible:g} % are visible count."
        ),
        facts={
            "recall": fraction_text(overall.recall),
            "precision": fraction_text(overall.precision),
            "median error": f"{overall.median_error_mm:.2f} mm",
            "median time per frame": f"{times['all']:.0f} ms" if times else "-",
        },
    )
    add_checks(report, outcomes, record)
    add_problems(report, outcomes)
    gallery.add_to(report, len(outcomes))
    add_evaluation(report, result)
    report.add_section("Results by frame")
    report.add_table(
        ("frame", "parts", "found", "wrong", "median error mm", *(f"{stage} ms" for stage in times)),
        [_frame_row(outcome, result, list(times)) for outcome in outcomes if outcome.name in result.frames],
    )
    report.add_section("Time")
    report.add_table(("stage", "median ms", "slowest ms"), time_rows(outcomes))
    report.add_section("Files")
    report.add_text(
        "Beside this page: dataset/ contains the frames and all true poses in BOP format, results.csv the estimates in "
        "BOP format, frames/ the poses (poses.json) and the overlay (overlay.png) of each frame, run.json the "
        f"settings. Model {record.model}, version {record.model_version[:12]}."
    )
    return report.render()


def _frame_row(outcome: FrameOutcome, result: EvaluationResult, stages: Sequence[str]) -> tuple[str | int | float, ...]:
    """The figures of one frame."""
    evaluation = result.frames[outcome.name]
    threshold = result.config.score_threshold
    sure = [e for e in evaluation.estimates if e.score >= threshold]
    right_mm = [1e3 * e.error_m for e in sure if e.verdict is Verdict.RIGHT]
    seconds = {**outcome.seconds, "all": sum(outcome.seconds.values())}
    return (
        outcome.name,
        len(evaluation.parts),
        sum(part.score >= threshold for part in evaluation.parts),
        sum(e.verdict is Verdict.WRONG for e in sure),
        float(np.median(right_mm)) if right_mm else float("nan"),
        *(round(1e3 * seconds.get(stage, 0.0)) for stage in stages),
    )
