"""Markers are the parts' meshes where the parts are, and replace those before."""

from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import from_rotation_translation, random_rotation
from binpose_core.meshes.mesh_files import load_mesh
from binpose_core.parts.objects import ObjectModel
from binpose_ros.markers import ADD, DELETE_ALL, MESH_RESOURCE, TEXT_VIEW_FACING, MeshResources, to_markers
from binpose_ros.poses import to_matrix
from binpose_ros.stamps import Header, from_header


@pytest.fixture
def poses(rng: np.random.Generator) -> list[PoseEstimate]:
    return [PoseEstimate("block", from_rotation_translation(random_rotation(rng), rng.normal(size=3)), 0.9)] * 2


def test_each_part_has_a_mesh_and_a_name(
    poses: list[PoseEstimate], block: ObjectModel, header: Header, types: Any, tmp_path: Path
) -> None:
    meshes = MeshResources({"block": block}, tmp_path)
    array = types.sent(to_markers(poses, {"block": block}, meshes, {"block": (1.0, 0.5, 0.0)}, header, types))
    first, *others = array.markers
    assert first.action == DELETE_ALL
    assert [(m.type, m.action) for m in others] == [(MESH_RESOURCE, ADD), (TEXT_VIEW_FACING, ADD)] * 2
    assert len({(m.ns, m.id) for m in others}) == 4
    assert all(from_header(m) == header for m in array.markers)
    np.testing.assert_allclose(to_matrix(others[0].pose), poses[0].T_cam_obj, atol=1e-12)
    assert others[1].text == "block 0.90"
    mesh = load_mesh(Path(url2pathname(urlparse(others[0].mesh_resource).path)), "m")
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), [0.04, 0.02, 0.01], atol=1e-6)


def test_nothing_found_takes_the_markers_away(header: Header, types: Any) -> None:
    (marker,) = types.sent(to_markers([], {}, {}, {}, header, types)).markers
    assert marker.action == DELETE_ALL


def test_an_unknown_part_is_refused(poses: list[PoseEstimate], header: Header, types: Any) -> None:
    with pytest.raises(BinposeError, match="block"):
        to_markers(poses, {}, {}, {}, header, types)
