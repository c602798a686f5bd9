"""Calibration error on an unseen depth sensor: fitted on all kinds of sensors except one, tested on that one.

    python benchmarks/calibration.py [--model demo] [--frames 40]

The candidates of all bins and sensors are collected once. The fit and the test use different bins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tyro

from binpose_pipeline.bundle import load_bundle
from binpose_refinement.calibration import Calibration
from binpose_refinement.calibration_fit import fit_calibration
from binpose_refinement.reliability import reliability
from binpose_simulation.sensor import SENSOR_KINDS, SensorConfig
from binpose_training.calibration_samples import LabelledCandidates, labelled_candidates
from common import heading, table
from scenes import TUNING_SEED, scene_of, settled_bins, stored_views


@dataclass(frozen=True)
class Arguments:
    """model: a store's folder or a shipped model's name. frames: per kind of sensor, half of them for the test."""

    model: str = "demo"
    frames: int = 40


@dataclass(frozen=True)
class Figures:
    """Results for the candidates of one kind of sensor.

    seen, left_out: expected calibration error with and without this kind among the samples of the fit.
    correct: fraction of right poses. candidates: number of candidates.
    """

    candidates: int
    correct: float
    seen: float
    left_out: float


def main(arguments: Arguments) -> None:
    """Measure and print the table."""
    heading("Calibration error of all candidates, by kind of depth sensor")
    bundle = load_bundle(arguments.model)
    stages = bundle.segmenter, bundle.estimator, bundle.refiner
    bins = list(settled_bins(bundle.objects, scene_of(bundle.objects), arguments.frames, TUNING_SEED))
    found = {}
    for kind in SENSOR_KINDS:
        views = stored_views(bins, scene_of(bundle.objects, sensor=SensorConfig.only(kind)), TUNING_SEED)
        found[kind] = labelled_candidates(*stages, bundle.objects, views)
    rows = [
        [kind, str(f.candidates), f"{f.correct:.1%}", f"{f.seen:.3f}", f"{f.left_out:.3f}"]
        for kind, f in leave_one_out(found).items()
    ]
    table(["sensor", "candidates", "right", "calibration error", "the same, sensor left out of the fit"], rows)
    print(f"model {bundle.version[:12]}")


def leave_one_out(found: Mapping[str, LabelledCandidates]) -> dict[str, Figures]:
    """Figures by kind of sensor, from candidates by kind; every second frame is tested, the others are fitted.

    Only candidates from the pipeline's own stages are tested, not those added for the fit.
    """
    fitted = {kind: _chosen(candidates, candidates.frame % 2 == 0) for kind, candidates in found.items()}
    own = {kind: _chosen(candidates, candidates.weight == 1.0) for kind, candidates in found.items()}
    tested = {kind: _chosen(candidates, candidates.frame % 2 == 1) for kind, candidates in own.items()}
    every = _fit(list(fitted.values()))
    figures = {}
    for kind, test in tested.items():
        without = _fit([candidates for other, candidates in fitted.items() if other != kind])
        seen, left_out = (
            reliability(calibration(test.features, test.part), test.correct).expected_calibration_error
            for calibration in (every, without)
        )
        figures[kind] = Figures(len(test.correct), float(test.correct.mean()), seen, left_out)
    return figures


def _fit(candidates: Sequence[LabelledCandidates]) -> Calibration:
    """A calibration of several sets of candidates."""
    names = "features", "correct", "weight", "part"
    columns = [np.concatenate([getattr(found, name) for found in candidates]) for name in names]
    return fit_calibration(*columns, parts=int(columns[-1].max()) + 1)


def _chosen(found: LabelledCandidates, rows: np.ndarray) -> LabelledCandidates:
    return LabelledCandidates(**{name: values[rows] for name, values in vars(found).items()})


if __name__ == "__main__":
    main(tyro.cli(Arguments))
