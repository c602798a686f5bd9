"""Parts are followed without the networks while they verify, and found again when they are lost."""

from dataclasses import replace

import numpy as np
import pytest

from binpose import cli
from binpose.commands import estimate
from binpose.explain import RecordingRefiner, initial_pose_of
from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, PoseEstimate
from binpose_core.geometry.transforms import exp_se3, exp_so3, from_rotation_translation, transform
from binpose_core.rendering.renderer import Renderer
from binpose_pipeline.tracking import TrackingConfig, TrackingPipeline
from binpose_refinement.config import RefinerConfig
from binpose_refinement.refiner import IcpRefiner

CAMERA = Camera(500.0, 500.0, 159.5, 119.5, 320, 240)
FLOOR_M = 0.6


class World:
    """Parts on a floor, a segmenter and an estimator that know them, and a count of how often they are asked."""

    def __init__(self, objects) -> None:
        self.objects = {model.id: model for model in objects}
        self.names = [list(self.objects)[i % len(self.objects)] for i in range(3)]
        at = ([-0.08, -0.02, 0.52], [0.02, 0.04, 0.52], [0.09, -0.04, 0.52])
        turns = np.random.default_rng(3).uniform(-0.6, 0.6, (3, 3))
        self.T_cam_obj = from_rotation_translation(exp_so3(turns), np.array(at))
        self.renderer = Renderer([part.mesh for part in self.objects.values()])
        self.asked = 0

    def draw(self):
        ids = np.array([list(self.objects).index(name) for name in self.names])
        return self.renderer.scene(ids, self.T_cam_obj, CAMERA)

    def frame(self, seed=0) -> RgbdFrame:
        scene, rng = self.draw(), np.random.default_rng(seed)
        depth = np.where(scene.depth_m > 0, scene.depth_m, FLOOR_M) + rng.normal(0, 5e-4, scene.depth_m.shape)
        return RgbdFrame(np.where(scene.mask, 160, 40).astype(np.uint8), depth.astype(np.float32), CAMERA)

    def segmenter(self, frame):
        self.asked += 1
        scene, found = self.draw(), []
        for i, name in enumerate(self.names):
            found.append(Detection.from_mask(name, 0.9, scene.instance_ids == i))
        return found

    def estimator(self, frame, detections):
        off = exp_se3(np.array([0.002, -0.001, 0.003, 0.03, -0.05, 0.02]))
        return [
            PoseEstimate(d.object_id, self.T_cam_obj[i] @ off, 0.8, detection_index=i) for i, d in enumerate(detections)
        ]

    def pipeline(self, **changes) -> TrackingPipeline:
        refiner = IcpRefiner(self.objects, RefinerConfig(method="render_and_compare", expand_limit=0))
        config = TrackingConfig(**{"keep": 0.3, **changes})
        return TrackingPipeline(self.segmenter, self.estimator, refiner, self.objects, config)

    def errors_m(self, poses) -> np.ndarray:
        """(3,) distance of each part's nearest estimate of its kind, over its surface and symmetries."""
        least = []
        for name, T in zip(self.names, self.T_cam_obj, strict=True):
            part = self.objects[name]
            points, motions = part.points[::64], part.symmetries.transforms(np.pi / 36)
            there = transform(T @ motions, points[None])
            same = [pose.T_cam_obj for pose in poses if pose.object_id == name and pose.score >= 0.3]
            least.append(
                min((np.linalg.norm(transform(S, points) - there, axis=-1).mean(-1).min() for S in same), default=1.0)
            )
        return np.array(least)


@pytest.fixture
def world(objects) -> World:
    return World(objects)


def test_moving_parts_are_followed_without_the_networks(world: World) -> None:
    pipeline = world.pipeline(redetect_every=0)
    step = exp_se3(np.array([0.002, -0.001, 0.0015, 0.01, 0.02, -0.01]))
    for n in range(6):
        result = pipeline.timed(world.frame(n))
        assert world.errors_m(result.poses).max() < 0.0015
        assert (result.seconds["detection"] > 0) == (n == 0) and result.seconds["refinement"] > 0
        world.T_cam_obj = world.T_cam_obj @ step
    assert world.asked == 1


def test_a_known_motion_of_the_camera_may_be_large(world: World) -> None:
    pipeline = world.pipeline(redetect_every=0)
    pipeline(world.frame())
    motion = exp_se3(np.array([0.03, -0.02, 0.02, 0.02, 0.05, 0.1]))
    world.T_cam_obj = motion @ world.T_cam_obj
    assert world.errors_m(pipeline(world.frame(1), motion)).max() < 0.0015
    assert world.asked == 1


def test_a_part_that_is_gone_is_looked_for_and_found(world: World) -> None:
    pipeline = world.pipeline(redetect_every=0)
    pipeline(world.frame())
    world.T_cam_obj[1, :3, 3] += [-0.01, -0.1, 0.01]
    assert world.errors_m(pipeline(world.frame(1))).max() < 0.0015
    assert world.asked == 2


def test_the_networks_are_asked_as_often_as_is_said(world: World) -> None:
    joining, rare = world.pipeline(mode="join"), world.pipeline(redetect_every=2)
    for n in range(3):
        assert world.errors_m(joining(world.frame(n))).max() < 0.0015
    assert world.asked == 3
    for n in range(5):
        rare(world.frame(n))
    assert world.asked == 3 + 3  # frames 0, 2 and 4


def test_followed_parts_join_their_own_detection(world: World) -> None:
    """Where the estimator is far off, the last pose saves the part; nothing is found twice."""
    pipeline = world.pipeline(mode="join")
    assert len(pipeline(world.frame())) == 3
    blind = replace(pipeline, estimator=lambda frame, found: [])
    poses = blind(world.frame(1))
    assert len(poses) == 3 and world.errors_m(poses).max() < 0.0015
    blind.reset()
    assert blind(world.frame(2)) == []


def test_what_was_refused_is_not_followed(world: World) -> None:
    """Of two detections of one part one is a duplicate: with it, two poses would share the part's pixels."""
    pipeline = world.pipeline(redetect_every=0, keep=0.0)
    twice = replace(pipeline, segmenter=lambda frame: [*world.segmenter(frame), world.segmenter(frame)[0]])
    twice = replace(twice, estimator=lambda frame, found: [*world.estimator(frame, found[:3]), again(world, 3)])
    assert len(twice(world.frame())) == 4 and len(pipeline.followed.poses) == 3
    assert len(twice(world.frame(1))) == 3 and world.asked == 2


def again(world: World, index: int) -> PoseEstimate:
    return PoseEstimate(world.names[0], world.T_cam_obj[0], 0.8, detection_index=index)


def test_what_is_explained_was_the_last_frames_pose(world: World) -> None:
    """Tracked in two rounds, a part's initial pose is that of the frame before, and not the first round's result."""
    pipeline = world.pipeline(redetect_every=0)
    recorder = RecordingRefiner(pipeline.refiner)
    pipeline = replace(pipeline, refiner=recorder)
    last = pipeline(world.frame())
    for n in (1, 2):
        world.T_cam_obj = world.T_cam_obj @ exp_se3(np.array([0.002, -0.001, 0.0015, 0.01, 0.02, -0.01]))
        poses = pipeline(world.frame(n))
        assert world.asked == 1 and len(poses) == 3
        for pose in poses:
            (past,) = [past for past in recorder.poses if past.detection_index == pose.detection_index]
            assert any(past.T_cam_obj is before.T_cam_obj for before in last)
            assert initial_pose_of(pose, recorder.poses, world.objects[pose.object_id]) is not None
        last = poses


def test_the_command_line_tracks(monkeypatch, bundle, dataset, tmp_path) -> None:
    """Frames of unlike scenes: each time all parts are lost and found again, so that nothing differs."""
    monkeypatch.setattr(estimate, "load_bundle", lambda *_, **__: bundle)
    counts = []
    for track in ("no", "join", "replace"):
        out = tmp_path / track
        assert cli.main(["estimate", str(dataset), "--model", "standin", "--out", str(out), "--track", track]) == 0
        counts.append(len((out / "results.csv").read_text().splitlines()))
    assert counts[0] == 10 and min(counts) == counts[0]


@pytest.mark.parametrize("wrong", [{"mode": "guess"}, {"keep": 2.0}, {"gate_m": (0.0, 0.1)}, {"redetect_every": -1}])
def test_settings_that_make_no_sense_are_refused(wrong) -> None:
    with pytest.raises(BinposeError, match="TrackingConfig"):
        TrackingConfig(**wrong)
