"""What is wrong with a data set is told in one sentence, and what can be read is read."""

import json
import shutil

import cv2
import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.bop import BopDataset, is_bop_dataset
from binpose_core.datasets.bop_writer import BopWriter
from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import from_rotation_translation

CAMERA = Camera(120.0, 121.0, 47.3, 30.1, 96, 64)


@pytest.fixture
def dataset(tmp_path, bar, disc, rng):
    """Two frames of a bar and a disc in scene 4 of the split `train`."""
    poses = from_rotation_translation(np.eye(3), np.array([[0.02, 0.01, 0.4], [-0.05, 0, 0.5]]))
    depth_m, instance_ids = np.full((64, 96), 0.6, np.float32), rng.integers(-1, 2, (64, 96))
    with BopWriter(tmp_path, "train", 4, [bar, disc]) as writer:
        for _ in range(2):
            frame = RgbdFrame(rng.integers(0, 255, (64, 96, 3), dtype=np.uint8), depth_m, CAMERA)
            writer.write(frame, ("bar", "disc"), poses, instance_ids)
    return BopDataset(tmp_path)


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


class TestDamage:
    def test_a_missing_image_fails_its_own_frame_only(self, dataset):
        (dataset.root / "train/000004/rgb/000000.png").unlink()
        first, second = dataset.frames("train")
        with pytest.raises(
            BinposeError,
            match=r"no image 000000 in rgb/ of .*000004, though scene_camera.json lists it",
        ):
            first.read()
        assert second.read().name == "000004_000001"

    def test_a_missing_depth_image_is_not_read_as_no_depth(self, dataset):
        (dataset.root / "train/000004/depth/000001.png").unlink()
        with pytest.raises(BinposeError, match=r"no image 000001 in depth/"):
            list(dataset.frames("train"))[1].read()

    @pytest.mark.parametrize("cut", [0, 40, -20])
    def test_a_truncated_image(self, dataset, cut):
        path = dataset.root / "train/000004/rgb/000000.png"
        path.write_bytes(path.read_bytes()[:cut])
        with pytest.raises(BinposeError, match=r"is not a readable image; expected a complete PNG"):
            next(dataset.frames("train")).read()

    @pytest.mark.parametrize(
        ("depth", "told"),
        [
            (
                np.full((64, 96), 90, np.uint8),
                "is uint8 with 1 channel; expected 16 bit unsigned",
            ),
            (
                np.full((64, 96, 3), 900, np.uint16),
                "is uint16 with 3 channels; expected 16 bit unsigned",
            ),
            (np.full((32, 48), 9000, np.uint16), "align the depth to the colour image"),
            (np.full((64, 96), 9, np.uint16), "the unit is probably wrong"),
            (np.zeros((64, 96), np.uint16), "has no valid pixel"),
        ],
    )
    def test_a_depth_image_that_is_none(self, dataset, depth, told):
        cv2.imwrite(str(dataset.root / "train/000004/depth/000000.png"), depth)
        with pytest.raises(BinposeError, match=told):
            next(dataset.frames("train")).read()

    def test_a_depth_image_of_floats(self, dataset):
        (dataset.root / "train/000004/depth/000000.png").unlink()
        cv2.imwrite(
            str(dataset.root / "train/000004/depth/000000.tif"),
            np.full((64, 96), 0.5, np.float32),
        )
        with pytest.raises(BinposeError, match=r"is float32 with 1 channel; expected 16 bit unsigned"):
            next(dataset.frames("train")).read()

    def test_an_image_of_another_size_than_the_camera(self, dataset):
        cv2.imwrite(
            str(dataset.root / "train/000004/rgb/000000.png"),
            np.zeros((32, 48, 3), np.uint8),
        )
        with pytest.raises(
            BinposeError,
            match=r"colour image of 48x32 pixels, but the intrinsics are for 96x64",
        ):
            next(dataset.frames("train")).read()

    def test_a_cropped_image_brings_its_own_size(self, dataset):
        scene_camera = dataset.root / "train/000004/scene_camera.json"
        edit(
            scene_camera,
            lambda content: content["0"].update(cam_K=[120, 0, 20, 0, 121, 10, 0, 0, 1]),
        )
        shutil.rmtree(dataset.root / "train/000004/depth")
        cv2.imwrite(
            str(dataset.root / "train/000004/rgb/000000.png"),
            np.zeros((32, 48, 3), np.uint8),
        )
        assert next(BopDataset(dataset.root).frames("train")).read().camera == Camera(120, 121, 20, 10, 48, 32)

    def test_the_sensors_camera_steps_in_for_what_an_image_does_not_tell(self, dataset):
        edit(
            dataset.root / "train/000004/scene_camera.json",
            lambda content: content.update({"0": {}}),
        )
        frame = next(BopDataset(dataset.root).frames("train")).read()
        assert frame.camera == CAMERA and np.median(frame.depth_m) == pytest.approx(0.6)

    def test_without_any_scale_depth_is_refused(self, dataset):
        (dataset.root / "camera.json").unlink()
        edit(
            dataset.root / "train/000004/scene_camera.json",
            lambda content: content["0"].pop("depth_scale"),
        )
        with pytest.raises(
            BinposeError,
            match=r"depth_scale is None in .*; expected the millimetres of one unit",
        ):
            next(BopDataset(dataset.root).frames("train")).read()

    def test_folders_that_are_not_there_or_not_bop(self, dataset, tmp_path):
        with pytest.raises(BinposeError, match=r"No data set at .*nowhere"):
            BopDataset(tmp_path / "nowhere")
        with pytest.raises(BinposeError, match=r"is not a BOP data set"):
            BopDataset(tmp_path / "models")
        with pytest.raises(
            BinposeError,
            match=r"No split 'test' in .*; there are: train; choose one with --split",
        ):
            dataset.frames("test").__next__()
        with pytest.raises(BinposeError, match=r"No model for obj_id 5 in .*; known: 3 bar, 7 disc"):
            dataset.model(5)
        assert is_bop_dataset(tmp_path) and not is_bop_dataset(tmp_path / "models")

    def test_a_scene_without_its_camera_file_stops_before_the_first_frame(self, dataset):
        (dataset.root / "train/000009/rgb").mkdir(parents=True)
        with pytest.raises(BinposeError, match=r"No .*000009/scene_camera.json; expected cam_K"):
            next(dataset.frames("train"))

    @pytest.mark.parametrize(
        ("name", "change", "told"),
        [
            (
                "scene_camera.json",
                lambda c: c["0"].update(cam_K=[1, 2]),
                r"cam_K is \[1, 2\] in .*9 finite numbers",
            ),
            (
                "scene_gt.json",
                lambda c: c["0"][0].update(cam_t_m2c="here"),
                "cam_t_m2c is here in .*3 finite numbers",
            ),
            (
                "scene_gt.json",
                lambda c: c["0"][0].update(cam_R_m2c=[1] * 9),
                "cam_R_m2c is not a rotation",
            ),
            ("scene_gt.json", lambda c: c.pop("0"), "No entry in .*for image 0"),
            (
                "scene_gt.json",
                lambda c: c["0"].pop(),
                "2 entries in .*scene_gt_info.json for image 0 for 1 poses",
            ),
            (
                "scene_camera.json",
                lambda c: c["0"].update(width="640px", height=480),
                "width is '640px' in .*scene_camera.json for image 0 .*expected a whole number of pixels",
            ),
            (
                "scene_camera.json",
                lambda c: c.update({"0": None}),
                "The entry is None in .*scene_camera.json for image 0",
            ),
            ("scene_camera.json", lambda c: c["0"].update(depth_scale=float("inf")), "depth_scale is inf"),
            ("scene_camera.json", lambda c: c["0"].update(cam_K=[10**400] * 9), "cam_K is .*9 finite numbers"),
            ("scene_gt.json", lambda c: c.update({"0": None}), "The entry is None in .*expected a list"),
            ("scene_gt.json", lambda c: c.update({"0": [3, 4]}), "The entry is 3 in .*scene_gt.json for image 0"),
            ("scene_gt_info.json", lambda c: c.update({"0": None}), "The entry is None in .*scene_gt_info.json"),
            ("scene_gt_info.json", lambda c: c["0"][0].update(visib_fract="half"), "visib_fract is 'half'"),
        ],
    )
    def test_entries_that_make_no_sense(self, dataset, name, change, told):
        edit(dataset.root / "train/000004" / name, change)
        frame = next(BopDataset(dataset.root).frames("train"))
        with pytest.raises(BinposeError, match=told):
            frame.read(), frame.ground_truth()
        list(BopDataset(dataset.root).frames("train"))[1].read()  # the other frame is none the worse

    @pytest.mark.parametrize("width", ["96px", None, 96.5])
    def test_a_sensor_whose_size_makes_no_sense(self, dataset, width):
        edit(dataset.root / "camera.json", lambda content: content.update(width=width))
        with pytest.raises(BinposeError, match=r"width is .* in .*camera.json; expected a whole number of pixels"):
            next(BopDataset(dataset.root).frames("train")).read()

    def test_a_sensor_without_sound_intrinsics_is_not_needed_where_each_image_has_its_own(self, dataset):
        edit(dataset.root / "camera.json", lambda content: content.update(fx="about 600"))
        assert next(BopDataset(dataset.root).frames("train")).read().camera == CAMERA

    def test_a_model_whose_entry_makes_no_sense(self, dataset):
        edit(dataset.root / "models/models_info.json", lambda content: content["3"].update(diameter="wide"))
        assert np.isnan(BopDataset(dataset.root).model(3).diameter_m)
        edit(dataset.root / "models/models_info.json", lambda content: content.update({"3": None}))
        with pytest.raises(BinposeError, match=r"The entry is None in .*models_info.json for object 3"):
            BopDataset(dataset.root).model(3)

    @pytest.mark.parametrize("text", ['{"0": {', "[]", '{"first": {}}'])
    def test_json_files_that_are_none(self, dataset, text):
        (dataset.root / "train/000004/scene_camera.json").write_text(text)
        with pytest.raises(BinposeError, match=r"scene_camera.json"):
            next(BopDataset(dataset.root).frames("train"))

    def test_a_split_without_ground_truth_still_reads(self, dataset):
        for name in ("scene_gt.json", "scene_gt_info.json"):
            (dataset.root / "train/000004" / name).unlink()
        frame = next(BopDataset(dataset.root).frames("train"))
        assert frame.read().camera == CAMERA
        with pytest.raises(BinposeError, match=r"the poses of this scene are not known"):
            frame.ground_truth()


def test_a_real_scan_with_depth(shared_data):
    dataset = BopDataset(shared_data / "wrs_bins")
    assert dataset.splits() == ("real",)
    assert [model.object_id for model in dataset.models.values()] == [
        "gearmotor",
        "pulley",
        "pin",
        "bin",
    ]
    (source,) = dataset.frames("real")
    assert (source.scene_id, source.image_id, source.name) == (14, 0, "000014_000000")
    frame, truths = source.read(), source.ground_truth()
    assert frame.color.shape == (1200, 1944, 3) and 0.4 < np.median(frame.depth_m[frame.depth_m > 0]) < 0.6
    assert len(truths) == 10 and all(np.isnan(truth.visible_fraction) for truth in truths)
    assert [truth.info["annotation_confidence"] for truth in truths].count("low") == 2
    for truth, mask in zip(truths, source.masks(), strict=True):
        # The pose's origin lies under the mask and within the part's diameter of the surface seen there.
        seen_m = np.median(frame.depth_m[mask & (frame.depth_m > 0)])
        assert abs(truth.T_cam_obj[2, 3] - seen_m) < dataset.model(truth.obj_id).diameter_m


def test_a_real_image_without_depth(shared_data):
    (source,) = BopDataset(shared_data / "omron_pipes").frames("real")
    frame = source.read()
    assert frame.color.shape == (1024, 1280) and frame.depth_m is None
    assert {truth.obj_id for truth in source.ground_truth()} == {2} and source.masks().shape == (9, 1024, 1280)
