"""Data sets with a set of files per sensor are read like classic ones; what cannot be read is named."""

import json

import cv2
import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.bop import BopDataset
from binpose_core.datasets.bop_layout import is_bop_dataset, is_scene, sensors_of
from binpose_core.datasets.folder import open_frames, open_recorded
from binpose_core.frames.camera import Camera

CAMERA = Camera(60.0, 61.0, 23.5, 15.5, 48, 32)
COLOR = np.random.default_rng(0).integers(0, 255, (32, 48, 3), dtype=np.uint8)
DEPTH = np.random.default_rng(1).integers(4000, 6000, (32, 48), dtype=np.uint16)
TRUTH = {"cam_R_m2c": [1, 0, 0, 0, 1, 0, 0, 0, 1], "cam_t_m2c": [0, 0, 500], "obj_id": 3}


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_text(json.dumps(content))
    else:
        assert cv2.imwrite(str(path), content[..., ::-1] if content.ndim == 3 else content)


def write_scene(scene, sensor="", color="rgb", fx=60.0, extension=".png"):
    suffix = f"_{sensor}" if sensor else ""
    put(scene / f"{color}{suffix}" / f"000005{extension}", COLOR)
    put(scene / f"depth{suffix}" / f"000005{extension.replace('jpg', 'png')}", DEPTH)
    put(scene / f"mask_visib{suffix}" / "000005_000000.png", np.full((32, 48), 255, np.uint8))
    entry = {"cam_K": [fx, 0, 23.5, 0, 61, 15.5, 0, 0, 1], "depth_scale": 0.1}
    put(scene / f"scene_camera{suffix}.json", {"5": entry})
    put(scene / f"scene_gt{suffix}.json", {"5": [TRUTH]})
    put(scene / f"scene_gt_info{suffix}.json", {"5": [{"visib_fract": 0.5}]})


def check(frame, fx=60.0):
    read = frame.read()
    assert np.array_equal(read.color, COLOR) and read.camera == Camera(fx, 61, 23.5, 15.5, 48, 32)
    np.testing.assert_allclose(read.depth_m, DEPTH * 1e-4, rtol=1e-6)
    (truth,) = frame.ground_truth()
    assert truth.obj_id == 3 and truth.visible_fraction == 0.5
    assert frame.masks().all() and frame.masks().shape == (1, 32, 48)


@pytest.mark.parametrize("color", ["rgb", "gray"])
@pytest.mark.parametrize("sensor", ["photoneo", "cam1", "3dlong", "real_sense"])
def test_the_only_sensor_is_taken(tmp_path, sensor, color):
    write_scene(tmp_path / "val/000000", sensor, color)
    put(tmp_path / f"val/000000/aolp_{sensor}/000005.png", DEPTH)
    for path in (
        tmp_path,
        tmp_path / "val",
        tmp_path / "val/000000",
        tmp_path / f"val/000000/{color}_{sensor}/000005.png",
    ):
        (frame,) = open_frames(path)
        check(frame)


def test_of_several_sensors_one_is_chosen(tmp_path):
    scene = tmp_path / "test/000003"
    for sensor, fx in (("cam1", 61.0), ("photoneo", 62.0)):
        write_scene(scene, sensor, fx=fx)
    for path in (tmp_path, tmp_path / "test", scene):
        with pytest.raises(BinposeError, match=r"has the sensors cam1, photoneo; choose one with --sensor"):
            open_frames(path)
        with pytest.raises(BinposeError, match=r"No sensor 'xyz' in .*the sensors cam1, photoneo; choose one"):
            open_frames(path, sensor="xyz")
        (frame,) = open_frames(path, sensor="photoneo")
        check(frame, 62.0)
    (frame,) = open_frames(scene / "rgb_cam1/000005.png")
    check(frame, 61.0)
    with pytest.raises(BinposeError, match="is not a colour image"):
        open_frames(scene / "depth_cam1/000005.png", sensor="cam1")


def test_a_sensor_whose_images_were_not_downloaded_is_no_choice(tmp_path):
    write_scene(tmp_path / "test/000003", "photoneo")
    put(tmp_path / "test/000003/scene_camera_cam1.json", {})
    assert sensors_of(tmp_path / "test/000003") == {"photoneo"}
    assert len(open_frames(tmp_path)) == 1


def test_a_sensor_has_its_own_size_beside_the_splits(tmp_path):
    write_scene(tmp_path / "test/000003", "photoneo")
    put(tmp_path / "camera_photoneo.json", {"fx": 60, "fy": 61, "cx": 23.5, "cy": 15.5, "width": 96, "height": 64})
    with pytest.raises(BinposeError, match="colour image of 48x32 pixels, but the intrinsics are for 96x64"):
        next(BopDataset(tmp_path).frames("test")).read()


def test_a_classic_data_set_has_no_sensors(tmp_path):
    write_scene(tmp_path / "test/000003")
    put(tmp_path / "test/000003/depth_filled/000005.png", DEPTH)
    check(open_frames(tmp_path)[0])
    with pytest.raises(BinposeError, match=r"No sensor 'cam1' in .*, which has no sensors to choose from; leave out"):
        open_frames(tmp_path, sensor="cam1")
    put(tmp_path / "folder/a.png", COLOR)
    with pytest.raises(BinposeError, match="is no BOP data set, which alone has sensors"):
        open_frames(tmp_path / "folder", sensor="cam1")


def test_sensors_that_are_called_by_their_images(tmp_path):
    """As HOT3D has them: gray1/ and scene_camera_gray1.json."""
    write_scene(tmp_path / "test/000003", "gray1")
    (tmp_path / "test/000003/rgb_gray1").rename(tmp_path / "test/000003/gray1")
    check(open_frames(tmp_path)[0])


def test_several_splits_are_named_even_beside_a_scene_of_another_name(tmp_path):
    for place in ("train/000001", "test/000001", "test/copy"):
        write_scene(tmp_path / place)
    with pytest.raises(BinposeError, match="has the splits test, train; choose one with --split"):
        open_frames(tmp_path)


def test_images_of_a_sensor_without_its_camera_file(tmp_path):
    write_scene(tmp_path / "test/000003", "cam1")
    (tmp_path / "test/000003/scene_camera_cam1.json").unlink()
    with pytest.raises(BinposeError, match=r"No .*scene_camera_cam1.json; expected cam_K"):
        open_frames(tmp_path, split="test")


@pytest.mark.parametrize("extension", [".PNG", ".JPG", ".Tif", ".TIFF", ".BMP"])
def test_extensions_are_read_in_any_case(tmp_path, extension):
    for sensor in ("", "cam1"):
        write_scene(tmp_path / f"s{sensor}/000003", sensor)
        for folder in ("rgb", "depth"):
            path = tmp_path / f"s{sensor}/000003" / f"{folder}_{sensor}".rstrip("_") / "000005.png"
            path.rename(path.with_suffix(extension))  # OpenCV tells the format by the content.
        check(open_frames(tmp_path, split=f"s{sensor}")[0])


class TestScenesThatAreNotCalledByDigits:
    @pytest.mark.parametrize("name", ["scene_1", "000001_old", "²", "-1", "1e3"])
    def test_they_are_named(self, tmp_path, name):
        write_scene(tmp_path / "test" / name)
        assert is_bop_dataset(tmp_path) and is_scene(tmp_path / "test" / name)
        for path in (tmp_path, tmp_path / "test", tmp_path / "test" / name):
            with pytest.raises(BinposeError, match=rf"folders called by their number, such as 000001; found .*{name}"):
                open_frames(path)
        with pytest.raises(BinposeError, match="such as 000001; found"):
            open_frames(tmp_path, split="test")

    def test_they_are_left_out_beside_others_with_a_remark(self, tmp_path):
        write_scene(tmp_path / "test/000001")
        write_scene(tmp_path / "test/copy")
        recorded = open_recorded(tmp_path)
        assert len(recorded.frames) == 1 and "called by digits: copy" in recorded.notes[0]
        with pytest.raises(BinposeError, match=r"such as 000001; found .*copy"):
            open_frames(tmp_path / "test/copy")

    def test_two_folders_of_one_number(self, tmp_path):
        write_scene(tmp_path / "test/1")
        write_scene(tmp_path / "test/000001")
        with pytest.raises(BinposeError, match=r"two folders for scene 1, 000001 and 1"):
            open_frames(tmp_path)


def test_a_camera_of_another_kind_is_refused(tmp_path):
    write_scene(tmp_path / "test/000003")
    path = tmp_path / "test/000003/scene_camera.json"
    for change, sentence in (
        ({"cam_model": {"projection_model_type": "FISHEYE624"}}, "cam_model is .*FISHEYE624"),
        ({"distortion_model": "fisheye"}, "'fisheye'"),
        ({"cam_K": [60, 0, 0, 0, 61, 0, 23.5, 15.5, 1]}, "cam_K in .* is written column by column"),
    ):
        put(path, {"5": {"cam_K": [60.0, 0, 23.5, 0, 61, 15.5, 0, 0, 1], "depth_scale": 0.1} | change})
        with pytest.raises(BinposeError, match=sentence):
            open_frames(tmp_path)[0].read()


def test_the_lens_of_the_sensor_is_not_dropped(tmp_path):
    write_scene(tmp_path / "test/000003")
    put(tmp_path / "camera.json", {"fx": 60, "fy": 61, "cx": 23.5, "cy": 15.5, "model": "fisheye"})
    with pytest.raises(BinposeError, match=r"scene_camera.json for image 5 with .*camera.json is 'fisheye'"):
        open_frames(tmp_path)[0].read()


def test_a_matrix_of_another_size_is_remarked(tmp_path):
    write_scene(tmp_path / "test/000003")
    assert not open_frames(tmp_path)[0].read().notes
    put(tmp_path / "test/000003/rgb/000005.png", COLOR[::2, ::2])
    put(tmp_path / "test/000003/depth/000005.png", DEPTH[::2, ::2])
    (note,) = open_frames(tmp_path)[0].read().notes
    assert "principal point (23.5, 15.5) lies in a corner of the image of 24x16 pixels" in note
