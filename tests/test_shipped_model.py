"""The model in the package fits this code, finds parts, and is small enough for the repository."""

from pathlib import Path

import numpy as np
import pytest

import binpose
from binpose_core.evaluation.matching import right_errors_m
from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import FloatArray, from_rotation_translation, random_rotation
from binpose_core.rendering.renderer import Renderer
from binpose_pipeline.bundle import PipelineBundle, load_bundle
from binpose_refinement.verification import FEATURES
from binpose_simulation.parts import PART_NAMES

CAMERA = Camera(600.0, 600.0, 239.5, 179.5, 480, 360)
TABLE_M = 0.6
MOST_BYTES = 15_000_000


@pytest.fixture(scope="module")
def bundle() -> PipelineBundle:
    return load_bundle("demo")


def test_it_knows_the_parts_of_the_library_and_its_scores_are_calibrated(bundle: PipelineBundle) -> None:
    assert tuple(bundle.objects) == PART_NAMES
    assert bundle.refiner.calibration is not None
    assert bundle.metrics["objects"]["all"]["parts"] > 100


# Of a pose that fits its part and its mask, as the networks see it on a camera that they do not know.
FITTING = {
    "explained": 0.99, "solid": 1.0, "mask_explained": 1.0, "mask_iou": 0.9, "visible": 0.9, "normals": 0.97,
    "residual": 0.4, "contour_confirmed": 0.8, "evidence": 3.3, "duel": 0.5, "kind": 0.8, "lead": 0.4,
    "confidence": 0.13, "detection": 0.2,
}  # fmt: skip
# Of a pose in free space.
FLOATING = FITTING | {
    "explained": 0.12, "solid": 0.4, "violation": 0.51, "violation_core": 0.4, "mask_explained": 0.23, "mask_iou": 0.5,
    "duel": -0.59, "lead": -0.3, "normals": 0.6,
}  # fmt: skip


def test_a_pose_in_free_space_is_never_sure_and_one_that_fits_is_found_on_an_unknown_camera(
    bundle: PipelineBundle,
) -> None:
    """What the networks say of themselves counts for neither."""
    calibration = bundle.refiner.calibration

    def score(**evidence: float) -> FloatArray:
        """For each part."""
        return calibration(np.array([[evidence.get(name, 0.0) for name in FEATURES]]), np.arange(len(PART_NAMES)))

    assert (score(**FITTING) > 0.8).all()
    for confidence in (0.0, 1.0):
        assert (score(**(FLOATING | {"confidence": confidence, "detection": confidence})) < 0.05).all()


def test_it_is_small_enough_for_git() -> None:
    folder = Path(binpose.__file__).parent / "models"
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < MOST_BYTES


def test_it_finds_parts_that_lie_apart(bundle: PipelineBundle) -> None:
    """Pulleys and pipes on a table, seen without noise: most of them are found where they are."""
    rng = np.random.default_rng(5)
    names = ["t_pipe", "v_pulley", "t_pipe", "v_pulley"]
    places = np.array([[-0.08, -0.05, 0.0], [0.08, -0.05, 0.0], [-0.08, 0.06, 0.0], [0.08, 0.06, 0.0]])
    T_cam_obj = []
    for name, place in zip(names, places, strict=True):
        R = random_rotation(rng)
        center = place + np.array([0, 0, TABLE_M - 0.04])
        T_cam_obj.append(from_rotation_translation(R, center - R @ bundle.objects[name].center_m))
    meshes = [bundle.objects[name].mesh for name in names]
    drawn = Renderer(meshes).scene(np.arange(4), np.array(T_cam_obj), CAMERA)
    depth_m = np.where(drawn.instance_ids >= 0, drawn.depth_m, TABLE_M).astype(np.float32)
    light = np.where(drawn.instance_ids >= 0, 150, 60) + rng.normal(0, 3, depth_m.shape)
    frame = RgbdFrame(np.repeat(light.clip(0, 255).astype(np.uint8)[..., None], 3, -1), depth_m, CAMERA)
    found = 0
    poses = bundle.pipeline(frame)
    for name, T in zip(names, T_cam_obj, strict=True):
        same = [pose.T_cam_obj for pose in poses if pose.object_id == name]
        errors_m = right_errors_m(PartErrors(bundle.objects[name]), np.reshape(same, (-1, 4, 4)), T[None])
        found += bool(np.isfinite(errors_m).any())
    assert found >= 3
