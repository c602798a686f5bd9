"""Plain parts, alone and in a settled bin whose truth is known."""

from collections.abc import Sequence
from importlib import metadata

import numpy as np
import pytest
import trimesh

from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import PoseEstimate
from binpose_core.meshes.mesh import Mesh, surface_samples
from binpose_core.parts.objects import POINTS, ObjectModel
from binpose_core.parts.symmetries import Symmetries
from binpose_core.rendering.renderer import Renderer
from binpose_simulation.content_config import ContentConfig
from binpose_simulation.gbuffer import smooth_corner_normals
from binpose_simulation.prepared_parts import PreparedPart
from binpose_simulation.scene import SceneConfig, SimulatedView, render_view, simulate_pile
from binpose_simulation.sensor import SensorConfig
from binpose_simulation.viewpoint import ViewpointConfig

try:
    metadata.distribution("example-robot-data")
    PANDA_MISSING = ""
except metadata.PackageNotFoundError:
    PANDA_MISSING = "the extra `picking` is not installed: no shape of the Panda"
needs_panda = pytest.mark.skipif(bool(PANDA_MISSING), reason=PANDA_MISSING)
CAMERA = Camera(600.0, 600.0, 319.5, 239.5, 640, 480)
TABLE_M = 0.5
NO_SYMMETRY = Symmetries(np.eye(4)[None], (), np.zeros((0, 4, 4)))


def make_part(mesh: trimesh.Trimesh | Mesh, name: str) -> ObjectModel:
    own = Mesh(np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32))
    points, normals = surface_samples(own, POINTS, np.random.default_rng(0))
    center, closed = own.box_center_m, own.watertight
    return ObjectModel(name, 1, own, (), own.diameter_m, center, NO_SYMMETRY, points, normals, watertight=closed)


def box_part(name: str, *sides_m: float) -> ObjectModel:
    return make_part(trimesh.creation.box(sides_m), name)


def on_table(part: ObjectModel, x_m: float = 0.0, y_m: float = 0.0) -> np.ndarray:
    """T_cam_obj (4, 4) of a part that lies on the table below the camera, its z towards the camera."""
    T = np.diag([1.0, -1.0, -1.0, 1.0])
    T[:3, 3] = x_m, y_m, TABLE_M - part.box_size_m[2] / 2
    return T


def seen(parts: Sequence[ObjectModel], T_cam_obj: Sequence[np.ndarray]) -> RgbdFrame:
    """What a camera straight above a table sees."""
    rendering = Renderer([part.mesh for part in parts]).scene(np.arange(len(parts)), np.stack(T_cam_obj), CAMERA)
    depth_m = np.where(rendering.depth_m > 0, rendering.depth_m, np.float32(TABLE_M))
    return RgbdFrame(np.zeros((480, 640), np.uint8), depth_m, CAMERA)


@pytest.fixture(scope="session")
def cube() -> ObjectModel:
    return box_part("cube", 0.03, 0.03, 0.03)


@pytest.fixture(scope="session")
def bar() -> ObjectModel:
    return box_part("bar", 0.06, 0.02, 0.025)


@pytest.fixture(scope="session")
def rod() -> ObjectModel:
    return make_part(trimesh.creation.cylinder(0.01, 0.06, sections=48), "rod")


@pytest.fixture(scope="session")
def parts(cube: ObjectModel, bar: ObjectModel, rod: ObjectModel) -> dict[str, ObjectModel]:
    return {part.id: part for part in (cube, bar, rod)}


def prepared(parts: dict[str, ObjectModel]) -> dict[str, PreparedPart]:
    """Convex parts for the physics, as they are."""
    axis = np.array([0.0, 0.0, 1.0])
    return {
        name: PreparedPart(name, part.mesh, smooth_corner_normals(part.mesh), (part.mesh,), part.diameter_m, axis)
        for name, part in parts.items()
    }


@pytest.fixture(scope="session")
def view(parts: dict[str, ObjectModel]) -> SimulatedView:
    """A bin with a few of the parts."""
    config = SceneConfig(
        content=ContentConfig(parts=(7, 7), row=(1, 1)),
        viewpoint=ViewpointConfig(width=640, height=480, part_size_px=(70, 90)),
        sensor=SensorConfig.only("ideal"),
    )
    rng = np.random.default_rng(7)
    return render_view(simulate_pile(rng, prepared(parts), config), rng, config)


@pytest.fixture(scope="session")
def true_poses(view: SimulatedView) -> list[PoseEstimate]:
    return [PoseEstimate(name, T, 1.0) for name, T in zip(view.object_ids, view.T_cam_obj, strict=True)]
