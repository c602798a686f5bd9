"""What all tests share."""

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Read when OpenMP is loaded, hence before any test imports torch: spinning threads make parallel tests slow.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pytest
import trimesh
from hypothesis import settings

from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.catalogue import ObjectModel, make_object
from binpose_core.rendering.renderer import Renderer

from .truth_stages import bundle, dataset, networks  # noqa: F401  # fixtures of several packages

ROOT = Path(__file__).resolve().parent.parent

settings.register_profile("busy", deadline=None)  # a machine that does other work too is no failure
settings.load_profile("busy")


@pytest.fixture(scope="session")
def repository_root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with the same seed in every test."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded data sets beside the checkout; the test is skipped where it is missing."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no recorded data at {folder}")
    return folder


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


@pytest.fixture(scope="session")
def torchvision() -> None:
    """torchvision can be imported, in need with operators in plain torch; the test is skipped where it is missing."""
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed: `pip install torchvision`, in the build for the installed torch")
    try:
        importlib.import_module("torchvision")
    except RuntimeError:  # its compiled operators are for another torch
        spec = importlib.util.spec_from_file_location("torchvision_operators", ROOT / "tests/torchvision_operators.py")
        assert spec is not None and spec.loader is not None
        operators = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(operators)
        operators.install()
