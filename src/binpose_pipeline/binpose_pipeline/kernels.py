"""Compiling the kernels of a pipeline before its first frame, on a drawn scene of its own parts."""

import contextlib
from collections.abc import Mapping

from binpose_core.base.errors import BinposeError
from binpose_core.parts.drawn_scene import drawn_scene
from binpose_core.parts.objects import ObjectModel
from binpose_pipeline.pipeline import Pipeline


def compile_kernels(pipeline: Pipeline, objects: Mapping[str, ObjectModel]) -> None:
    """Run each stage once, with the truth as its input: what one stage overlooks is not missing for the next.

    Args:
        pipeline: whose kernels are needed.
        objects: its parts by id.
    """
    scene = drawn_scene(objects)
    # A stage that cannot work on the drawing compiles what is missing at the first frame.
    for stage in (
        lambda: pipeline(scene.frame),
        lambda: pipeline.estimator(scene.frame, scene.detections),
        lambda: pipeline.refiner(scene.frame, scene.detections, scene.poses),
    ):
        with contextlib.suppress(BinposeError):
            stage()
