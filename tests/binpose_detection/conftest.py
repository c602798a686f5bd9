"""A rendered bin with known poses."""

from collections.abc import Sequence

import numpy as np
import pytest
import trimesh

from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import LabelledView
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.catalogue import ObjectModel, Symmetries, make_object
from binpose_core.rendering.renderer import Renderer

CAMERA = Camera(520.0, 516.0, 236.0, 187.0, 476, 380)
TABLE_M = 0.50


def _part(mesh: trimesh.Trimesh, id: str, bop_id: int) -> ObjectModel:
    mesh.apply_translation((0.011, -0.006, 0.004))  # no part's centre is its origin
    mesh = Mesh(np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32))
    return make_object(mesh, id, bop_id, Symmetries.none())


@pytest.fixture(scope="session")
def objects() -> dict[str, ObjectModel]:
    parts = (
        _part(trimesh.creation.box((0.06, 0.036, 0.02)), "block", 1),
        _part(trimesh.creation.cylinder(0.014, 0.045, sections=24), "rod", 2),
    )
    return {part.id: part for part in parts}


def known_view(
    objects: dict[str, ObjectModel], seed: int, camera: Camera = CAMERA, present: Sequence[int] = range(6)
) -> LabelledView:
    """Six parts over a table, or some of them: two of them touch, one is cut off by the image's border."""
    rng = np.random.default_rng(seed)
    names = ("block", "rod", "block", "rod", "block", "block")
    places = np.array([[-0.1, -0.07], [0.0, -0.08], [-0.05, 0.06], [0.1, -0.05], [0.02, 0.06], [0.0, 0.09]])
    points = np.c_[places, rng.uniform(0.44, 0.47, 6)]
    points[5, 0] = 0.475 * points[5, 2] - 0.011  # its centre just beyond the right border
    T_cam_obj = from_rotation_translation(exp_so3(rng.normal(0, 0.5, (6, 3))), points)[list(present)]
    names = tuple(names[i] for i in present)
    renderer = Renderer([objects[name].mesh for name in objects])
    mesh_ids = np.array([list(objects).index(name) for name in names])
    scene = renderer.scene(mesh_ids, T_cam_obj, camera)
    depth_m = np.where(scene.instance_ids >= 0, scene.depth_m, np.float32(TABLE_M))
    color = rng.integers(60, 90, (camera.height, camera.width, 3)).astype(np.uint8)
    for instance, name in enumerate(names):
        color[scene.instance_ids == instance] = (180, 60, 50) if name == "block" else (60, 90, 200)
    alone = renderer.crops(mesh_ids, T_cam_obj, camera.intrinsics, camera.height, camera.width).mask.sum((1, 2))
    seen = np.array([(scene.instance_ids == i).sum() for i in range(len(names))])
    frame = RgbdFrame(color, depth_m.astype(np.float32), camera)
    return LabelledView(frame, names, T_cam_obj, scene.instance_ids, seen / np.maximum(alone, 1))


@pytest.fixture(scope="session")
def views(objects: dict[str, ObjectModel]) -> list[LabelledView]:
    return [known_view(objects, seed) for seed in range(3)]
