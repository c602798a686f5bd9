"""Poses, hypotheses and covariances go through messages without loss."""

from typing import Any

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.types import Detection, Hypothesis, PoseEstimate
from binpose_core.geometry.transforms import from_rotation_translation, random_rotation, transform
from binpose_core.parts.objects import ObjectModel
from binpose_ros.poses import read_poses, to_matrix, transforms, with_detections, write_poses
from binpose_ros.serialized import serialized_header
from binpose_ros.stamps import Header, from_header
from binpose_ros.vision_arrays import instance_id

VERSION = "0123456789abcdef" * 4


@pytest.fixture
def poses(rng: np.random.Generator) -> list[PoseEstimate]:
    """One with hypotheses and covariance, one with neither."""
    T = [from_rotation_translation(random_rotation(rng), rng.uniform(-0.2, 0.6, 3)) for _ in range(4)]
    root = rng.normal(size=(6, 6)) * 1e-3
    candidates = tuple(Hypothesis("block", T[i], score) for i, score in enumerate((0.9, 0.5, 0.2)))
    return [
        PoseEstimate("block", T[0], 0.9, covariance=root @ root.T, hypotheses=candidates),
        PoseEstimate("block", T[3], 0.7),
    ]


@pytest.fixture
def data(poses: list[PoseEstimate], block: ObjectModel, header: Header) -> bytes:
    return write_poses(poses, {"block": block}, header, VERSION)


def test_poses_come_back_as_they_were_sent(poses: list[PoseEstimate], data: bytes) -> None:
    received, version = read_poses(data)
    assert version and VERSION.startswith(version)
    for before, after in zip(poses, received, strict=True):
        assert (after.object_id, after.score) == (before.object_id, before.score)
        np.testing.assert_allclose(after.T_cam_obj, before.T_cam_obj, atol=1e-12)
    np.testing.assert_allclose(received[0].covariance, poses[0].covariance)
    assert received[1].covariance is None
    for before, after in zip(poses[0].hypotheses, received[0].hypotheses, strict=True):
        assert (after.object_id, after.score) == (before.object_id, before.score)
        np.testing.assert_allclose(after.T_cam_obj, before.T_cam_obj, atol=1e-12)


def test_it_is_the_message_that_ros_knows(
    poses: list[PoseEstimate], data: bytes, block: ObjectModel, header: Header, types: Any
) -> None:
    array = types.read(data, "Detection3DArray")
    assert types.serialized(array) == data
    assert {from_header(array), *(from_header(entry) for entry in array.detections)} == {header}
    for number, (pose, entry) in enumerate(zip(poses, array.detections, strict=True)):
        assert entry.id == f"{VERSION[:12]}/{number}"
        result = entry.results[0]
        assert (result.hypothesis.class_id, result.hypothesis.score) == ("block", pose.score)
        np.testing.assert_allclose(to_matrix(result.pose.pose), pose.T_cam_obj, atol=1e-12)
        covariance = np.zeros((6, 6)) if pose.covariance is None else pose.covariance
        np.testing.assert_array_equal(np.reshape(result.pose.covariance, (6, 6)), covariance)


def test_the_box_holds_the_part(poses: list[PoseEstimate], data: bytes, block: ObjectModel, types: Any) -> None:
    box = types.read(data, "Detection3DArray").detections[0].bbox
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    corners_cam = transform(to_matrix(box.center), corners * np.array([box.size.x, box.size.y, box.size.z]) / 2)
    vertices_cam = transform(poses[0].T_cam_obj, block.mesh.vertices.astype(np.float64))
    distance = np.linalg.norm(corners_cam[:, None] - vertices_cam, axis=2)
    assert distance.min(0).max() < 1e-7  # each vertex of a block is a corner of its box


def test_poses_know_their_detections(data: bytes) -> None:
    detections = [Detection("block", score, (0, 0, 1, 1), np.ones((1, 1), bool), (0.0, 0.0)) for score in (0.5, 0.4)]
    received = with_detections(read_poses(data)[0], detections)
    assert [pose.detection_index for pose in received] == [0, 1]
    with pytest.raises(BinposeError, match="2 poses for 1 detections"):
        with_detections(received, detections[:1])


def test_none_found_is_an_empty_array_with_a_header(block: ObjectModel, header: Header) -> None:
    data = write_poses([], {"block": block}, header, VERSION)
    assert serialized_header(data) == header and read_poses(data) == ([], "")


def test_what_is_no_pose_is_refused(data: bytes, types: Any) -> None:
    array = types.read(data, "Detection3DArray")
    object.__setattr__(array.detections[0].results[0].pose.pose.position, "x", float("nan"))
    with pytest.raises(BinposeError, match="are no pose"):
        read_poses(types.serialized(array))


def test_poses_of_two_models_are_refused(data: bytes, types: Any) -> None:
    array = types.read(data, "Detection3DArray")
    object.__setattr__(array.detections[1], "id", instance_id("feedbeef" * 8, 1))
    with pytest.raises(BinposeError, match="one model"):
        read_poses(types.serialized(array))


def test_each_part_has_a_frame(poses: list[PoseEstimate], header: Header, types: Any) -> None:
    received = types.sent(transforms(poses, header, types)).transforms
    assert [t.child_frame_id for t in received] == ["bin/block_0", "bin/block_1"]
    assert all(from_header(t) == header for t in received)
    for pose, entry in zip(poses, received, strict=True):
        translation = entry.transform.translation
        np.testing.assert_allclose([translation.x, translation.y, translation.z], pose.T_cam_obj[:3, 3])
