"""Three plain parts on a floor, drawn with noise: the truth is known exactly."""

from dataclasses import dataclass

import numpy as np
import pytest
import trimesh

from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, Hypothesis, PoseEstimate
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation, random_rotation, transform
from binpose_core.meshes.mesh import Mesh, surface_samples
from binpose_core.parts.objects import ObjectModel
from binpose_core.parts.symmetries import ContinuousSymmetry, Symmetries
from binpose_core.rendering.renderer import Renderer
from binpose_refinement.config import RefinerConfig
from binpose_refinement.refiner import IcpRefiner

CAMERA = Camera(600.0, 600.0, 319.5, 239.5, 640, 480)
FLOOR_M = 0.68
TURN = from_rotation_translation(exp_so3(np.array([0, 0, np.pi])), np.zeros(3))


def part(mesh, id, continuous=(), near=()):
    mesh = Mesh(np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32))
    points, normals = surface_samples(mesh, 1500, np.random.default_rng(0))
    near = np.stack(near) if len(near) else np.zeros((0, 4, 4))
    symmetries = Symmetries(np.eye(4)[None], tuple(continuous), near)
    center = mesh.box_center_m
    return ObjectModel(id, 1, mesh, (), mesh.diameter_m, center, symmetries, points, normals, watertight=True)


def box(size, at=(0.0, 0.0, 0.0)):
    mesh = trimesh.creation.box(size)
    mesh.apply_translation(at)
    return mesh


@pytest.fixture(scope="session")
def parts():
    """cleat: three unlike steps; plate: a half turn about z leaves all but a 12 mm stud; rod: round about z."""
    cleat = trimesh.boolean.union(
        [
            box((0.06, 0.02, 0.015)),
            box((0.015, 0.045, 0.02), (0.02, 0.015, 0.003)),
            box((0.012, 0.02, 0.03), (-0.02, 0, 0.012)),
        ]
    )
    plate = trimesh.boolean.union([box((0.06, 0.04, 0.01)), box((0.012, 0.012, 0.012), (0.02, 0.01, 0.008))])
    rod = trimesh.creation.cylinder(radius=0.008, height=0.07, sections=48)
    rod = part(rod, "rod", continuous=[ContinuousSymmetry(np.array([0, 0, 1.0]), np.zeros(3))])
    return {"cleat": part(cleat, "cleat"), "plate": part(plate, "plate", near=[TURN]), "rod": rod}


@dataclass
class Scene:
    frame: RgbdFrame
    ids: list
    T_cam_obj: np.ndarray
    instance_ids: np.ndarray
    detections: list


def draw(parts, ids, T_cam_obj, noise_m=0.0007, dropout=0.05, seed=0, floor_m=FLOOR_M):
    rng = np.random.default_rng(seed)
    names = list(parts)
    renderer = Renderer([model.mesh for model in parts.values()])
    mesh_ids = np.array([names.index(name) for name in ids], np.int64)
    T_cam_obj = np.asarray(T_cam_obj, np.float64).reshape(-1, 4, 4)
    scene = renderer.scene(mesh_ids, T_cam_obj, CAMERA)
    depth = np.where(scene.depth_m > 0, scene.depth_m, floor_m)
    depth = depth + rng.normal(0, noise_m, depth.shape) if noise_m else depth
    depth = np.where(rng.random(depth.shape) < dropout, 0, depth).astype(np.float32)
    normals = scene.normals
    gray = np.where(scene.instance_ids >= 0, 60 + 150 * np.clip(-normals[..., 2], 0, 1), 30).astype(np.uint8)
    detections = [detection(name, scene.instance_ids == i) for i, name in enumerate(ids)]
    return Scene(RgbdFrame(gray, depth, CAMERA), list(ids), T_cam_obj, scene.instance_ids, detections)


def detection(object_id, mask, score=0.9):
    return Detection.from_mask(object_id, score, mask)


def pose(rng, model, at):
    """A random turn with the part's centre at (3,)."""
    R = random_rotation(rng)
    return from_rotation_translation(R, np.asarray(at) - R @ model.center_m)


def perturbed(rng, model, T, degrees=10.0, share=0.05):
    turn, shift = rng.normal(size=(2, 3))
    turn *= np.deg2rad(degrees) / np.linalg.norm(turn)
    shift *= share * model.diameter_m / np.linalg.norm(shift)
    center = transform(T, model.center_m[None])[0]
    R = exp_so3(turn) @ T[:3, :3]
    return from_rotation_translation(R, center + shift - R @ model.center_m)


def distance_m(model, T_a, T_b):
    """Mean distance of the surface under two poses, the least over the part's symmetries."""
    moved = transform(T_b @ model.symmetries.transforms(np.pi / 36), model.points[None, ::5])
    return np.linalg.norm(transform(T_a, model.points[::5]) - moved, axis=-1).mean(-1).min()


def guesses(*hypotheses, index=None):
    """A PoseEstimate of (object_id, T, score) triples, of the detection at a place."""
    hypotheses = tuple(Hypothesis(*h) for h in hypotheses)
    first = hypotheses[0]
    return PoseEstimate(first.object_id, first.T_cam_obj, first.score, detection_index=index, hypotheses=hypotheses)


@pytest.fixture(scope="session")
def pile(parts):
    """Nine parts, 60 mm apart, turned at random (the plates' studs in sight), some touching in the image."""
    rng = np.random.default_rng(3)
    ids = [list(parts)[i % 3] for i in range(9)]
    at = [((i % 3 - 1) * 0.06, (i // 3 - 1) * 0.055, 0.64) for i in range(9)]
    poses = [pose(rng, parts[name], p) for name, p in zip(ids, at, strict=True)]
    for T in poses[1::3]:
        T[:3, :3] = exp_so3(rng.uniform(-0.5, 0.5, 3)) @ np.diag([1.0, -1.0, -1.0])
    return draw(parts, ids, poses)


@pytest.fixture(scope="session")
def refiner(parts):
    return IcpRefiner(parts, RefinerConfig())
