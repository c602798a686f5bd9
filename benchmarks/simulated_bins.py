"""Recall and precision on simulated bins that no training has seen.

python benchmarks/simulated_bins.py [--model demo] [--frames 60]
"""

from dataclasses import dataclass

import numpy as np
import tyro

from binpose.bundle import load_bundle
from binpose.calibration import evaluate_views
from binpose_core.evaluation import EvaluationConfig, labelled_scores
from binpose_core.scores import summarise
from binpose_refinement.calibration import reliability
from common import heading, table
from scenes import unseen_views


@dataclass(frozen=True)
class Arguments:
    """model: a store's folder or a shipped model's name. frames: how many, one pile each."""

    model: str = "demo"
    frames: int = 60


def main(arguments: Arguments) -> None:
    """Measure and print the table."""
    heading(
        f"Simulated bins never seen: {arguments.frames} frames, 10-20 parts of all types, parts at least 50 % visible"
    )
    bundle = load_bundle(arguments.model)
    views = unseen_views(bundle.objects, arguments.frames)
    config = EvaluationConfig(min_visible_fraction=0.5)
    frames = evaluate_views(bundle.pipeline, bundle.objects, views, config)
    summary = summarise(frames, config)
    rows = [
        [
            score.object_id,
            str(score.n_parts),
            f"{score.recall:.1%}",
            "-" if score.precision is None else f"{score.precision:.1%}",
            f"{score.median_error:.2%}",
            "-" if score.curve is None else f"{score.curve.average_precision:.3f}",
        ]
        for score in (*summary.objects, summary.overall)
    ]
    table(["part", "parts", "recall", "precision", "median error / diameter", "average precision"], rows)
    scores, correct = labelled_scores(frames)
    print(f"ADD(-S) < 10 % of the diameter; score threshold {config.score_threshold}; ", end="")
    print(f"calibration error {reliability(scores, correct).expected_calibration_error:.3f}; ", end="")
    print(f"model {bundle.version[:12]}; parts per frame {np.mean([len(v.object_ids) for v in views]):.1f}")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
