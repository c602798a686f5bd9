"""Each cause of an empty frame has its code, and the sentence states the numbers that show it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from binpose_core.base.reasons import Reason
from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, PoseEstimate
from binpose_core.parts.catalogue import ObjectModel
from binpose_core.parts.empty_results import EmptyReason, odd_camera, why_empty

CAMERA = Camera(600.0, 600.0, 319.5, 239.5, 640, 480)
DETECTION = Detection("step", 0.8, (100, 100, 140, 140), np.ones((40, 40), bool), (120.0, 120.0))


def frame(depth_m: float | None = 0.4, camera: Camera = CAMERA, holes: float = 0.0) -> RgbdFrame:
    shape = (camera.height, camera.width)
    depth = None
    if depth_m is not None:
        depth = np.full(shape, depth_m, np.float32)
        depth[: int(holes * camera.height)] = 0
    return RgbdFrame(np.zeros((*shape, 3), np.uint8), depth, camera)


def pose(score: float, object_id: str = "step", **residuals: float) -> PoseEstimate:
    return PoseEstimate(object_id, np.eye(4), score, 0, residuals=residuals)


@pytest.fixture(scope="module")
def parts(objects: tuple[ObjectModel, ...]) -> dict[str, ObjectModel]:
    return {part.id: part for part in objects}


def reason_of(
    parts: dict[str, ObjectModel],
    seen: RgbdFrame,
    detections: Sequence[Detection] = (),
    poses: Sequence[PoseEstimate] = (),
) -> EmptyReason:
    reason = why_empty(seen, detections, poses, parts, 0.5)
    assert not reason.code.is_failure
    assert reason.sentence.endswith(".") and "\n" not in reason.sentence
    return reason


def test_a_good_frame_without_detections_has_no_parts(parts: dict[str, ObjectModel]) -> None:
    assert odd_camera(frame(), parts) is None
    reason = reason_of(parts, frame())
    assert reason.code == Reason.NO_PARTS and "depth_scale" not in reason.sentence


@pytest.mark.parametrize(("factor", "code"), [(10.0, Reason.PARTS_TOO_SMALL), (0.15, Reason.PARTS_TOO_LARGE)])
def test_depth_in_another_unit_makes_parts_of_an_impossible_size(
    parts: dict[str, ObjectModel], factor: float, code: Reason
) -> None:
    reason = reason_of(parts, frame(0.4 * factor), [DETECTION], [pose(0.3)])
    assert reason.code == code and "depth_scale" in reason.sentence and f"{0.4 * factor:.2f} m" in reason.sentence
    sizes = sorted(part.diameter_m * CAMERA.fx / (0.4 * factor) for part in parts.values())
    assert f"{sizes[0]:.0f} to {sizes[-1]:.0f} pixels across" in reason.sentence


def test_focal_lengths_in_millimetres_do_too(parts: dict[str, ObjectModel]) -> None:
    reason = reason_of(parts, frame(camera=replace(CAMERA, fx=4.0, fy=4.0)))
    assert reason.code == Reason.PARTS_TOO_SMALL and "focal length of 4 pixels" in reason.sentence


def test_a_unit_that_is_wrong_by_less_is_doubted(parts: dict[str, ObjectModel]) -> None:
    for poses in ((), (pose(0.2),)):
        reason = reason_of(parts, frame(0.8), [DETECTION] * len(poses), poses)
        assert reason.code in (Reason.NO_PARTS, Reason.BELOW_THRESHOLD) and "check depth_scale" in reason.sentence


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_intrinsics_of_another_image_size_are_named_with_that_size(
    parts: dict[str, ObjectModel], factor: float
) -> None:
    other = CAMERA.resized(round(640 * factor), round(480 * factor))
    reason = reason_of(parts, frame(camera=replace(other, width=640, height=480)))
    assert reason.code == Reason.PRINCIPAL_POINT and f"{640 * factor:.0f}x{480 * factor:.0f}" in reason.sentence


def test_missing_depth_is_measured_where_something_was_detected(parts: dict[str, ObjectModel]) -> None:
    reason = reason_of(parts, frame(holes=0.9))
    assert reason.code == Reason.LITTLE_DEPTH and "10%" in reason.sentence
    assert reason_of(parts, frame(holes=0.5), [DETECTION], [pose(0.1)]).code == Reason.LITTLE_DEPTH
    low = replace(DETECTION, bbox_xyxy=(100, 440, 140, 480))
    assert reason_of(parts, frame(holes=0.9), [low], [pose(0.1)]).code == Reason.BELOW_THRESHOLD


def test_the_best_pose_below_the_threshold_is_named_with_its_agreement(parts: dict[str, ObjectModel]) -> None:
    poses = [pose(0.31, depth_agreement=0.95), pose(0.2, "rod")]
    reason = reason_of(parts, frame(), [DETECTION], poses)
    assert reason.code == Reason.BELOW_THRESHOLD
    assert "0.31 of step (95% of" in reason.sentence and "threshold of 0.5;" in reason.sentence
    assert "0.4996 of" in reason_of(parts, frame(), [DETECTION], [pose(0.4996)]).sentence


def test_detections_without_a_verified_pose_say_what_became_of_them(parts: dict[str, ObjectModel]) -> None:
    assert reason_of(parts, frame(), [DETECTION]).code == Reason.NO_POSE
    reason = reason_of(parts, frame(), [DETECTION], [pose(0.0, no_overlap=1.0)])
    assert reason.code == Reason.REJECTED and "1 no overlap" in reason.sentence


def test_parts_that_are_not_reported_are_named(parts: dict[str, ObjectModel]) -> None:
    reason = why_empty(frame(), [DETECTION], [pose(0.9, "rod")], {"step": parts["step"]}, 0.5)
    assert reason.code == Reason.OTHER_PARTS and "1 rod" in reason.sentence and "none of step" in reason.sentence


def test_a_frame_without_depth_has_a_reason_too(parts: dict[str, ObjectModel]) -> None:
    assert reason_of(parts, frame(None)).code == Reason.NO_PARTS
    far = replace(frame(None), distance_m=10.0)
    assert reason_of(parts, far).code == Reason.PARTS_TOO_SMALL
