"""Solids and what is none; touches of faces against every edge of every triangle tried in plain numpy."""

import numpy as np
import pytest
import trimesh

from binpose_core.geometry.transforms import FloatArray, random_rotation
from binpose_core.meshes.mesh import Mesh, signed_volumes
from binpose_core.meshes.solids import is_solid, touches_itself


def as_mesh(part: trimesh.Trimesh) -> Mesh:
    return Mesh(part.vertices.astype(np.float32), part.faces.astype(np.int32))


BOX = as_mesh(trimesh.creation.box((0.06, 0.04, 0.02)))
INWARD = BOX.faces[:, ::-1]
TORUS = as_mesh(trimesh.creation.torus(0.04, 0.012, major_sections=24, minor_sections=12))


def turned(vertices: FloatArray, seed: int) -> np.ndarray:
    return (vertices @ random_rotation(np.random.default_rng(seed)).T).astype(np.float32)


def prism(outline: list[list[float]], caps: list[list[int]]) -> Mesh:
    """Over an outline (N, 2) whose triangles are `caps`, from z = 0 to 1."""
    count = len(outline)
    vertices = np.array([[x, y, z] for z in (0, 1) for x, y in outline], np.float32)
    following = [(i, (i + 1) % count) for i in range(count)]
    sides = [face for i, j in following for face in ([i, j, j + count], [i, j + count, i + count])]
    bottom, top = np.array(caps)[:, ::-1], np.array(caps) + count
    return Mesh(vertices, np.vstack([sides, bottom, top]).astype(np.int32))


# The sides 0-1 and 2-3 cross at the origin; the lobe beyond it is inside out.
BOW_TIE = prism([[3, -3], [-1, 1], [-1, -1], [3, 3]], [[0, 1, 2], [0, 2, 3]])
# As many vertices as the bow tie, and one more on the crossing, which belongs to both lobes.
PINCHED = prism([[0, 0], [3, -3], [3, 3], [0, 0], [-1, 1], [-1, -1]], [[0, 1, 2], [3, 5, 4]])


def test_a_solid_closes_and_all_its_pieces_wind_outward() -> None:
    """Boxes, whole and otherwise; a vertex that no face uses is no piece, a face without area is none either."""
    spare = Mesh(np.vstack([BOX.vertices, BOX.vertices[:2]]), BOX.faces)
    no_area = Mesh(BOX.vertices, np.vstack([[[0, 0, 0], [1, 1, 2]], BOX.faces]).astype(np.int32))
    assert is_solid(BOX) and is_solid(spare) and is_solid(no_area) and is_solid(TORUS)
    pair = np.vstack([BOX.vertices, BOX.vertices + np.float32(1)])
    assert is_solid(Mesh(pair, np.vstack([BOX.faces, BOX.faces + 8])))
    assert not is_solid(Mesh(pair, np.vstack([BOX.faces, INWARD + 8])))
    assert not is_solid(Mesh(BOX.vertices, INWARD))
    assert not is_solid(Mesh(BOX.vertices, BOX.faces[1:]))
    assert not is_solid(Mesh(BOX.vertices, BOX.faces[:0]))
    one_turned = np.vstack([BOX.faces[:1, ::-1], BOX.faces[1:]])
    assert not is_solid(Mesh(BOX.vertices, one_turned))
    sheet = Mesh(BOX.vertices, np.vstack([BOX.faces[:1], INWARD[:1]]))  # closed, without a volume
    assert not is_solid(sheet)
    assert not is_solid(Mesh(np.full_like(BOX.vertices, np.nan), BOX.faces))


def test_two_bodies_through_each_other_are_solid_and_one_through_itself_is_not() -> None:
    through = Mesh(np.vstack([BOX.vertices, BOX.vertices + np.float32(0.01)]), np.vstack([BOX.faces, BOX.faces + 8]))
    assert is_solid(through)
    for mesh in (BOW_TIE, PINCHED):
        assert abs(signed_volumes(mesh.vertices, mesh.faces).sum()) > 1, "one of the windings has a positive volume"
        for faces in (mesh.faces, np.ascontiguousarray(mesh.faces[:, ::-1])):
            for seed in range(5):
                assert not is_solid(Mesh(turned(mesh.vertices, seed), faces))


def test_bodies_that_share_an_edge_are_judged_one_by_one() -> None:
    """Two boxes whose vertices are one along an edge, the second as it should be and inside out."""
    second = BOX.vertices + np.array([0.06, 0.04, 0], np.float32)
    vertices, index = np.unique(np.vstack([BOX.vertices, second]).round(6), axis=0, return_inverse=True)
    index = index.reshape(-1)
    assert len(vertices) == 14
    outward = np.vstack([index[BOX.faces], index[BOX.faces + 8]]).astype(np.int32)
    inward = np.vstack([index[BOX.faces], index[INWARD + 8]]).astype(np.int32)
    assert is_solid(Mesh(vertices, outward)) and not is_solid(Mesh(vertices, inward))


def test_a_dent_that_comes_out_on_the_other_side_makes_no_solid() -> None:
    """A vertex of a ball is drawn inward, and at last out of the other side."""
    ball = trimesh.creation.icosphere(subdivisions=2)
    for depth, solid in ((0.0, True), (1.0, True), (1.9, True), (2.1, False)):
        vertices = np.array(ball.vertices)
        vertices[0] *= 1 - depth
        assert is_solid(Mesh(vertices.astype(np.float32), ball.faces.astype(np.int32))) == solid


def test_a_hundred_thousand_faces() -> None:
    """One vertex that goes through the other side of the tube is found among them."""
    mesh = as_mesh(trimesh.creation.torus(0.04, 0.012, major_sections=250, minor_sections=200))
    assert is_solid(mesh)
    vertices = mesh.vertices.copy()
    middle = np.array([*0.04 * vertices[777, :2] / np.linalg.norm(vertices[777, :2]), 0])
    vertices[777] = middle - 1.2 * (vertices[777] - middle)
    assert not is_solid(Mesh(vertices, mesh.faces))


def pierces(p: FloatArray, q: FloatArray, corners: FloatArray) -> bool:
    """Whether the segment p-q meets the triangle (3, 3): p + t (q - p) = a + u (b - a) + v (c - a)."""
    a, b, c = corners
    t, u, v = np.linalg.solve(np.stack([p - q, b - a, c - a], 1), p - a)
    return bool(0 <= t <= 1 and u >= 0 and v >= 0 and u + v <= 1)


def touches_itself_reference(vertices: FloatArray, faces: np.ndarray) -> bool:
    edges = [(i, j) for face in faces for i, j in zip(face, np.roll(face, -1), strict=True)]
    apart = [(i, j, face) for i, j in edges for face in faces if i not in face and j not in face]
    return any(pierces(vertices[i], vertices[j], vertices[face]) for i, j, face in apart)


@pytest.mark.parametrize("spread", [0.2, 0.5, 1.0])
def test_touches_are_those_of_every_edge_with_every_triangle(spread: float) -> None:
    """Strips of a few random triangles, near and far from each other, of all sizes."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(120):
        sizes = rng.uniform(0.05, 1.0, (4, 1, 1))
        vertices = (spread * rng.normal(size=(4, 1, 3)) + sizes * rng.normal(size=(4, 4, 3))).reshape(-1, 3)
        faces = np.array([[4 * k + i, 4 * k + i + 1, 4 * k + i + 2] for k in range(4) for i in range(2)])
        found.append(touches_itself(vertices, faces))
        assert found[-1] == touches_itself_reference(vertices, faces)
    assert 0.1 < np.mean(found) < 0.9


@pytest.mark.parametrize("seed", range(6))
def test_faces_touch_at_an_edge_or_a_corner_and_not_within_a_plane(seed: int) -> None:
    """What no rounding may miss: two crossing edges, a corner on a face; and what encloses nothing."""
    first = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], float)
    touching = {
        "edges cross": [[0.5, -0.5, 0.5], [0.5, 0.5, -0.5], [0.5, 0.5, 2.0]],
        "a corner on a face": [[0.25, 0.25, 0], [0.2, 0.3, 1], [0.3, 0.2, 1]],
        "almost in one plane": [[0.25, -0.25, -1e-5], [0.75, 0.75, 1e-5], [1, 0.5, 0]],
    }
    apart = {
        "in one plane": [[0.25, -0.25, 0], [0.75, 0.75, 0], [1, 0.5, 0]],
        "in one plane, beside": [[1.1, 0, 0], [2, 0, 0], [1, 1, 0]],
        "above": [[0, 0, 1e-3], [1, 0, 1e-3], [0, 1, 1e-3]],
        "beside": [[0.6, 0.6, -1], [0.6, 0.6, 1], [2, 2, 0]],
    }
    R = random_rotation(np.random.default_rng(seed))
    for expected, cases in ((True, touching), (False, apart)):
        for name, second in cases.items():
            vertices = np.vstack([first, second]) @ R.T
            assert touches_itself(vertices, np.array([[0, 1, 2], [3, 4, 5]])) == expected, name
