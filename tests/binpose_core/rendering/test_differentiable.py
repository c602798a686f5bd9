"""Gradients of renderings against finite differences of much finer ones, in which every pixel is 6 x 6 samples."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import trimesh

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation, random_rotation
from binpose_core.meshes.mesh import Mesh
from binpose_core.rendering.differentiable import DifferentiableRenderer, DifferentiableRendering, over
from binpose_core.rendering.renderer import Renderer

SIDE, FINE = 96, 6
INTRINSICS = np.array([260.0, 250.0, 47.1, 48.3])
DISTANCE_M = 0.3
TRUNCATION_M = 0.01


def as_mesh(mesh: trimesh.Trimesh) -> Mesh:
    """Subdivided, so that a smooth colour on the vertices stays smooth."""
    mesh = mesh.subdivide().subdivide()
    return Mesh(np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int32))


def bracket() -> trimesh.Trimesh:
    low = trimesh.creation.box((0.08, 0.04, 0.008))
    wall = trimesh.creation.box((0.008, 0.04, 0.05))
    wall.apply_translation((-0.036, 0.0, 0.025))
    peg = trimesh.creation.box((0.015, 0.012, 0.03))
    peg.apply_translation((0.02, 0.012, 0.015))
    return trimesh.util.concatenate([low, wall, peg])


MESHES = {
    "asymmetric": as_mesh(bracket()),
    "symmetric": as_mesh(trimesh.creation.cylinder(0.02, 0.07, sections=48)),
    "thin": as_mesh(trimesh.creation.box((0.08, 0.05, 0.001))),
}
NAMES = tuple(MESHES)
PLACES = {"inside": (0.0, 0.0), "partly outside": (0.05, 0.02)}


def colors(mesh: Mesh) -> np.ndarray:
    x, y, z = mesh.vertices.T / 0.04
    return np.stack([0.5 + 0.3 * np.sin(2 * x + y), 0.5 + 0.3 * np.cos(y - 2 * z), 0.4 + 0.2 * z], -1)


RENDERER = DifferentiableRenderer(Renderer(list(MESHES.values())), [colors(m) for m in MESHES.values()], torch.float64)

Objective = Callable[[DifferentiableRendering, DifferentiableRendering], torch.Tensor]


def iou(drawn: DifferentiableRendering, seen: DifferentiableRendering) -> torch.Tensor:
    both = (drawn.coverage * seen.coverage).sum()
    return both / (drawn.coverage.sum() + seen.coverage.sum() - both)


def depth_l1(drawn: DifferentiableRendering, seen: DifferentiableRendering) -> torch.Tensor:
    """Truncated, so that uncovering a pixel costs a finite amount; over what is seen."""
    difference = (drawn.depth_m - seen.depth_m).abs().clamp(max=TRUNCATION_M)
    cost = over(difference[..., None], drawn.coverage, TRUNCATION_M, drawn.occlusions)[..., 0]
    return (cost * seen.coverage).sum() / seen.coverage.sum() / TRUNCATION_M


def color_l2(drawn: DifferentiableRendering, seen: DifferentiableRendering) -> torch.Tensor:
    shown = over(drawn.attributes, drawn.coverage, 0.0, drawn.occlusions)
    return (shown - seen.attributes).square().sum(-1).mean()


def draw(name: str, T_cam_obj: torch.Tensor, scale: int = 1) -> DifferentiableRendering:
    fx, fy, cx, cy = INTRINSICS
    intrinsics = np.array([fx * scale, fy * scale, (cx + 0.5) * scale - 0.5, (cy + 0.5) * scale - 0.5])
    return RENDERER(np.array([NAMES.index(name)]), T_cam_obj, intrinsics, SIDE * scale, SIDE * scale)


def turned(T: torch.Tensor, twist: torch.Tensor) -> torch.Tensor:
    """The pose moved by (translation, turn about its origin); both in metres, turns at the part's radius."""
    shift, (x, y, z) = twist[:3], twist[3:] / 0.04
    zero = torch.zeros_like(x)
    generator = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3)
    R = torch.matrix_exp(generator) @ T[:3, :3]
    top = torch.cat([R, (T[:3, 3] + shift)[:, None]], 1)
    return torch.cat([top, T[3:]], 0)[None]


def gradients(name: str, place: str, objective: Objective, seed: int, scale: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """With respect to the twist: by autograd, and by central differences of the finer rendering."""
    rng = np.random.default_rng(seed)
    true = from_rotation_translation(random_rotation(rng), np.array([*PLACES[place], DISTANCE_M]))
    offset = from_rotation_translation(exp_so3(rng.normal(0, 0.06, 3)), rng.normal(0, 0.003, 3))
    off = np.array(true)
    off[:3, :3], off[:3, 3] = offset[:3, :3] @ true[:3, :3], true[:3, 3] + offset[:3, 3]
    start = torch.from_numpy(off)
    twist = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    objective(draw(name, turned(start, twist), scale), draw(name, torch.from_numpy(true)[None], scale)).backward()
    seen, step = draw(name, torch.from_numpy(true)[None], FINE), 4e-4
    differences = []
    with torch.no_grad():
        for axis in step * torch.eye(6, dtype=torch.float64):
            up, down = (float(objective(draw(name, turned(start, s * axis), FINE), seen)) for s in (1, -1))
            differences.append((up - down) / (2 * step))
    return twist.grad.numpy(), np.array(differences)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("objective", "median", "of_seven", "of_all"),
    [(iou, 0.99, 0.985, 0.95), (depth_l1, 0.99, 0.99, 0.99), (color_l2, 0.98, 0.98, 0.96)],
)
def test_gradients_are_those_of_finite_differences(
    name: str, place: str, objective: Objective, median: float, of_seven: float, of_all: float
) -> None:
    """Of eight poses all, and all but one more closely; what is left goes with finer pixels (the next test)."""
    pairs = [gradients(name, place, objective, seed) for seed in range(8)]
    cosines = sorted(cosine(a, b) for a, b in pairs)
    assert cosines[0] > of_all and cosines[1] > of_seven and np.median(cosines) > median, cosines
    lengths = sorted(np.linalg.norm(a) / np.linalg.norm(b) for a, b in pairs)
    assert lengths[0] > 0.7 and lengths[1] > 0.85 and lengths[-1] < 1.15, lengths  # a plate's face seen from its edge


@pytest.mark.parametrize(
    ("name", "objective", "seed"), [("symmetric", iou, 3), ("asymmetric", depth_l1, 5), ("asymmetric", color_l2, 5)]
)
def test_gradients_converge_with_finer_pixels(name: str, objective: Objective, seed: int) -> None:
    """Also where a part hides itself: the worst of the poses above, with as fine pixels as the differences."""
    found, expected = gradients(name, "partly outside", objective, seed, scale=FINE)
    assert cosine(found, expected) > 0.995
    assert np.linalg.norm(found) / np.linalg.norm(expected) == pytest.approx(1.0, abs=0.05)


def test_values_are_those_of_the_hard_rendering() -> None:
    rng = np.random.default_rng(0)
    T = np.stack([from_rotation_translation(random_rotation(rng), np.array([0.01, 0.0, DISTANCE_M])) for _ in NAMES])
    drawn = RENDERER(np.arange(3), torch.from_numpy(T), INTRINSICS, SIDE, SIDE)
    hard = RENDERER.renderer.crops(np.arange(3), T, INTRINSICS, SIDE, SIDE)
    np.testing.assert_array_equal(drawn.face_ids, hard.face_ids)
    np.testing.assert_array_equal(drawn.coverage, hard.mask)
    np.testing.assert_allclose(drawn.depth_m, hard.depth_m, atol=2e-7)
    # Points of the part, taken to the camera, lie at their pixels.
    for image, pose in enumerate(T):
        row, column = np.nonzero(hard.mask[image])
        points = drawn.points_obj[image, row, column].numpy() @ pose[:3, :3].T + pose[:3, 3]
        pixels = points[:, :2] / points[:, 2:] * INTRINSICS[:2] + INTRINSICS[2:]
        np.testing.assert_allclose(pixels, np.stack([column, row], -1), atol=1e-2)
        mesh = RENDERER.renderer.meshes[image]
        nearest = np.linalg.norm(
            mesh.vertices[None] - drawn.points_obj[image, row, column].numpy()[::40, None], axis=-1
        )
        shown = drawn.attributes[image, row, column].numpy()[::40]
        np.testing.assert_allclose(shown, colors(mesh)[nearest.argmin(1)], atol=0.25)
    assert (drawn.normals_cam * drawn.points_obj.new_tensor([0, 0, 1])).sum(-1).max() < 0.5


def test_a_pose_that_shows_nothing_passes_no_gradient() -> None:
    T = torch.from_numpy(from_rotation_translation(np.eye(3), np.array([0.0, 0.0, -1.0])))[None].requires_grad_()
    drawn = RENDERER(np.array([0]), T, INTRINSICS, SIDE, SIDE)
    (drawn.depth_m.sum() + drawn.coverage.sum() + drawn.attributes.sum()).backward()
    assert not T.grad.any()


def test_degenerate_faces_make_no_nan() -> None:
    box = MESHES["thin"]
    mesh = Mesh(box.vertices, np.vstack([[[0, 0, 0], [1, 1, 2]], box.faces]).astype(np.int32))
    renderer = DifferentiableRenderer(Renderer([mesh]), [colors(mesh)])
    T = torch.from_numpy(from_rotation_translation(np.eye(3), np.array([0.0, 0.0, DISTANCE_M])))[None].requires_grad_()
    drawn = renderer(np.array([0]), T, INTRINSICS, SIDE, SIDE)
    (drawn.depth_m.sum() + drawn.coverage.sum() + drawn.attributes.sum()).backward()
    assert torch.isfinite(T.grad).all() and torch.isfinite(drawn.attributes).all()


def test_attributes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BinposeError, match="one row per vertex"):
        DifferentiableRenderer(Renderer([MESHES["thin"]]), [np.zeros((3, 3))])
