"""Rendered parts with known poses."""

import numpy as np
import pytest
import trimesh

from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import LabelledView
from binpose_core.geometry.transforms import from_rotation_translation, random_rotation, transform
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.catalogue import ContinuousSymmetry, ObjectModel, Symmetries, make_object
from binpose_core.parts.symmetries import rotations_about
from binpose_core.rendering.renderer import Renderer

CAMERA = Camera(520.0, 514.0, 236.0, 187.0, 476, 380)
TABLE_M = 0.62
ASIDE_M = np.array([0.011, -0.006, 0.004])


def _part(mesh: trimesh.Trimesh, id: str, bop_id: int, symmetries: Symmetries) -> ObjectModel:
    mesh.apply_translation(ASIDE_M)  # no part's centre is its origin
    return make_object(Mesh(mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32)), id, bop_id, symmetries)


@pytest.fixture(scope="session")
def objects() -> dict[str, ObjectModel]:
    """A block with thirds of a turn about an axis that misses its centre, a rod round about its own, a bracket."""
    block = trimesh.creation.box((0.06, 0.036, 0.02))
    # Thirds of a turn about z through a point 3 mm beside the centre: stated, not true; they move the centre too.
    thirds = rotations_about(np.array([0, 0, 1.0]), ASIDE_M + np.array([0.003, 0, 0]), np.arange(3) * 2 * np.pi / 3)
    rod = trimesh.creation.cylinder(0.014, 0.045, sections=24)
    legs = [trimesh.creation.box((0.06, 0.014, 0.02)), trimesh.creation.box((0.014, 0.05, 0.02))]
    legs[1].apply_translation((-0.023, 0.02, 0.0))
    bracket = trimesh.boolean.union(legs, engine="manifold")
    none = np.zeros((0, 4, 4))
    axis = ContinuousSymmetry(np.array([0, 0, 1.0]), ASIDE_M)
    parts = (
        _part(block, "block", 1, Symmetries(thirds, (), none)),
        _part(rod, "rod", 2, Symmetries(np.eye(4)[None], (axis,), none)),
        _part(bracket, "bracket", 3, Symmetries.none()),
    )
    return {part.id: part for part in parts}


def known_view(objects: dict[str, ObjectModel], seed: int) -> LabelledView:
    """Five parts in any orientation, most of them far from the optical axis."""
    rng = np.random.default_rng(seed)
    names = ("block", "rod", "bracket", "bracket", "block")
    places = np.array([[-0.17, -0.13], [0.16, -0.13], [-0.16, 0.12], [0.0, 0.0], [0.15, 0.12]])
    points = np.c_[places, rng.uniform(0.5, 0.55, 5)]
    rotation = random_rotation(rng, (5,))
    centers = np.array([objects[name].center_m for name in names])
    T_cam_obj = from_rotation_translation(rotation, points - (rotation @ centers[..., None])[..., 0])
    scene = Renderer([objects[name].mesh for name in objects]).scene(
        np.array([list(objects).index(name) for name in names]), T_cam_obj, CAMERA
    )
    depth_m = np.where(scene.instance_ids >= 0, scene.depth_m, np.float32(TABLE_M))
    color = rng.integers(60, 200, (CAMERA.height, CAMERA.width, 3)).astype(np.uint8)
    frame = RgbdFrame(color, depth_m.astype(np.float32), CAMERA, name=f"view {seed}")
    return LabelledView(frame, names, T_cam_obj, scene.instance_ids, np.ones(5))


def true_centers(view: LabelledView, objects: dict[str, ObjectModel]) -> np.ndarray:
    """(N, 3) centres of the parts in the camera frame."""
    pairs = zip(view.object_ids, view.T_cam_obj, strict=True)
    return np.array([transform(T, objects[name].center_m[None])[0] for name, T in pairs])


@pytest.fixture(scope="session")
def views(objects: dict[str, ObjectModel]) -> list[LabelledView]:
    return [known_view(objects, seed) for seed in range(3)]
