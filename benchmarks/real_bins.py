"""The real scan of three bins: gearmotors and pulleys against their annotation, false parts outside the bins.

    python benchmarks/real_bins.py --model models/wrs [--dataset ../shared/data/wrs_bins] [--out runs/real_bins]

Pins are not annotated: their number is printed, and the overlay in `--out` is there to count the right ones by eye.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tyro

from binpose_core.datasets.bop import BopDataset
from binpose_core.drawing.overlays import OverlayDrawer
from binpose_core.evaluation.matching import EvaluationConfig, Evaluator, FrameTruth, ground_truths
from binpose_core.evaluation.pose_errors import PartErrors
from binpose_pipeline.bundle import load_bundle
from binpose_pipeline.run_evaluation import read_regions
from common import ROOT, heading, table

OBJECTS = {"gearmotor": True, "pulley": False, "pin": False}
"""Whether every visible part of the object is annotated."""
REGIONS = Path(__file__).with_name("wrs_bins_regions.json")
"""Outlines of the three bins; the fourth at the right holds rods, which are no known parts."""


@dataclass(frozen=True)
class Arguments:
    """model: trained from the CAD files of gearmotor, pulley and pin."""

    model: str
    dataset: Path = ROOT.parent / "shared/data/wrs_bins"
    out: Path = ROOT / "runs/real_bins"


def main(arguments: Arguments) -> None:
    """Measure and print the table."""
    heading("Real scan 000014, trained from CAD only: ADD (pulleys: ADD-S) < 10 % of the diameter")
    bundle = load_bundle(arguments.model)
    frame = next(iter(BopDataset(arguments.dataset).frames("real")))
    image = frame.read()
    parts = [part for part in ground_truths(frame) if part.object_id in OBJECTS]
    poses = bundle.pipeline(image)
    region = next(iter(read_regions(REGIONS).values()))
    complete = {name for name, known in OBJECTS.items() if known}
    truth = FrameTruth(parts, complete, region, image.camera)
    config = EvaluationConfig()
    errors = {name: PartErrors(model) for name, model in bundle.objects.items()}
    judged = Evaluator(errors, config)(frame.name, truth, poses)
    rows = []
    for name in OBJECTS:
        counted = [part for part in judged.parts if part.object_id == name]
        found = [part for part in counted if part.score >= config.score_threshold]
        sure = [e for e in judged.estimates if e.object_id == name and e.score >= config.score_threshold]
        median = np.median([part.relative_error for part in found]) * errors[name].diameter_m if found else np.nan
        rows.append(
            [
                name,
                f"{len(found)} of {len(counted)}" if counted else "not annotated",
                f"{1e3 * median:.2f}" if found else "-",
                str(len(sure)),
                str(sum(e.verdict.value == "wrong" for e in sure)),
                str(sum(e.outside for e in sure)),
            ]
        )
    table(["part", "annotated found", "median error, mm", "reported", "known wrong", "outside the bins"], rows)
    arguments.out.mkdir(parents=True, exist_ok=True)
    shown = [pose for pose in poses if pose.score >= config.score_threshold]
    cv2.imwrite(str(arguments.out / "overlay.png"), OverlayDrawer(bundle.objects)(image, shown)[..., ::-1])
    print(f"model {bundle.version[:12]}; overlay in {arguments.out / 'overlay.png'}")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
