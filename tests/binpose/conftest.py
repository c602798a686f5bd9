"""Tiny recordings with known poses, and stand-ins for the networks that read these poses."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from binpose.bundle import ModelBundle
from binpose_core.bop import BopWriter
from binpose_core.camera import Camera
from binpose_core.catalogue import ObjectModel, make_object
from binpose_core.errors import BinposeError
from binpose_core.frames import RgbdFrame
from binpose_core.geometry import exp_so3, from_rotation_translation
from binpose_core.meshes import Mesh
from binpose_core.rendering import Renderer
from binpose_core.types import Detection, PoseEstimate
from binpose_detection.network import SegmentationNetwork
from binpose_detection.segmenter import Segmenter, SegmenterConfig
from binpose_estimator.estimator import EstimatorConfig, PoseEstimator
from binpose_estimator.network import PoseNetwork
from binpose_refinement.calibration import Calibration
from binpose_refinement.config import RefinerConfig
from binpose_refinement.refiner import IcpRefiner
from binpose_refinement.verification import FEATURES

CAMERA = Camera(220.0, 220.0, 79.5, 59.5, 160, 120)
TABLE_M = 0.42


@dataclass(frozen=True)
class KnownScene:
    """A rendered frame and what is in it."""

    frame: RgbdFrame
    object_ids: tuple[str, ...]
    T_cam_obj: np.ndarray
    instance_ids: np.ndarray


def step_mesh() -> Mesh:
    """A block of 40 x 30 x 20 mm with a step: no symmetry but a mirror, which is none of a solid."""
    block = trimesh.creation.box((0.040, 0.030, 0.010))
    upper = trimesh.creation.box((0.012, 0.020, 0.010))
    upper.apply_translation((0.014, 0.005, 0.010))
    joined = trimesh.boolean.union([block, upper], engine="manifold")
    return Mesh(joined.vertices.astype(np.float32), joined.faces.astype(np.int32))


def rod_mesh() -> Mesh:
    """A cylinder of 14 mm diameter and 36 mm length."""
    rod = trimesh.creation.cylinder(radius=0.007, height=0.036, sections=48)
    return Mesh(rod.vertices.astype(np.float32), rod.faces.astype(np.int32))


@pytest.fixture(scope="session")
def objects() -> tuple[ObjectModel, ...]:
    return make_object(step_mesh(), "step", 1), make_object(rod_mesh(), "rod", 2)


@pytest.fixture(scope="session")
def scenes(objects: tuple[ObjectModel, ...]) -> list[KnownScene]:
    return [known_scene(objects, np.random.default_rng(seed)) for seed in range(3)]


def known_scene(objects: Sequence[ObjectModel], rng: np.random.Generator) -> KnownScene:
    """Three parts side by side over a table."""
    places = np.array([[-0.06, -0.02, 0.36], [0.0, 0.03, 0.36], [0.06, -0.02, 0.36]])
    T_cam_obj = from_rotation_translation(exp_so3(rng.normal(size=(3, 3))), places)
    ids = np.array([0, 1, 0])
    rendering = Renderer([model.mesh for model in objects]).scene(ids, T_cam_obj, CAMERA)
    color = np.full((CAMERA.height, CAMERA.width, 3), 90, np.uint8)
    color[rendering.instance_ids >= 0] = 180
    depth = np.where(rendering.instance_ids >= 0, rendering.depth_m, np.float32(TABLE_M))
    frame = RgbdFrame(color, depth.astype(np.float32), CAMERA)
    return KnownScene(frame, tuple(objects[i].id for i in ids), T_cam_obj, rendering.instance_ids)


@pytest.fixture
def dataset(tmp_path: Path, objects: tuple[ObjectModel, ...], scenes: list[KnownScene]) -> Path:
    """The scenes as a BOP data set with one split, `test`."""
    root = tmp_path / "dataset"
    with BopWriter(root, "test", 0, objects) as writer:
        for scene in scenes:
            writer.write(scene.frame, scene.object_ids, scene.T_cam_obj, scene.instance_ids)
    return root


class TruthSegmenter:
    """Detects what the data set says is there; recognises a frame by its depth."""

    def __init__(self, scenes: Sequence[KnownScene]) -> None:
        self.scenes = scenes

    def scene(self, frame: RgbdFrame) -> KnownScene:
        if frame.depth_m is None:
            raise BinposeError(f"Frame {frame.name!r} has no depth; expected RGB-D; record depth too.")
        errors = [np.abs(frame.depth_m - scene.frame.depth_m).mean() for scene in self.scenes]
        return self.scenes[int(np.argmin(errors))]

    def __call__(self, frame: RgbdFrame) -> list[Detection]:
        scene = self.scene(frame)
        found = []
        for number, object_id in enumerate(scene.object_ids):
            rows, columns = np.nonzero(scene.instance_ids == number)
            box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
            mask = scene.instance_ids[box[1] : box[3], box[0] : box[2]] == number
            center = frame.camera.project(scene.T_cam_obj[number, :3, 3])
            found.append(Detection(object_id, 0.9, box, mask, (float(center[0]), float(center[1]))))
        return found


class TruthEstimator:
    """Gives each detection the known pose, moved by `error_m` along the optical axis."""

    def __init__(self, segmenter: TruthSegmenter, error_m: float = 0.0) -> None:
        self.segmenter = segmenter
        self.error_m = error_m

    def __call__(self, frame: RgbdFrame, detections: Sequence[Detection]) -> list[PoseEstimate]:
        poses = self.segmenter.scene(frame).T_cam_obj.copy()
        poses[:, 2, 3] += self.error_m
        pairs = zip(detections, poses, strict=True)
        return [PoseEstimate(detection.object_id, pose, 0.5, detection) for detection, pose in pairs]


class RankingRefiner:
    """Scores in a falling row from 0.99, by order."""

    def __call__(
        self, frame: RgbdFrame, detections: Sequence[Detection], poses: Sequence[PoseEstimate]
    ) -> list[PoseEstimate]:
        return [replace(pose, score=0.99 - 0.1 * n) for n, pose in enumerate(poses)]


@pytest.fixture
def bundle(objects: tuple[ObjectModel, ...], scenes: list[KnownScene]) -> ModelBundle:
    segmenter = TruthSegmenter(scenes)
    return ModelBundle(
        segmenter, TruthEstimator(segmenter), RankingRefiner(), {model.id: model for model in objects}, version="0" * 64
    )


@pytest.fixture
def networks(objects: Sequence[ObjectModel], rng: np.random.Generator) -> ModelBundle:
    """The smallest networks there can be, untrained."""
    torch.manual_seed(0)
    parts = {model.id: model for model in objects}
    names, n = tuple(parts), len(FEATURES)
    segmenter_config = SegmenterConfig(names, widths=(8, 8, 8, 8))
    estimator_config = EstimatorConfig(names, widths=(8, 8, 8), hypotheses=2)
    wide = n + len(parts)
    shapes = {"mean": n, "scale": n, "hidden": (1, wide, 2), "hidden_bias": (1, 2), "out": (1, 2), "skip": (1, wide)}
    shapes["bias"] = (1,)
    calibration = Calibration(**{name: rng.uniform(0.5, 1.0, shape) for name, shape in shapes.items()})
    return ModelBundle(
        Segmenter(SegmentationNetwork(2, segmenter_config.widths), segmenter_config),
        PoseEstimator(PoseNetwork(2, estimator_config.widths, 2), estimator_config, parts),
        IcpRefiner(parts, RefinerConfig(keep_best=3), calibration),
        parts,
        metrics={"recall": 0.5},
    )
