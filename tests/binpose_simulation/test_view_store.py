import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from binpose_core.base.errors import BinposeError, DiskFull
from binpose_core.frames.camera import Camera
from binpose_core.frames.labels import hide_instances
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import UNKNOWN, LabelledView
from binpose_core.geometry.transforms import from_rotation_translation, random_rotation
from binpose_simulation.scene import SimulatedView
from binpose_simulation.view_store import DEPTH_UNIT_M, ViewStore

CAMERA = Camera(123.4, 122.9, 39.6, 30.2, 80, 60)


def view(seed: int, mono: bool = False, depth: bool = True, parts: int = 3) -> SimulatedView:
    """A smooth image with noise of a camera, and numbers that no rounding leaves as they are."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:60, :80]
    color = np.stack([100 + rows, 60 + columns, 200 - rows - columns // 2], -1) + rng.normal(0, 2, (60, 80, 1))
    depth_m = (0.5 + 0.001 * rows + 0.0007 * columns + rng.normal(0, 1e-3, (60, 80))).astype(np.float32)
    depth_m[rng.random((60, 80)) < 0.1] = 0
    image = color.astype(np.uint8)
    frame = RgbdFrame(image[..., 0].copy() if mono else image, depth_m if depth else None, CAMERA)
    return SimulatedView(
        frame=frame,
        object_ids=tuple(f"part {i}" for i in range(parts)),
        T_cam_obj=from_rotation_translation(random_rotation(rng, (parts,)), rng.normal(size=(parts, 3))),
        instance_ids=rng.integers(-1, parts, (60, 80)).astype(np.int16),
        visible_fraction=rng.random(parts),
        visible_px=rng.integers(0, 1000, parts),
        T_cam_world=from_rotation_translation(random_rotation(rng), rng.normal(size=3)),
        depth_clean_m=(depth_m + np.float32(0.003)).astype(np.float32),
        sensor="active_stereo",
    )


def assert_close(read: SimulatedView, written: SimulatedView) -> None:
    """The truth as it was, the images within a step of their coding."""
    assert read.object_ids == written.object_ids and read.frame.camera == written.frame.camera
    assert read.sensor == written.sensor
    for name in ("T_cam_obj", "T_cam_world", "visible_fraction", "visible_px", "instance_ids"):
        one, other = getattr(read, name), getattr(written, name)
        assert one.dtype == other.dtype and one.shape == other.shape
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(read.depth_clean_m, written.depth_clean_m, atol=0.51 * DEPTH_UNIT_M)
    assert read.frame.color.shape == written.frame.color.shape and read.frame.color.dtype == np.uint8
    difference = np.abs(read.frame.color.astype(int) - written.frame.color)
    assert difference.mean() < 2 and difference.max() < 16
    assert (read.frame.depth_m is None) == (written.frame.depth_m is None)
    if read.frame.depth_m is not None and written.frame.depth_m is not None:
        np.testing.assert_allclose(read.frame.depth_m, written.frame.depth_m, atol=0.51 * DEPTH_UNIT_M)
        np.testing.assert_array_equal(read.frame.depth_m == 0, written.frame.depth_m == 0)


@pytest.mark.parametrize("changes", [{}, {"mono": True}, {"depth": False}, {"parts": 0}])
def test_what_is_read_is_what_was_written(tmp_path: Path, changes: dict[str, int]) -> None:
    store = ViewStore(tmp_path / "views")
    written = view(1, **changes)
    store.append(written)
    assert_close(store[0], written)


def test_a_store_is_a_sequence(tmp_path: Path) -> None:
    store = ViewStore(tmp_path)
    assert len(store) == 0
    for seed in range(4):
        store.append(view(seed))
    assert len(store) == 4
    assert_close(store[-1], view(3))
    assert [v.frame.name for v in store] == [v.frame.name for v in store[0:4]]
    for one, seed in zip(store[1:3], (1, 2), strict=True):
        assert_close(one, view(seed))
    for index in (4, -5):
        with pytest.raises(IndexError):
            store[index]


def test_an_interrupted_store_goes_on_where_it_stopped(tmp_path: Path) -> None:
    first = ViewStore(tmp_path)
    first.append(view(0))
    first.append(view(1))
    (tmp_path / ".view-000002.host-1-12345678.tmp.npz").write_bytes(b"half a view")
    resumed = ViewStore(tmp_path)
    assert len(resumed) == 2
    resumed.append(view(2))
    assert len(ViewStore(tmp_path)) == 3
    for index in range(3):
        assert_close(resumed[index], view(index))


def test_a_full_disk_is_told_and_the_store_stays_as_it_was(tmp_path: Path, full_disk: Callable) -> None:
    store = ViewStore(tmp_path / "views")
    store.append(view(0))
    with full_disk(2000), pytest.raises(DiskFull, match="no space is left"):
        store.append(view(1))
    assert len(store) == 1 and [path.name for path in (tmp_path / "views").iterdir()] == ["view-000000.npz"]
    store.append(view(1))
    assert_close(store[1], view(1))


def test_depth_beyond_the_range_is_not_seen(tmp_path: Path) -> None:
    """It must not come back as a wall at the end of the range."""
    far = view(0)
    depth_m = far.frame.depth_m.copy()
    depth_m[:10] = 5.0
    store = ViewStore(tmp_path)
    store.append(replace(far, frame=replace(far.frame, depth_m=depth_m)))
    assert not store[0].frame.depth_m[:10].any()
    np.testing.assert_allclose(store[0].frame.depth_m[10:], depth_m[10:], atol=0.51 * DEPTH_UNIT_M)


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "flipped byte", "missing entry"])
def test_a_damaged_view_is_told_in_one_sentence(tmp_path: Path, damage: str) -> None:
    store = ViewStore(tmp_path)
    store.append(view(0))
    path = next(tmp_path.glob("view-*.npz"))
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    elif damage == "empty":
        content = bytearray()
    elif damage == "text":
        content = bytearray(b"not a view")
    elif damage == "flipped byte":
        content[content.index(b"depth.npy") + 400] ^= 0xFF
    else:
        with np.load(path) as data:
            kept = {name: data[name] for name in data.files if name != "T_cam_obj"}
        np.savez(path, **kept)
        content = bytearray(path.read_bytes())
    path.write_bytes(content)
    with pytest.raises(BinposeError, match=r"The view .* cannot be read .*; expected .*; delete") as raised:
        store[0]
    assert "\n" not in str(raised.value)


def test_a_view_stored_before_sensors_were_named_is_read(tmp_path: Path) -> None:
    store = ViewStore(tmp_path)
    store.append(view(0))
    path = next(tmp_path.glob("view-*.npz"))
    with np.load(path) as data:
        arrays = {name: data[name] for name in data.files}
    header = json.loads(arrays["header"].tobytes())
    del header["sensor"]
    np.savez(path, **(arrays | {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)}))
    assert_close(replace(store[0], sensor="active_stereo"), view(0))
    assert store[0].sensor == ""


def test_a_view_is_small(tmp_path: Path) -> None:
    store = ViewStore(tmp_path)
    store.append(view(0))
    pixels = CAMERA.width * CAMERA.height
    assert next(tmp_path.glob("view-*.npz")).stat().st_size < 8 * pixels


def test_what_is_not_known_is_stored(tmp_path: Path) -> None:
    whole = view(0)
    ids = whole.instance_ids.copy()
    ids[:9] = UNKNOWN
    poses = whole.T_cam_obj.copy()
    poses[1] = np.nan
    partial = replace(
        whole,
        instance_ids=ids,
        T_cam_obj=poses,
        object_ids=("part 0", "part 1", "part 2"),
        weight=np.array([1, 0.5, 0]),
    )
    store = ViewStore(tmp_path)
    for written in (partial, hide_instances(whole, np.array([True, False, True]), keep_background=False)):
        store.append(written)
        assert_close(store[-1], written)
        np.testing.assert_array_equal(store[-1].known_weight, written.known_weight)
        np.testing.assert_array_equal(store[-1].known_ids, written.known_ids)


def test_a_view_without_weights_is_stored_and_read_as_before(tmp_path: Path) -> None:
    store = ViewStore(tmp_path)
    store.append(view(0))
    with np.load(next(tmp_path.glob("view-*.npz"))) as data:
        assert "weight" not in data
    assert store[0].weight is None and store[0].pose_known.all()


@pytest.mark.parametrize("parts", [3, 400])
def test_unknown_pixels_stay_unknown_whatever_the_number_of_parts(tmp_path: Path, parts: int):
    written = view(7, parts=parts)
    ids = written.instance_ids.copy()
    ids[:5] = UNKNOWN
    ids[5, :2] = parts - 1, -1
    store = ViewStore(tmp_path)
    store.append(replace(written, instance_ids=ids))
    np.testing.assert_array_equal(store[0].instance_ids, ids)


def test_depth_beyond_the_range_becomes_invalid(tmp_path: Path):
    written = view(8)
    far = written.depth_clean_m.copy()
    far[0, :4] = 3.2, 3.27, 3.28, 70.0
    store = ViewStore(tmp_path)
    store.append(replace(written, depth_clean_m=far))
    np.testing.assert_allclose(store[0].depth_clean_m[0, :4], [3.2, 3.27, 0, 0], atol=DEPTH_UNIT_M)


def test_views_of_earlier_releases_can_be_read(tmp_path: Path):
    store, written = ViewStore(tmp_path), view(9)
    store.append(written)
    path = next(tmp_path.glob("view-*.npz"))
    with np.load(path) as data:
        arrays = {name: data[name] for name in data.files}
    for name in ("depth", "depth_clean"):
        arrays[name] = cv2.imencode(".png", arrays[name])[1]
    arrays["instances"] = cv2.imencode(".png", arrays["instances"].astype(np.uint16))[1]
    expected = store[0]
    np.savez(path, **arrays)
    assert_close(store[0], written)
    np.testing.assert_array_equal(store[0].frame.depth_m, expected.frame.depth_m)


def test_recorded_views_keep_their_partial_labels_and_the_frame_s_name(tmp_path: Path) -> None:
    simulated = view(3)
    ids = simulated.instance_ids.copy()
    ids[:5] = UNKNOWN
    recorded = LabelledView(
        replace(simulated.frame, name="bag_000012"),
        ("part 0", "", "part 2"),
        np.where(np.array([False, True, False])[:, None, None], np.nan, simulated.T_cam_obj),
        ids,
        simulated.visible_fraction,
        weight=np.array([1.0, 0.0, 0.5]),
    )
    store = ViewStore(tmp_path)
    store.append(recorded)
    read = ViewStore(tmp_path)[0]
    assert type(read) is LabelledView and read.frame.name == "bag_000012" and read.object_ids == recorded.object_ids
    np.testing.assert_array_equal(read.instance_ids, ids)
    np.testing.assert_array_equal(read.T_cam_obj, recorded.T_cam_obj)
    np.testing.assert_array_equal(read.known_weight, recorded.known_weight)
