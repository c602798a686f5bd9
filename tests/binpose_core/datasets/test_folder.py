"""Whatever was recorded opens the same way."""

import json

import cv2
import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.folder import open_frames, open_recorded
from binpose_core.frames.camera import Camera

CAMERA = {"fx": 60.0, "fy": 61.0, "cx": 23.5, "cy": 15.5, "width": 48, "height": 32}
COLOR = np.random.default_rng(0).integers(0, 255, (32, 48, 3), dtype=np.uint8)
DEPTH_MM = np.random.default_rng(1).integers(400, 600, (32, 48), dtype=np.uint16)


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_text(json.dumps(content))
    else:
        assert cv2.imwrite(str(path), content[..., ::-1] if content.ndim == 3 else content)


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b"):
        put(tmp_path / f"{name}.png", COLOR)
        put(tmp_path / f"{name}_depth.png", DEPTH_MM)
    put(tmp_path / "camera.json", CAMERA)
    return tmp_path


def check(frame, depth_m=DEPTH_MM * 1e-3):
    assert np.array_equal(frame.color, COLOR) and frame.camera == Camera(**CAMERA)
    np.testing.assert_allclose(frame.depth_m, depth_m, rtol=1e-6)


def test_both_files_in_one_folder(folder):
    frames = open_frames(folder)
    assert [(frame.name, frame.scene_id, frame.image_id) for frame in frames] == [("a", 0, 0), ("b", 0, 1)]
    for frame in frames:
        check(frame.read())
        assert frame.read().name == frame.name


@pytest.mark.parametrize("color_name", ["color", "rgb", "gray"])
def test_subfolders(tmp_path, color_name):
    put(tmp_path / color_name / "7.png", COLOR)
    put(tmp_path / "depth" / "7.png", DEPTH_MM)
    put(tmp_path / "camera.json", CAMERA)
    (frame,) = open_frames(tmp_path)
    check(frame.read())
    (alone,) = open_frames(tmp_path / color_name / "7.png")
    check(alone.read())


def test_a_single_pair(folder):
    (frame,) = open_frames(folder / "b.png")
    assert frame.name == "b"
    check(frame.read())
    with pytest.raises(BinposeError, match=r"b_depth.png is not a colour image of its folder"):
        open_frames(folder / "b_depth.png")


def test_an_image_may_bring_its_own_camera_and_scale(folder):
    put(folder / "b.json", CAMERA | {"fx": 70, "depth_scale": 0.5})
    first, second = open_frames(folder)
    check(first.read())
    assert second.read().camera.fx == 70
    np.testing.assert_allclose(second.read().depth_m, DEPTH_MM * 0.5e-3, rtol=1e-6)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_depth_of_floats_is_in_metres(tmp_path, kind):
    put(tmp_path / "a.jpg", COLOR)
    put(tmp_path / "a_depth.tif", (DEPTH_MM * 1e-3).astype(kind))
    put(tmp_path / "camera.json", CAMERA)
    (frame,) = open_frames(tmp_path)
    np.testing.assert_allclose(frame.read().depth_m, DEPTH_MM * 1e-3, rtol=1e-6)


def test_mono_without_depth(tmp_path):
    put(tmp_path / "a.png", COLOR[..., 0])
    put(tmp_path / "camera.json", CAMERA)
    (frame,) = open_frames(tmp_path)
    assert frame.read().depth_m is None and frame.read().color.shape == (32, 48)


def test_an_alpha_channel_is_dropped(folder):
    with_alpha = np.dstack([COLOR[..., ::-1], np.full((32, 48), 255, np.uint8)])
    cv2.imwrite(str(folder / "a.png"), with_alpha)
    check(open_frames(folder)[0].read())


def test_distortion_is_removed(folder):
    put(folder / "camera.json", CAMERA | {"distortion": [-0.3, 0.1, 0, 0, 0]})
    frame = open_frames(folder)[0].read()
    assert frame.camera == Camera(**CAMERA) and not np.array_equal(frame.color, COLOR)


def test_a_lost_depth_file_fails_its_own_frame_only(folder):
    (folder / "a_depth.png").unlink()
    first, second = open_frames(folder)
    with pytest.raises(BinposeError, match=r"Cannot read image .*a_depth.png: No such file"):
        first.read()
    check(second.read())


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("camera.json", {"fx": 1}, "No number for fy, cx, cy, width, height in .*camera.json; expected a file such as"),
        ("camera.json", [], "camera.json holds a list; expected named entries"),
        ("camera.json", CAMERA | {"depth_scale": "mm"}, "depth_scale is mm .* expected the millimetres of one unit"),
        ("camera.json", CAMERA | {"distortion": [1, 2]}, "has 2 coefficients, .* expected OpenCV's 4, 5, 8"),
        ("camera.json", CAMERA | {"width": float("nan")}, "No number for width"),
        ("camera.json", CAMERA | {"height": float("inf")}, "No number for height"),
        ("camera.json", CAMERA | {"height": 10**400}, "No number for height"),
        ("camera.json", CAMERA | {"width": 48.5}, "width is 48.5 in .*camera.json; expected a whole number of pixels"),
        ("camera.json", CAMERA | {"depth_scale": float("nan")}, "depth_scale is nan"),
        ("camera.json", CAMERA | {"distortion": [float("nan")] * 5}, "distortion is .nan.* all finite"),
        ("camera.json", CAMERA | {"width": 96}, "colour image of 48x32 pixels, but the intrinsics are for 96x32"),
        ("camera.json", CAMERA | {"depth_scale": 1e-3}, "the unit is probably wrong"),
        ("a_depth.png", COLOR, "is uint8 with 3 channels; expected 16 bit unsigned"),
    ],
)
def test_files_that_make_no_sense(folder, name, content, told):
    put(folder / name, content)
    with pytest.raises(BinposeError, match=told):
        open_frames(folder)[0].read()


def test_places_without_frames(tmp_path, folder):
    with pytest.raises(BinposeError, match=r"Nothing at .*nowhere"):
        open_frames(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BinposeError, match=r"No images in .*empty; expected <name>.png"):
        open_frames(tmp_path / "empty")
    with pytest.raises(BinposeError, match=r"is not a BOP data set"):
        open_frames(folder, split="test")
    (folder / "camera.json").unlink()
    with pytest.raises(BinposeError, match=r"neither a.json nor camera.json; write .*camera.json such as"):
        open_frames(folder)[0].read()
    put(folder / "a.jpg", COLOR)
    with pytest.raises(BinposeError, match=r"the same name but for the format"):
        open_frames(folder)


def test_a_split_of_a_plain_image_is_refused(folder):
    with pytest.raises(BinposeError, match=r"is of no BOP data set, not of the split 'test'"):
        open_frames(folder / "a.png", split="test")


def test_a_bop_data_set_opens_from_any_of_its_folders(tmp_path):
    for split, scene in (("train", "000001"), ("train", "000002"), ("test", "000001")):
        put(tmp_path / split / scene / "rgb" / "000005.png", COLOR)
        put(tmp_path / split / scene / "scene_camera.json", {"5": {"cam_K": [60, 0, 23.5, 0, 61, 15.5, 0, 0, 1]}})
    with pytest.raises(BinposeError, match=r"has the splits test, train; choose one with --split"):
        open_frames(tmp_path)
    numbers = {
        tmp_path: [(1, 5), (2, 5)],
        tmp_path / "train": [(1, 5), (2, 5)],
        tmp_path / "train/000002": [(2, 5)],
        tmp_path / "train/000002/rgb/000005.png": [(2, 5)],
    }
    for path, expected in numbers.items():
        frames = open_frames(path, split="train" if path == tmp_path else None)
        assert [(frame.scene_id, frame.image_id) for frame in frames] == expected
        assert all(np.array_equal(frame.read().color, COLOR) for frame in frames)
    assert len(open_frames(tmp_path, split="test")) == 1
    for path in (tmp_path / "train", tmp_path / "train" / "000001", tmp_path / "train/000001/rgb/000005.png"):
        assert open_frames(path, split="train")
        with pytest.raises(BinposeError, match=r"is of the split 'train', not of the split 'test'"):
            open_frames(path, split="test")


@pytest.mark.parametrize("path", ["wrs_bins", "wrs_bins/real", "wrs_bins/real/000014", "omron_pipes"])
def test_real_recordings(path, shared_data):
    (frame,) = open_frames(shared_data / path)
    assert frame.read().camera.fx > 1000


@pytest.mark.parametrize("name", ["1.PNG", "1.Jpg", "1.TIFF"])
def test_upper_and_lower_case_are_the_same(tmp_path, name):
    layouts = ((name, "1_depth.PNG", "Camera.JSON"), (f"RGB/{name}", "Depth/1.Png", "camera.json"))
    for number, (color, depth, camera) in enumerate(layouts):
        for path, content in ((color, COLOR[..., ::-1]), (depth, DEPTH_MM)):
            place = tmp_path / str(number) / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(cv2.imencode(".png", content)[1].tobytes())  # OpenCV tells the format by the content.
        (tmp_path / str(number) / camera).write_text(json.dumps(CAMERA))
        (frame,) = open_frames(tmp_path / str(number))
        check(frame.read())


def test_a_depth_image_is_none_in_any_case(folder):
    (folder / "a_depth.png").rename(folder / "a_Depth.PNG")
    assert [frame.name for frame in open_frames(folder)] == ["a", "b"]
    check(open_frames(folder)[0].read())


def test_what_is_left_out_or_looks_odd_is_remarked(folder):
    (folder / "a.webp").touch()
    put(folder / "camera.json", CAMERA | {"cx": 40.0, "serial": 7})
    recorded = open_recorded(folder)
    assert "files that end with '.webp'" in recorded.notes[0]
    notes = recorded.frames[0].read().notes
    assert any("serial" in note for note in notes) and any("principal point" in note for note in notes)
    assert notes == recorded.frames[1].read().notes


def test_colour_of_sixteen_bits(folder):
    cv2.imwrite(str(folder / "a.png"), COLOR[..., ::-1].astype(np.uint16) * 257)
    check(open_frames(folder)[0].read())


def test_a_camera_file_with_a_byte_order_mark(folder):
    (folder / "camera.json").write_text(json.dumps(CAMERA), encoding="utf-8-sig")
    check(open_frames(folder)[0].read())
