"""A small bin of known parts, seen by cameras at known places."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from binpose_core.frames.camera import Camera
from binpose_core.frames.camera_view import CameraView
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, Hypothesis, PoseEstimate
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation, inverse
from binpose_core.rendering.renderer import Renderer
from binpose_pipeline.pipeline import Pipeline
from binpose_pipeline.scene.scene_estimator import SceneEstimator
from binpose_refinement.refiner import IcpRefiner

CAMERA = Camera(420.0, 420.0, 159.5, 119.5, 320, 240)
FLOOR_M = 0.0
LEAST_PX = 60


def looking(azimuth_rad: float, tilt_rad: float = 0.4, distance_m: float = 0.45) -> np.ndarray:
    """T_world_cam of a camera that looks at the origin from above."""
    up = np.array([np.sin(tilt_rad) * np.cos(azimuth_rad), np.sin(tilt_rad) * np.sin(azimuth_rad), np.cos(tilt_rad)])
    right = np.array([-np.sin(azimuth_rad), np.cos(azimuth_rad), 0.0])
    return from_rotation_translation(np.stack([right, np.cross(-up, right), -up], -1), distance_m * up)


@dataclass
class Bin:
    """Parts on a floor. Each frame's detections and poses are the true ones, with errors."""

    objects: dict
    names: list
    T_world_obj: np.ndarray
    noise_m: float = 0.0003
    blind: dict = field(default_factory=dict)
    """Frame name -> parts that its detector misses."""
    doubt: dict = field(default_factory=dict)
    """Part -> motion (4, 4) of a second pose that the estimator proposes for it."""

    def __post_init__(self) -> None:
        self.renderer = Renderer([part.mesh for part in self.objects.values()])
        self.ids = np.array([list(self.objects).index(name) for name in self.names])
        self.seen: dict = {}

    def view(self, name: str, T_world_cam: np.ndarray, given: np.ndarray | None = None) -> CameraView:
        """The frame of a camera, with its true pose or a given one."""
        T_cam_obj = inverse(T_world_cam) @ self.T_world_obj
        scene = self.renderer.scene(self.ids, T_cam_obj, CAMERA)
        depth = np.where(scene.depth_m > 0, scene.depth_m, self.floor(T_world_cam))
        seed = sum(map(ord, name))
        depth = depth + np.random.default_rng(seed).normal(0, 1.5e-4, depth.shape)
        self.seen[name] = T_cam_obj, scene.instance_ids
        color = np.where(scene.mask, 160, 40).astype(np.uint8)
        frame = RgbdFrame(color, depth.astype(np.float32), CAMERA, name=name)
        return CameraView(frame, T_world_cam if given is None else given)

    def floor(self, T_world_cam: np.ndarray) -> np.ndarray:
        """Depth (H, W) of the plane z = 0."""
        v, u = np.mgrid[: CAMERA.height, : CAMERA.width]
        rays = np.stack([(u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy, np.ones_like(u)], -1)
        return (FLOOR_M - T_world_cam[2, 3]) / (rays @ T_world_cam[2, :3])

    def segmenter(self, frame):
        _, labels = self.seen[frame.frame.name]
        missed = self.blind.get(frame.frame.name, ())
        return [
            Detection.from_mask(name, 0.9, labels == i, (float(i), 0.0))
            for i, name in enumerate(self.names)
            if (labels == i).sum() >= LEAST_PX and i not in missed
        ]

    def estimator(self, frame, detections):
        T_cam_obj, _ = self.seen[frame.frame.name]
        rng = np.random.default_rng(sum(map(ord, frame.frame.name)))
        found = []
        for number, detection in enumerate(detections):
            off = from_rotation_translation(exp_so3(rng.normal(0, 0.01, 3)), rng.normal(0, self.noise_m, 3))
            i = int(detection.center_px[0])
            T, name = T_cam_obj[i] @ off, detection.object_id
            poses = [T, *([T @ self.doubt[i]] if i in self.doubt else [])]
            own = tuple(Hypothesis(name, pose, 0.8) for pose in poses)
            found.append(PoseEstimate(name, T, 0.8, detection_index=number, hypotheses=own))
        return found

    @property
    def pipeline(self) -> Pipeline:
        return Pipeline(self.segmenter, self.estimator, IcpRefiner(self.objects))

    @property
    def estimate(self) -> SceneEstimator:
        return SceneEstimator(self.objects, self.pipeline)

    def errors_m(self, poses) -> np.ndarray:
        """(P,) distance of each part's centre to the nearest pose of its kind with a score of 0.5 or more."""
        least = []
        for name, T in zip(self.names, self.T_world_obj, strict=True):
            part = self.objects[name]
            same = [p for p in poses if p.object_id == name and p.score >= 0.5]
            apart = [np.linalg.norm(part.center_in(p.T_world_obj) - part.center_in(T)) for p in same]
            least.append(min(apart, default=1.0))
        return np.array(least)


@pytest.fixture
def cell(objects) -> Bin:
    """Six parts that do not hide each other."""
    known = {model.id: model for model in objects}
    first, second = list(known)[:2]
    names = [first, second, first, first, second, first]
    rng = np.random.default_rng(4)
    at = np.array([[x, y, 0.02] for x in (-0.07, 0.0, 0.07) for y in (-0.04, 0.04)])
    at[:, :2] += rng.uniform(-0.008, 0.008, (6, 2))
    turns = np.concatenate([rng.uniform(-0.5, 0.5, (6, 2)), rng.uniform(-3, 3, (6, 1))], 1)
    return Bin(known, names, from_rotation_translation(exp_so3(turns), at))


@pytest.fixture
def views(cell):
    """Three views of the bin."""
    return [cell.view(f"view{k}", looking(2 * np.pi * k / 3)) for k in range(3)]
