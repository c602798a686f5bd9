"""Recall and precision on simulated bins that no training has seen.

python benchmarks/simulated_bins.py [--model demo] [--frames 60] [--sensor active_stereo | --all-sensors]
"""

from dataclasses import dataclass

import numpy as np
import tyro

from ambiguity import TELLING_PX, Ambiguity
from binpose_core.base.errors import BinposeError
from binpose_core.evaluation.matching import HALF_VISIBLE, EvaluationConfig, labelled_scores
from binpose_core.evaluation.pose_errors import ErrorName
from binpose_core.evaluation.scores import Score, summarise
from binpose_pipeline.bundle import PipelineBundle, load_bundle
from binpose_refinement.reliability import reliability
from binpose_simulation.sensor import SENSOR_KINDS, SensorConfig
from binpose_training.calibration import evaluate_views
from common import heading, table
from scenes import unseen_views

ERRORS: dict[ErrorName, str] = {
    "add_s": "ADD, for symmetric parts ADD-S,",
    "adi": "ADD-S for all parts, which forgives what only a hidden detail tells,",
    "mssd": "MSSD, the largest distance of a surface point modulo the part's symmetries,",
}
HEADER = ["part", "parts", "recall", "precision", "median error / diameter", "average precision"]


@dataclass(frozen=True)
class Arguments:
    """model: a store's folder or a shipped model's name. frames: how many, one pile each.

    sensor: the only kind of depth sensor; all kinds by default. all_sensors: the same bins with each kind, one table.
    """

    model: str = "demo"
    frames: int = 60
    sensor: str | None = None
    all_sensors: bool = False

    def __post_init__(self) -> None:
        if self.all_sensors and self.sensor:
            raise BinposeError(f"--all-sensors with --sensor {self.sensor}; expected one of the two; leave one out.")


def main(arguments: Arguments) -> None:
    """Measure and print the tables."""
    sensors = f", depth sensor: {arguments.sensor}" if arguments.sensor else ""
    heading(f"Simulated bins never seen: {arguments.frames} frames, 10-20 parts, parts >= 50 % visible{sensors}")
    bundle = load_bundle(arguments.model)
    if arguments.all_sensors:
        by_sensor(bundle, arguments.frames)
    else:
        by_error(bundle, arguments.frames, SensorConfig.only(arguments.sensor) if arguments.sensor else None)


def by_sensor(bundle: PipelineBundle, count: int) -> None:
    """One table: the same bins as each kind of sensor sees them, by ADD(-S)."""
    config = EvaluationConfig(error="add_s", min_visible_fraction=HALF_VISIBLE)
    rows = []
    for kind in SENSOR_KINDS:
        views = unseen_views(bundle.objects, count, sensor=SensorConfig.only(kind))
        frames = evaluate_views(views, [bundle.pipeline(view.frame) for view in views], bundle.objects, config)
        error = reliability(*labelled_scores(frames)).expected_calibration_error
        rows.append([kind, *_row(summarise(frames, config).overall)[1:], f"{error:.3f}"])
    print(f"{ERRORS['add_s']} < 10 % of the diameter, score >= {config.score_threshold}:\n")
    table(["sensor", *HEADER[1:], "calibration error"], rows)
    print(f"model {bundle.version[:12]}")


def by_error(bundle: PipelineBundle, count: int, sensor: SensorConfig | None) -> None:
    """Tables by part, one for each error function."""
    views = unseen_views(bundle.objects, count, sensor=sensor)
    estimates = [bundle.pipeline(view.frame) for view in views]
    for error, title in ERRORS.items():
        config = EvaluationConfig(error=error, min_visible_fraction=HALF_VISIBLE)
        frames = evaluate_views(views, estimates, bundle.objects, config)
        summary = summarise(frames, config)
        print(f"{title} < 10 % of the diameter, score >= {config.score_threshold}:\n")
        table(HEADER, [_row(score) for score in (*summary.objects, summary.overall)])
        scores, correct = labelled_scores(frames)
        print(f"calibration error {reliability(scores, correct).expected_calibration_error:.3f}\n")
    ambiguous = Ambiguity(bundle.objects, EvaluationConfig.max_error)
    unsure = [ambiguous(view) & (view.visible_fraction >= HALF_VISIBLE) for view in views]
    of = sum(int((view.visible_fraction >= HALF_VISIBLE).sum()) for view in views)
    print(
        f"Of the {of} parts {np.concatenate(unsure).sum()} show fewer than {TELLING_PX} pixels that tell their pose ",
        end="",
    )
    print("from a wrong one by ADD(-S): nobody can do better there than guess.\n")
    print(f"model {bundle.version[:12]}; {np.mean([len(view.object_ids) for view in views]):.1f} parts per frame")


def _row(score: Score) -> list[str]:
    return [
        score.object_id,
        str(score.n_parts),
        f"{score.recall:.1%}",
        "-" if score.precision is None else f"{score.precision:.1%}",
        f"{score.median_error:.2%}",
        "-" if score.curve is None else f"{score.curve.average_precision:.3f}",
    ]


if __name__ == "__main__":
    main(tyro.cli(Arguments))
