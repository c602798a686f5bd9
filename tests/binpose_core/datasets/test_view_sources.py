"""Frames of one bin are grouped; those without a usable camera pose stay alone."""

import json
from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.bop import BopDataset
from binpose_core.datasets.folder import open_frames
from binpose_core.datasets.sensor_frames import open_sensors
from binpose_core.datasets.view_sources import MOST_VIEWS, group_views
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation, inverse


def pose_of(k: float) -> np.ndarray:
    return from_rotation_translation(exp_so3(np.array([0.1 * k, 0.2, -0.3])), np.array([0.1 * k, 0.2, 0.7]))


@dataclass(frozen=True)
class Source:
    name: str
    bin_name: str
    pose: object
    scene_id: int = 0
    image_id: int = 0

    def read(self):
        raise NotImplementedError

    def camera_pose(self):
        if isinstance(self.pose, BinposeError):
            raise self.pose
        return self.pose


def sources(count: int, name: str = "bin", first: int = 0) -> list[Source]:
    return [Source(f"{name}{k}", name, pose_of(first + k)) for k in range(count)]


def names(groups) -> list[tuple[str, ...]]:
    return [tuple(source.name for source in group.sources) for group in groups]


def test_frames_of_one_bin_are_one_group_and_each_frame_is_in_one() -> None:
    mixed = [frame for pair in zip(sources(3, "a"), sources(3, "b"), strict=True) for frame in pair]
    assert names(group_views(mixed)) == [("a0", "a1", "a2"), ("b0", "b1", "b2")]


@pytest.mark.parametrize("views", [2, 3, 5, 7])
def test_a_number_of_views_spreads_them_over_the_bin(views: int) -> None:
    groups = group_views(sources(7), views)
    assert max(len(group.sources) for group in groups) <= views
    assert sorted(name for group in names(groups) for name in group) == sorted(f"bin{k}" for k in range(7))
    assert len({group.name for group in groups}) == len(groups)


def test_one_view_at_a_time_is_each_frame_alone() -> None:
    assert names(group_views(sources(3), 1)) == [("bin0",), ("bin1",), ("bin2",)]


def test_a_camera_that_rests_makes_a_film_and_no_views() -> None:
    film = [Source(f"f{k}", "bin", pose_of(1)) for k in range(4)]
    groups = group_views(film)
    assert all(len(group.sources) == 1 and not group.notes for group in groups)


def test_many_frames_need_a_number() -> None:
    groups = group_views(sources(MOST_VIEWS + 1))
    assert all(len(group.sources) == 1 and "--views 5" in group.notes[0] for group in groups)
    assert max(len(group.sources) for group in group_views(sources(MOST_VIEWS + 1), 5)) == 5


def test_a_missing_and_a_damaged_camera_pose_leave_the_others_together() -> None:
    frames = [*sources(2), Source("none", "bin", None), Source("bad", "bin", BinposeError("T_world_cam is odd."))]
    groups = group_views(frames)
    assert names(groups) == [("bin0", "bin1"), ("none",), ("bad",)]
    assert "Frame none is used alone: it has no camera pose" in groups[1].notes[0]
    assert groups[2].notes == ("Frame bad is used alone: T_world_cam is odd.",)


def write_folder(folder, info, count: int = 3) -> None:
    folder.mkdir(exist_ok=True)
    for k in range(count):
        cv2.imwrite(str(folder / f"v{k}.png"), np.zeros((60, 80), np.uint8))
    camera = {"fx": 60.0, "fy": 60.0, "cx": 39.5, "cy": 29.5, "width": 80, "height": 60}
    (folder / "camera.json").write_text(json.dumps(camera | info))


def test_a_plain_folder_holds_a_pose_for_each_image(tmp_path) -> None:
    write_folder(tmp_path / "pile", {"T_world_cam": {f"v{k}": pose_of(k).tolist() for k in range(3)}})
    (group,) = group_views(open_frames(tmp_path / "pile"))
    assert group.name == "pile"
    for k, source in enumerate(group.sources):
        np.testing.assert_allclose(source.camera_pose(), pose_of(k), atol=1e-9)
        assert source.read().notes == ()


def test_a_plain_folder_may_hold_several_bins(tmp_path) -> None:
    poses = {f"v{k}": pose_of(k).tolist() for k in range(4)}
    write_folder(tmp_path / "p", {"T_world_cam": poses, "bin": {"v0": "A", "v1": "A", "v2": "B", "v3": "B"}}, 4)
    assert names(group_views(open_frames(tmp_path / "p"))) == [("v0", "v1"), ("v2", "v3")]


def write_bop(root, sensor: str = "", shift: float = 0.0, damage=None) -> None:
    suffix = f"_{sensor}" if sensor else ""
    scene = root / "test" / "000002"
    (scene / f"rgb{suffix}").mkdir(parents=True, exist_ok=True)
    entries = {}
    for k in range(3):
        cv2.imwrite(str(scene / f"rgb{suffix}" / f"{k:06d}.png"), np.zeros((60, 80, 3), np.uint8))
        T = inverse(pose_of(k + shift))
        entries[str(k)] = {
            "cam_K": [60.0, 0, 39.5, 0, 60.0, 29.5, 0, 0, 1],
            "depth_scale": 1.0,
            "cam_R_w2c": T[:3, :3].ravel().tolist(),
            "cam_t_w2c": (1e3 * T[:3, 3]).tolist(),
        }
    if damage:
        damage(entries)
    (scene / f"scene_camera{suffix}.json").write_text(json.dumps(entries))


def test_bop_camera_poses_are_read_in_metres(tmp_path) -> None:
    write_bop(tmp_path)
    (group,) = group_views(list(BopDataset(tmp_path).frames("test")))
    assert group.name == "000002"
    for k, source in enumerate(group.sources):
        np.testing.assert_allclose(source.camera_pose(), pose_of(k), atol=1e-9)


def test_a_bop_scene_may_name_several_bins(tmp_path) -> None:
    write_bop(tmp_path, damage=lambda entries: [entries[k].update(bin=int(k) // 2) for k in entries])
    assert names(group_views(open_frames(tmp_path))) == [("000002_000000", "000002_000001"), ("000002_000002",)]


def test_a_bop_camera_pose_that_is_not_rigid_is_named(tmp_path) -> None:
    write_bop(tmp_path, damage=lambda entries: entries["1"].update(cam_R_w2c=[2, 0, 0, 0, 2, 0, 0, 0, 2]))
    groups = group_views(open_frames(tmp_path))
    assert names(groups) == [("000002_000000", "000002_000002"), ("000002_000001",)]
    assert "cam_R_w2c" in groups[1].notes[0] and "rigid motion" in groups[1].notes[0]


def test_half_a_bop_camera_pose_is_named(tmp_path) -> None:
    write_bop(tmp_path, damage=lambda entries: entries["1"].pop("cam_t_w2c"))
    assert "cam_t_w2c is None" in group_views(open_frames(tmp_path))[1].notes[0]


def test_images_of_several_sensors_with_one_number_are_views_of_one_bin(tmp_path) -> None:
    for number, sensor in enumerate(("cam1", "cam2", "cam3")):
        write_bop(tmp_path, sensor, 0.4 * number)
    frames = open_sensors(tmp_path, "test", ("cam2", "cam1")).frames
    groups = group_views(frames)
    assert names(groups)[0] == ("000002_000000", "000002_000000_cam1") and len(groups) == 3
    np.testing.assert_allclose(groups[1].sources[0].camera_pose(), pose_of(1.4), atol=1e-9)
    with pytest.raises(BinposeError, match="names a sensor twice"):
        open_sensors(tmp_path, "test", ("cam1", "cam1"))
