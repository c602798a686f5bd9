"""Convex pieces are convex, hold the whole part, and come from the cache the second time."""

import subprocess

import numpy as np
import pytest
import trimesh

from binpose_core.base.errors import BinposeError
from binpose_core.meshes.mesh import Mesh
from binpose_simulation import decomposition
from binpose_simulation.decomposition import cache_dir, convex_pieces


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BINPOSE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def angle():
    """An L of two 40 x 20 x 5 mm legs."""
    section = [(0.0, 0.0), (0.04, 0.0), (0.04, 0.005), (0.005, 0.005), (0.005, 0.04), (0.0, 0.04)]
    from manifold3d import CrossSection, Manifold

    raw = Manifold.extrude(CrossSection([section]), 0.02).to_mesh64()
    return Mesh(np.float32(raw.vert_properties[:, :3]), np.int32(raw.tri_verts))


def as_trimesh(mesh):
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


def outside_m(pieces, points):
    """How far points stick out of the union of convex pieces."""
    hulls = [as_trimesh(piece) for piece in pieces]
    return np.min([(points @ h.face_normals.T - (h.face_normals * h.triangles[:, 0]).sum(1)).max(1) for h in hulls], 0)


def test_an_angle_becomes_two_tight_boxes(angle):
    pieces = convex_pieces(angle, max_pieces=4)
    assert 2 <= len(pieces) <= 4
    assert all(as_trimesh(piece).is_watertight and as_trimesh(piece).is_convex for piece in pieces)
    assert outside_m(pieces, angle.vertices.astype(np.float64)).max() < 2e-4
    assert sum(as_trimesh(piece).volume for piece in pieces) < 1.3 * as_trimesh(angle).volume


def test_the_second_call_reads_the_cache(angle, monkeypatch):
    first = convex_pieces(angle, max_pieces=4)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("decomposed again"))
    again = convex_pieces(angle, max_pieces=4)
    assert len(first) == len(again)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.vertices, b.vertices)


def test_a_damaged_cache_file_is_made_anew(angle):
    convex_pieces(angle, max_pieces=4)
    (stored,) = (cache_dir() / "convex_pieces").iterdir()
    whole = stored.read_bytes()
    stored.write_bytes(whole[: len(whole) // 2])
    assert len(convex_pieces(angle, max_pieces=4)) >= 2
    assert len(stored.read_bytes()) == len(whole)


def test_a_cache_that_cannot_be_written_costs_only_time(angle, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BINPOSE_CACHE", str(tmp_path / "file"))
    assert len(convex_pieces(angle, max_pieces=4)) >= 2
    assert "BINPOSE_CACHE" in caplog.text


def test_a_full_disk_under_the_cache_leaves_nothing_behind(angle, monkeypatch, caplog, full_disk):
    clouds = [np.random.default_rng(0).normal(size=(100, 3))]
    monkeypatch.setattr(decomposition, "_refined", lambda *_: clouds)
    with full_disk(100):
        assert convex_pieces(angle, max_pieces=4)
    assert "no space is left" in caplog.text and "BINPOSE_CACHE" in caplog.text
    assert not [path for path in cache_dir().rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", [100, 10_000], ids=["the mesh", "CoACD's answer"])
def test_a_full_disk_under_the_temporary_folder_is_told_and_stores_no_hull(angle, full_disk, size, monkeypatch):
    long_answer = decomposition._CHILD.replace("np.savez(sys.argv[2],", "np.savez(sys.argv[2], np.zeros(10_000),")
    monkeypatch.setattr(decomposition, "_CHILD", long_answer)
    with full_disk(size), pytest.raises(BinposeError, match=r"temporary files in .*; free some space") as raised:
        convex_pieces(angle, max_pieces=4)
    assert "\n" not in str(raised.value)
    assert not list(cache_dir().rglob("*.npz"))


def test_one_piece_is_the_convex_hull(angle):
    (piece,) = convex_pieces(angle, max_pieces=1)
    assert as_trimesh(piece).volume == pytest.approx(as_trimesh(angle).convex_hull.volume, rel=0.02)


def test_a_hanging_coacd_is_given_up_for_the_hull(angle, monkeypatch, caplog):
    monkeypatch.setattr(decomposition, "_CHILD", "import time; time.sleep(60)")
    (piece,) = convex_pieces(angle, max_pieces=4, limit_s=0.05)
    assert as_trimesh(piece).is_convex
    assert "convex hull" in caplog.text


def test_merging_keeps_to_the_limit_and_joins_neighbours():
    cube = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=float)
    clouds = [cube + np.array([x, 0.0, 0.0]) for x in (0.0, 1.0, 10.0)]
    merged = decomposition._merged(clouds, 2)
    assert sorted(round(np.ptp(points[:, 0]), 3) for points in merged) == [1.0, 2.0]


def test_nonsense_is_refused(angle):
    with pytest.raises(BinposeError, match="max_pieces >= 1"):
        convex_pieces(angle, 0)
    with pytest.raises(BinposeError, match="got 0 faces"):
        convex_pieces(Mesh(angle.vertices, angle.faces[:0]))
