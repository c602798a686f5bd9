"""A bin with two parts in known poses, for the laws of self-training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from binpose_core.frames.types import Detection, PoseEstimate
from binpose_core.geometry.transforms import FloatArray, exp_so3
from binpose_core.parts.catalogue import ObjectModel


@dataclass(frozen=True)
class KnownFrame:
    """A frame with the detections and the poses of its parts."""

    scene: Any
    detections: list[Detection]
    poses: list[PoseEstimate]


@pytest.fixture
def parts(objects: Sequence[ObjectModel]) -> dict[str, ObjectModel]:
    return {model.id: model for model in objects}


@pytest.fixture
def known(scenes: list[Any]) -> KnownFrame:
    """The first scene as a perfect teacher reports it."""
    return as_known(scenes[0])


def as_known(scene: Any) -> KnownFrame:
    detections = [
        Detection.from_mask(name, 0.9, scene.instance_ids == number) for number, name in enumerate(scene.object_ids)
    ]
    poses = [
        PoseEstimate(name, T, 0.95, detection_index=number)
        for number, (name, T) in enumerate(zip(scene.object_ids, scene.T_cam_obj, strict=True))
    ]
    return KnownFrame(scene, detections, poses)


def moved(
    pose: PoseEstimate, shift_m: Sequence[float] = (0, 0, 0), turn_rad: Sequence[float] = (0, 0, 0)
) -> PoseEstimate:
    """The pose after a shift in the camera's frame and a turn of the part about its own origin."""
    T: FloatArray = pose.T_cam_obj.copy()
    T[:3, :3] = T[:3, :3] @ exp_so3(np.asarray(turn_rad, float))
    T[:3, 3] += shift_m
    return replace(pose, T_cam_obj=T)
