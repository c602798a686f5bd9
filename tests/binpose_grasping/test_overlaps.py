import numpy as np
import pytest
import trimesh

from binpose_core.geometry.transforms import from_rotation_translation, inverse, random_rotation
from binpose_grasping.overlaps import boxes_touch_boxes, boxes_touch_mesh

COAL = pytest.importorskip("coal", reason="the extra `robot` is not installed")


def boxes(rng: np.random.Generator, count: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    low = rng.uniform(-0.05, 0.02, (count, number, 3))
    return low, low + rng.uniform(0.005, 0.05, low.shape)


def placed(T: np.ndarray) -> object:
    return COAL.Transform3s(T[:3, :3], T[:3, 3])


def reference(first: object, T_first: np.ndarray, second: object, T_second: np.ndarray) -> bool:
    result = COAL.CollisionResult()
    COAL.collide(first, placed(T_first), second, placed(T_second), COAL.CollisionRequest(), result)
    return bool(result.isCollision())


def middle(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return from_rotation_translation(np.eye(3), (low + high) / 2)


def test_boxes_and_triangles_overlap_as_an_independent_library_says(rng: np.random.Generator) -> None:
    mesh = trimesh.creation.icosphere(2, 0.02)
    corners = np.asarray(mesh.triangles, np.float64)
    T = from_rotation_translation(random_rotation(rng, (300,)), rng.uniform(-0.06, 0.06, (300, 3)))
    low, high = boxes(rng, 300, 2)
    found = boxes_touch_mesh(T, low, high, corners)
    shape = COAL.BVHModelOBBRSS()
    shape.beginModel(len(mesh.faces), len(mesh.vertices))
    shape.addVertices(np.asarray(mesh.vertices, np.float64))
    shape.addTriangles(np.asarray(mesh.faces, np.int64))
    shape.endModel()
    expected = [
        any(
            reference(COAL.Box(*(high[n, b] - low[n, b])), middle(low[n, b], high[n, b]), shape, T[n]) for b in range(2)
        )
        for n in range(300)
    ]
    assert 50 < sum(expected) < 250
    assert found.tolist() == expected


def test_boxes_overlap_as_an_independent_library_says(rng: np.random.Generator) -> None:
    T_hand_ref = from_rotation_translation(random_rotation(rng, (200,)), rng.uniform(-0.05, 0.05, (200, 3)))
    T_ref_box = from_rotation_translation(random_rotation(rng, (3,)), rng.uniform(-0.05, 0.05, (3, 3)))
    half = rng.uniform(0.005, 0.03, (3, 3))
    low, high = boxes(rng, 200, 2)
    found = boxes_touch_boxes(T_hand_ref, low, high, T_ref_box, half)
    expected = [
        any(
            reference(
                COAL.Box(*(high[n, b] - low[n, b])),
                middle(low[n, b], high[n, b]),
                COAL.Box(*(2 * half[k])),
                T_hand_ref[n] @ T_ref_box[k],
            )
            for b in range(2)
            for k in range(3)
        )
        for n in range(200)
    ]
    assert 20 < sum(expected) < 190
    assert found.tolist() == expected


def test_a_motion_of_both_changes_nothing_and_larger_boxes_touch_more(rng: np.random.Generator) -> None:
    corners = rng.uniform(-0.03, 0.03, (20, 3, 3))
    T = from_rotation_translation(random_rotation(rng, (100,)), rng.uniform(-0.05, 0.05, (100, 3)))
    low, high = boxes(rng, 100, 3)
    found = boxes_touch_mesh(T, low, high, corners)
    motion = from_rotation_translation(random_rotation(rng), rng.normal(size=3))
    moved = np.einsum("ij,fcj->fci", motion[:3, :3], corners) + motion[:3, 3]
    np.testing.assert_array_equal(boxes_touch_mesh(T @ inverse(motion), low, high, moved), found)
    larger = boxes_touch_mesh(T, low - 0.005, high + 0.005, corners)
    assert (larger | ~found).all() and larger.sum() > found.sum()
    assert not boxes_touch_mesh(T, low, high, corners[:0]).any()
