"""Kernels are compiled before the first frame, on a scene that the stages can work on."""

from collections.abc import Sequence

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.base.kernel_compilation import on_compilation
from binpose_core.parts.catalogue import ObjectModel
from binpose_core.parts.drawn_scene import CAMERA, drawn_scene
from binpose_pipeline.bundle import PipelineBundle
from binpose_pipeline.kernels import compile_kernels
from binpose_pipeline.pipeline import Pipeline


def test_the_scene_shows_every_part_where_its_pose_says(objects: Sequence[ObjectModel]) -> None:
    parts = {part.id: part for part in objects}
    scene = drawn_scene(parts)
    assert {pose.object_id for pose in scene.poses} == set(parts) and len(scene.poses) == 3
    assert scene.frame.depth_m is not None
    for pose, detection in zip(scene.poses, scene.detections, strict=True):
        center = pose.T_cam_obj[:3, :3] @ parts[pose.object_id].center_m + pose.T_cam_obj[:3, 3]
        np.testing.assert_allclose(CAMERA.project(center), detection.center_px, atol=1e-6)
        seen = scene.frame.depth_m[detection.full_mask(CAMERA.height, CAMERA.width)]
        assert abs(np.median(seen) - center[2]) < parts[pose.object_id].diameter_m


def test_a_frame_after_it_compiles_nothing(networks: PipelineBundle) -> None:
    compile_kernels(networks.pipeline, networks.objects)
    compiled: list[str] = []
    with on_compilation(lambda _, name: compiled.append(name)):
        networks.pipeline(drawn_scene(networks.objects).frame)
    assert not compiled


def test_a_stage_that_refuses_the_scene_does_not_end_the_program(networks: PipelineBundle) -> None:
    calls: list[str] = []

    def refusing(*_: object) -> list:
        raise BinposeError("no drawings, please")

    def refine(*_: object) -> list:
        calls.append("refined")
        return []

    compile_kernels(Pipeline(refusing, refusing, refine), networks.objects)
    assert calls == ["refined"]
