"""What the writer writes, the reader reads back; what is wrong with a data set is told in one sentence."""

import json
import shutil

import cv2
import numpy as np
import pytest
import trimesh

from binpose_core.bop import Annotation, BopDataset, is_bop_dataset
from binpose_core.bop_writer import BopWriter
from binpose_core.camera import Camera
from binpose_core.errors import BinposeError
from binpose_core.frames import RgbdFrame
from binpose_core.geometry import exp_so3, from_rotation_translation
from binpose_core.rendering import Renderer

CAMERA = Camera(120.0, 121.0, 47.3, 30.1, 96, 64)
POSES = from_rotation_translation(
    exp_so3(np.array([[0.1, 0.2, 0.3], [0.5, 0, 0.1]])), np.array([[0.02, 0.01, 0.4], [-0.2, 0, 0.5]])
)


@pytest.fixture(scope="module")
def objects(bar, disc):
    return [bar, disc]


def scene(objects, rng, mono=False, with_depth=True):
    """A frame that shows the bar whole and the disc partly out of the image, and its instance ids."""
    rendering = Renderer([model.mesh for model in objects]).scene(np.arange(2), POSES, CAMERA)
    depth_m = np.where(rendering.depth_m > 0, rendering.depth_m, 0.6).astype(np.float32)
    color = rng.integers(0, 255, (64, 96) if mono else (64, 96, 3), dtype=np.uint8)
    return RgbdFrame(color, depth_m if with_depth else None, CAMERA), rendering.instance_ids


def write(root, objects, rng, frames=2, split="train", scene_id=4, **kinds):
    written = []
    with BopWriter(root, split, scene_id, objects) as writer:
        for _ in range(frames):
            frame, instance_ids = scene(objects, rng, **kinds)
            writer.write(
                frame,
                ("bar", "disc"),
                POSES,
                instance_ids,
                T_cam_world=np.linalg.inv(POSES[0]),
            )
            written.append((frame, instance_ids))
    return written


@pytest.fixture
def dataset(tmp_path, objects, rng):
    write(tmp_path, objects, rng)
    return BopDataset(tmp_path)


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


class TestRoundTrip:
    @pytest.mark.parametrize("kinds", [{}, {"mono": True}, {"with_depth": False}])
    def test_frames_come_back_equal_to_the_quantisation(self, tmp_path, objects, rng, kinds):
        written = write(tmp_path, objects, rng, frames=3, **kinds)
        frames = list(BopDataset(tmp_path).frames("train"))
        assert [(frame.scene_id, frame.image_id) for frame in frames] == [
            (4, 0),
            (4, 1),
            (4, 2),
        ]
        assert len({frame.name for frame in frames}) == 3
        for (frame, instance_ids), source in zip(written, frames, strict=True):
            read = source.read()
            assert np.array_equal(read.color, frame.color) and read.camera == CAMERA
            assert np.array_equal(source.masks(), [instance_ids == 0, instance_ids == 1])
            if frame.depth_m is None:
                assert read.depth_m is None
            else:
                assert np.abs(read.depth_m - frame.depth_m).max() <= 0.5e-4 + 1e-7

    def test_poses_and_models_come_back(self, dataset, objects):
        truths = next(dataset.frames("train")).ground_truth()
        assert [truth.obj_id for truth in truths] == [3, 7]
        np.testing.assert_allclose([truth.T_cam_obj for truth in truths], POSES, atol=1e-12)
        assert isinstance(truths[0], Annotation)
        assert {key: model.object_id for key, model in dataset.models.items()} == {
            3: "bar",
            7: "disc",
        }
        assert dataset.model(3).diameter_m == pytest.approx(np.linalg.norm([0.08, 0.02, 0.01]))
        mesh = trimesh.load(dataset.model(3).path, process=False)
        np.testing.assert_allclose(mesh.vertices * 1e-3, objects[0].mesh.vertices, rtol=1e-6)
        assert np.array_equal(mesh.faces, objects[0].mesh.faces)

    def test_symmetries_are_written_in_millimetres_without_the_identity(self, dataset):
        (motion,) = dataset.model(3).info["symmetries_discrete"]
        np.testing.assert_allclose(
            np.reshape(motion, (4, 4)), [[-1, 0, 0, 4], [0, -1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], atol=1e-12
        )
        assert "symmetries_continuous" not in dataset.model(3).info
        assert dataset.model(7).info["symmetries_continuous"] == [{"axis": [0, 0, 1], "offset": [0, 0, 0]}]
        assert "symmetries_discrete" not in dataset.model(7).info

    def test_visibility_counts_what_lies_outside_the_image(self, dataset):
        whole, cut = next(dataset.frames("train")).ground_truth()
        assert whole.visible_fraction == 1
        assert 0.1 < cut.visible_fraction < 0.9
        assert cut.info["bbox_obj"][0] < 0 <= cut.info["bbox_visib"][0]
        assert cut.info["px_count_all"] > cut.info["px_count_valid"] == cut.info["px_count_visib"]
        assert cut.visible_fraction == cut.info["px_count_visib"] / cut.info["px_count_all"]

    def test_a_part_behind_the_camera_or_hidden_is_written_as_invisible(self, tmp_path, objects, rng):
        frame, _ = scene(objects, rng)
        behind = POSES[0] * [[1], [1], [-1], [1]]
        behind[2, :3] *= -1
        with BopWriter(tmp_path, "train", 0, objects) as writer:
            writer.write(frame, ("bar", "disc"), [POSES[0], behind], np.full((64, 96), -1))
        hidden, outside = next(BopDataset(tmp_path).frames("train")).ground_truth()
        assert hidden.visible_fraction == outside.visible_fraction == 0
        assert hidden.info["px_count_all"] > 0 and hidden.info["bbox_visib"] == [
            -1,
            -1,
            -1,
            -1,
        ]
        assert outside.info["px_count_all"] == 0 and outside.info["bbox_obj"] == [
            -1,
            -1,
            -1,
            -1,
        ]


class TestWriter:
    def test_a_killed_run_leaves_the_flushed_frames_and_the_next_goes_on(self, tmp_path, objects, rng):
        frame, instance_ids = scene(objects, rng)
        writer = BopWriter(tmp_path, "train", 0, objects, flush_every=2)
        for _ in range(3):
            writer.write(frame, ("bar", "disc"), POSES, instance_ids)
        del writer  # as a kill would: no flush
        assert [len(source.ground_truth()) for source in BopDataset(tmp_path).frames("train")] == [2, 2]
        with BopWriter(tmp_path, "train", 0, objects) as resumed:
            assert resumed.write(frame, ("disc",), POSES[1:], np.full((64, 96), -1)) == 2
        sources = list(BopDataset(tmp_path).frames("train"))
        assert [len(source.ground_truth()) for source in sources] == [2, 2, 1]
        assert all(source.read().depth_m is not None for source in sources)

    def test_frames_are_kept_when_the_loop_fails(self, tmp_path, objects, rng):
        frame, instance_ids = scene(objects, rng)
        with (
            pytest.raises(KeyboardInterrupt),
            BopWriter(tmp_path, "train", 0, objects) as writer,
        ):
            writer.write(frame, ("bar", "disc"), POSES, instance_ids)
            raise KeyboardInterrupt
        assert len(list(BopDataset(tmp_path).frames("train"))) == 1

    def test_refusals(self, tmp_path, objects, rng):
        frame, instance_ids = scene(objects, rng)
        far = RgbdFrame(frame.color, frame.depth_m * 15, CAMERA)
        bent = RgbdFrame(frame.color, None, Camera(120, 120, 47, 30, 96, 64, (0.1, 0, 0, 0)))
        writer = BopWriter(tmp_path, "train", 0, objects)
        with pytest.raises(BinposeError, match=r"'cog', but the data set is written for bar, disc"):
            writer.write(frame, ("cog",), POSES[:1], instance_ids)
        with pytest.raises(
            BinposeError,
            match=r"depth up to 9 m does not fit 16 bits .* at least 0.14 mm",
        ):
            writer.write(far, ("bar", "disc"), POSES, instance_ids)
        with pytest.raises(BinposeError, match=r"undistort it first"):
            writer.write(bent, (), np.zeros((0, 4, 4)), instance_ids)
        with pytest.raises(BinposeError, match=r"expected both positive"):
            BopWriter(tmp_path, "train", 0, objects, depth_scale_mm=0)
        assert not (tmp_path / "train").exists(), "a refused frame leaves no file behind"


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
        ],
    )
    def test_entries_that_make_no_sense(self, dataset, name, change, told):
        edit(dataset.root / "train/000004" / name, change)
        frame = next(BopDataset(dataset.root).frames("train"))
        with pytest.raises(BinposeError, match=told):
            frame.read(), frame.ground_truth()

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
