"""Where parts are lost between the image and the reported pose, stage by stage.

python benchmarks/stages.py [--model demo] [--frames 36] [--seed 515151]

By default on the bins for choosing settings, not on those whose figures are published.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tyro

from binpose_core.evaluation.matching import HALF_VISIBLE, EvaluationConfig, right_errors_m
from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.frames.types import Detection, LabelledView
from binpose_core.geometry.transforms import FloatArray, transform
from binpose_pipeline.bundle import PipelineBundle, load_bundle
from common import heading, table
from scenes import TUNING_SEED, unseen_views

STAGES = {
    "voted": "centre voted within a quarter of the diameter",
    "named": "and its class among those named",
    "first": "and its class the first of them",
    "guessed": "a hypothesis below 20 % of the diameter",
    "refined": "a refined pose below 10 %",
    "ranked": "one of the poses that come out",
    "reported": "with a score of at least 0.5",
}
NEAR, VOTE = 0.2, 0.25
RIGHT, SURE = EvaluationConfig.max_error, EvaluationConfig.score_threshold


@dataclass(frozen=True)
class Arguments:
    """model: a store's folder or a shipped model's name. frames: how many, one pile each. seed: of the bins."""

    model: str = "demo"
    frames: int = 36
    seed: int = TUNING_SEED


def main(arguments: Arguments) -> None:
    """Measure and print the table."""
    heading(f"Where parts are lost: {arguments.frames} frames, 10-20 parts of all types, parts >= 50 % visible")
    bundle = load_bundle(arguments.model)
    errors = {name: PartErrors(part) for name, part in bundle.objects.items()}
    views = unseen_views(bundle.objects, arguments.frames, seed=arguments.seed)
    names, reached = [], []
    for view in views:
        rows = stages(bundle, view, errors)
        visible = np.asarray(view.visible_fraction) >= HALF_VISIBLE
        names += [name for name, seen in zip(view.object_ids, visible, strict=True) if seen]
        reached.append(rows[visible])
    shares, of = np.concatenate(reached), np.array(names)
    rows = [[name, str(np.sum(of == name)), *_percent(shares[of == name])] for name in (*bundle.objects,)]
    table(["part", "parts", *STAGES], [*rows, ["all", str(len(of)), *_percent(shares)]])
    for name, meaning in STAGES.items():
        print(f"- {name}: {meaning}")
    print(f"\nmodel {bundle.version[:12]}, seed {arguments.seed}")


def stages(bundle: PipelineBundle, view: LabelledView, errors: Mapping[str, PartErrors]) -> FloatArray:
    """(N, stages) in {0, 1}: which stages each part of a view passed."""
    frame = view.frame
    detections = bundle.segmenter(frame)
    poses = bundle.estimator(frame, detections)
    refined = bundle.refiner.candidates(frame, detections, poses)  # type: ignore[attr-defined]
    reported = bundle.refiner(frame, detections, poses)
    guesses = [(h.object_id, h.T_cam_obj) for pose in poses for h in pose.hypotheses]
    passed = []
    for name, T in zip(view.object_ids, view.T_cam_obj, strict=True):
        part, error = bundle.objects[name], errors[name]
        center = transform(T, part.center_m[None])[0]
        # Detections are counted as votes for a part by their centre in the image: the depth may be unknown.
        u, v = frame.camera.project(center[None])[0]
        reach = VOTE * part.diameter_m * frame.camera.fx / center[2]
        near = [d for d in detections if np.hypot(d.center_px[0] - u, d.center_px[1] - v) < reach]

        def right(found: list[tuple[str, FloatArray]], limit: float, name=name, T=T, error=error) -> bool:  # type: ignore[no-untyped-def]
            mine = np.array([pose for object_id, pose in found if object_id == name]).reshape(-1, 4, 4)
            return bool(np.isfinite(right_errors_m(error, mine, T[None], EvaluationConfig(max_error=limit))).any())

        passed.append(
            [
                bool(near),
                any(name in _named(d) for d in near),
                any(name == d.object_id for d in near),
                right(guesses, NEAR),
                right([(c.object_id, c.T_cam_obj) for c in refined], RIGHT),
                right([(e.object_id, e.T_cam_obj) for e in reported], RIGHT),
                right([(e.object_id, e.T_cam_obj) for e in reported if e.score >= SURE], RIGHT),
            ]
        )
    return np.array(passed, float).reshape(-1, len(STAGES))


def _named(detection: Detection) -> set[str]:
    return {detection.object_id, *(name for name, _ in detection.alternatives)}


def _percent(passed: FloatArray) -> list[str]:
    return [f"{share:.0%}" for share in passed.mean(0)] if len(passed) else ["-"] * len(STAGES)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
