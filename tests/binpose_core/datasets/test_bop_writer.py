"""What the writer writes, the reader reads back, also after it was killed."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.bop import Annotation, BopDataset
from binpose_core.datasets.bop_writer import BopWriter
from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import UNKNOWN
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation
from binpose_core.rendering.renderer import Renderer

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

    def test_two_scenes_share_their_models(self, tmp_path, objects, rng):
        frame, instance_ids = scene(objects, rng)
        for number, model in enumerate(objects):
            with BopWriter(tmp_path, "train", number, [model]) as writer:
                writer.write(frame, (model.id,), POSES[:1], instance_ids)
        dataset = BopDataset(tmp_path)
        assert {key: model.object_id for key, model in dataset.models.items()} == {3: "bar", 7: "disc"}
        assert all(len(frame.ground_truth()) == 1 for frame in dataset.frames("train"))
        with (
            BopWriter(tmp_path, "train", 2, [replace(objects[0], id="rod")]) as writer,
            pytest.raises(BinposeError, match=r"Model 3 of .* is 'bar' and not 'rod'"),
        ):
            writer.write(frame, ("rod",), POSES[:1], instance_ids)

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
        unknown = np.where(instance_ids == 0, UNKNOWN, instance_ids)
        with pytest.raises(BinposeError, match=r"pixels of a frame have no known label; expected full labels"):
            writer.write(frame, ("bar", "disc"), POSES, unknown)
        with pytest.raises(BinposeError, match=r"undistort it first"):
            writer.write(bent, (), np.zeros((0, 4, 4)), instance_ids)
        with pytest.raises(BinposeError, match=r"expected both positive"):
            BopWriter(tmp_path, "train", 0, objects, depth_scale_mm=0)
        assert not (tmp_path / "train").exists(), "a refused frame leaves no file behind"


def test_the_kind_of_sensor_that_is_written_causes_no_note(tmp_path, objects, rng):
    frame, instance_ids = scene(objects, rng)
    with BopWriter(tmp_path, "train", 4, objects) as writer:
        writer.write(frame, ("bar", "disc"), POSES, instance_ids, sensor="industrial")
    (source,) = BopDataset(tmp_path).frames("train")
    assert source.read().notes == ()
