"""Golden frames are a data set in the store; the share of their parts that is found is the score."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from binpose_core.datasets.bop import BopWriter
from binpose_core.evaluation.golden import FOLDER, GoldenFrame, found_share, golden_frames, seen_share, true_detections
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection


@pytest.fixture
def golden(tmp_path: Path, objects: Any, scenes: Any) -> list[GoldenFrame]:
    with BopWriter(tmp_path / FOLDER, "test", 0, objects) as writer:
        for scene in scenes:
            writer.write(scene.frame, scene.object_ids, scene.T_cam_obj, scene.instance_ids)
    return golden_frames(tmp_path)


@pytest.fixture
def parts(objects: Any) -> dict[str, Any]:
    return {part.id: part for part in objects}


def truth(golden: GoldenFrame) -> list[tuple[str, np.ndarray]]:
    return list(zip(golden.object_ids, golden.T_cam_obj, strict=True))


def test_a_store_may_have_none(tmp_path: Path, parts: dict[str, Any]) -> None:
    assert golden_frames(tmp_path) == []
    assert found_share([], parts, truth) is None
    assert seen_share([], parts, lambda frame: []) is None


def test_the_parts_of_the_data_set_are_the_truth(golden: list[GoldenFrame], scenes: Any) -> None:
    assert [frame.object_ids for frame in golden] == [scene.object_ids for scene in scenes]
    np.testing.assert_allclose(golden[0].T_cam_obj, scenes[0].T_cam_obj, atol=1e-6)
    np.testing.assert_allclose(golden[0].frame.depth_m, scenes[0].frame.depth_m, atol=1e-3)


def test_the_share_is_that_of_the_right_poses(golden: list[GoldenFrame], parts: dict[str, Any]) -> None:
    assert found_share(golden, parts, truth) == 1.0
    assert found_share(golden, parts, lambda frame: truth(frame)[1:]) == pytest.approx(2 / 3)
    assert found_share(golden, parts, lambda frame: []) == 0.0

    def moved(frame: GoldenFrame) -> list[tuple[str, np.ndarray]]:
        away = np.eye(4)
        away[0, 3] = 0.2 * max(part.diameter_m for part in parts.values())
        return [(object_id, away @ T) for object_id, T in truth(frame)]

    assert found_share(golden, parts, moved) == 0.0
    assert found_share(golden, parts, lambda frame: [("rod", T) for _, T in truth(frame)]) == pytest.approx(1 / 3)


def test_a_part_is_seen_where_its_middle_is_and_under_its_name(
    golden: list[GoldenFrame], parts: dict[str, Any]
) -> None:
    by_depth = {frame.frame.depth_m.tobytes(): frame for frame in golden}

    def segment(frame: RgbdFrame, shift_px: float = 0.0) -> list[Detection]:
        found = []
        for object_id, T in truth(by_depth[frame.depth_m.tobytes()]):
            middle_cam = T[:3, :3] @ parts[object_id].center_m + T[:3, 3]
            u, v = frame.camera.project(middle_cam)
            found.append(Detection(object_id, 0.9, (0, 0, 1, 1), np.ones((1, 1), bool), (u + shift_px, v)))
        return found

    assert seen_share(golden, parts, segment) == 1.0
    assert seen_share(golden, parts, lambda frame: segment(frame, 30.0)) == 0.0
    assert seen_share(golden, parts, lambda frame: segment(frame)[:1]) == pytest.approx(1 / 3)


def test_a_part_that_the_model_does_not_know_is_not_found(golden: list[GoldenFrame], parts: dict[str, Any]) -> None:
    known = {name: part for name, part in parts.items() if name != "rod"}
    share = np.mean([name != "rod" for frame in golden for name in frame.object_ids])
    assert 0 < share < 1
    assert found_share(golden, known, lambda frame: [p for p in truth(frame) if p[0] in known]) == pytest.approx(share)

    by_depth = {frame.frame.depth_m.tobytes(): frame for frame in golden}

    def segment(frame: RgbdFrame) -> list[Detection]:
        found = []
        for object_id, T in truth(by_depth[frame.depth_m.tobytes()]):
            u, v = frame.camera.project(T[:3, :3] @ parts[object_id].center_m + T[:3, 3])
            found.append(Detection(object_id, 0.9, (0, 0, 1, 1), np.ones((1, 1), bool), (u, v)))
        return found

    assert seen_share(golden, known, segment) == pytest.approx(share)


def test_true_detections_are_seen_and_hold_the_visible_pixels(
    golden: list[GoldenFrame], parts: dict[str, Any], tmp_path: Path
) -> None:
    by_depth = {frame.frame.depth_m.tobytes(): frame for frame in golden}
    assert seen_share(golden, parts, lambda frame: true_detections(by_depth[frame.depth_m.tobytes()], parts)) == 1.0
    first = golden[0]
    camera, found = first.frame.camera, true_detections(first, parts)
    for detection, T, mask in zip(found, first.T_cam_obj, first.source.masks()[list(first.annotations)], strict=True):
        np.testing.assert_array_equal(detection.full_mask(camera.height, camera.width), mask)
        center_m = parts[detection.object_id].center_m
        assert detection.center_depth_m == pytest.approx((T[:3, :3] @ center_m + T[:3, 3])[2])
    known = {name: part for name, part in parts.items() if name != "rod"}
    assert [d.object_id for d in true_detections(first, known)] == [n for n in first.object_ids if n != "rod"]
    shutil.rmtree(next((tmp_path / FOLDER).glob("*/*/mask_visib")))
    assert true_detections(first, parts) == []
