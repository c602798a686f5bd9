"""The parts are solids of the size of real ones, always the same, and different from each other."""

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.meshes.mesh import is_watertight, welded
from binpose_simulation.parts import PART_NAMES, make_part, turned_parts


def volume_m3(mesh):
    return np.linalg.det(mesh.vertices.astype(np.float64)[mesh.faces]).sum() / 6.0


def test_there_are_ten_parts():
    assert len(PART_NAMES) == len(set(PART_NAMES)) == 10


@pytest.mark.parametrize("name", PART_NAMES)
def test_a_part_is_one_closed_solid(name):
    mesh = make_part(name)
    vertices, faces = welded(mesh.vertices.astype(np.float64), mesh.faces.astype(np.int64), 0.0)
    assert len(vertices) == len(mesh.vertices), "no vertex twice"
    assert is_watertight(faces)
    edges = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    assert len(np.unique(edges, axis=0)) == len(edges), "every edge once in each direction: consistent winding"
    assert volume_m3(mesh) > 0.0, "faces look outwards"
    assert mesh.face_areas.min() > 0.0


@pytest.mark.parametrize("name", PART_NAMES)
def test_a_part_has_the_size_and_detail_of_a_real_one(name):
    mesh = make_part(name)
    assert 500 <= len(mesh.faces) <= 6000
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    np.testing.assert_allclose(low + high, 0.0, atol=1e-6)
    assert 0.025 <= (high - low).max() <= 0.1101
    assert mesh.vertices.dtype == np.float32 and mesh.faces.dtype == np.int32


def test_making_a_part_again_gives_the_same():
    first = make_part("v_pulley")
    make_part.cache_clear()
    again = make_part("v_pulley")
    np.testing.assert_array_equal(first.vertices, again.vertices)
    np.testing.assert_array_equal(first.faces, again.faces)


def test_no_two_parts_are_alike():
    sizes = np.array(
        [[*np.sort(np.ptp(make_part(n).vertices, axis=0)), volume_m3(make_part(n)) ** (1 / 3)] for n in PART_NAMES]
    )
    apart = np.abs(sizes[:, None] - sizes).max(-1) + np.eye(len(sizes))
    assert apart.min() > 0.004


def test_a_tooth_is_half_a_pitch_wide_on_the_pitch_circle():
    module, count = 2.0, 22
    contour = turned_parts.involute_gear(module, count).reshape(count, 14, 2)[0]
    radius, angle = np.linalg.norm(contour, axis=1), np.arctan2(contour[:, 1], contour[:, 0])
    rising = slice(1, 7)
    half_width = -np.interp(module * count / 2.0, radius[rising], angle[rising])
    assert 2.0 * half_width == pytest.approx(np.pi / count, rel=0.01)


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(BinposeError, match=r"'cog'.*hex_bolt"):
        make_part("cog")
