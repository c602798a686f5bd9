"""Recall and precision on simulated bins that no training has seen.

python benchmarks/simulated_bins.py [--model demo] [--frames 60]
"""

from dataclasses import dataclass

import numpy as np
import tyro

from ambiguity import TELLING_PX, Ambiguity
from binpose.bundle import load_bundle
from binpose.calibration import judge_views
from binpose_core.evaluation import HALF_VISIBLE, EvaluationConfig, labelled_scores
from binpose_core.pose_errors import ErrorName
from binpose_core.scores import Score, summarise
from binpose_refinement.reliability import reliability
from common import heading, table
from scenes import unseen_views

ERRORS: dict[ErrorName, str] = {
    "add_s": "ADD, for symmetric parts ADD-S,",
    "adi": "ADD-S for all parts, which forgives what only a hidden detail tells,",
    "mssd": "MSSD, the largest distance of a surface point modulo the part's symmetries,",
}


@dataclass(frozen=True)
class Arguments:
    """model: a store's folder or a shipped model's name. frames: how many, one pile each."""

    model: str = "demo"
    frames: int = 60


def main(arguments: Arguments) -> None:
    """Measure and print the tables."""
    heading(f"Simulated bins never seen: {arguments.frames} frames, 10-20 parts of all types, parts >= 50 % visible")
    bundle = load_bundle(arguments.model)
    views = unseen_views(bundle.objects, arguments.frames)
    estimates = [bundle.pipeline(view.frame) for view in views]
    for error, title in ERRORS.items():
        config = EvaluationConfig(error=error, min_visible_fraction=HALF_VISIBLE)
        frames = judge_views(views, estimates, bundle.objects, config)
        summary = summarise(frames, config)
        print(f"{title} < 10 % of the diameter, score >= {config.score_threshold}:\n")
        header = ["part", "parts", "recall", "precision", "median error / diameter", "average precision"]
        table(header, [_row(score) for score in (*summary.objects, summary.overall)])
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
