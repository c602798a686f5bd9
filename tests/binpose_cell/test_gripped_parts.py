"""Between fingers, a sheet has its thickness."""

import numpy as np
import trimesh
from manifold3d import Manifold

from binpose_cell.gripped_parts import gripped_parts
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.objects import make_object

SHEET_M = 0.002


def bent_sheet() -> Mesh:
    """Two sheets of 60 x 40 mm at a right angle, 2 mm thick, with fine triangles."""
    floor, wall = trimesh.creation.box((0.06, 0.04, SHEET_M)), trimesh.creation.box((SHEET_M, 0.04, 0.06))
    wall.apply_translation((0.029, 0.0, 0.03 - SHEET_M / 2))
    solid = trimesh.boolean.union([floor, wall], engine="manifold").subdivide().subdivide()
    return Mesh(solid.vertices.astype(np.float32), solid.faces.astype(np.int32))


def test_pieces_of_a_sheet_are_not_thicker(monkeypatch, tmp_path):
    monkeypatch.setenv("BINPOSE_CACHE", str(tmp_path))
    part = make_object(bent_sheet(), "sheet")
    calls = []
    pieces = gripped_parts({"sheet": part}, lambda *seen: calls.append(seen))["sheet"].pieces
    assert calls == [(1, 1, "sheet")] and len(pieces) > 1
    hulls = [Manifold.hull_points(piece.vertices.astype(np.float64)) for piece in pieces]
    joined = sum(hulls[1:], hulls[0]).volume()
    exact = (0.06 + 0.06 - SHEET_M) * SHEET_M * 0.04
    assert abs(joined / exact - 1) < 0.1
