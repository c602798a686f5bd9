"""What is particular to the GPU backend, on the CPU without a GPU; test_render_backends.py compares what it draws."""

import numpy as np
import pytest
import trimesh

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import from_rotation_translation, random_rotation
from binpose_core.meshes.mesh import Mesh
from binpose_core.rendering.backends import checked_images
from binpose_core.rendering.packed_meshes import PackedMeshes
from binpose_core.rendering.renderer import Renderer

warp = pytest.importorskip("warp", reason="Warp is not installed; `pip install 'binpose[gpu]'` brings it")

from binpose_core.rendering.warp_raycaster import WarpBackend

CAMERA = Camera(80.0, 80.0, 31.5, 23.5, 64, 48)


@pytest.fixture(scope="module")
def torus() -> Mesh:
    part = trimesh.creation.torus(0.04, 0.012, major_sections=40, minor_sections=20)
    return Mesh(np.asarray(part.vertices, np.float32), np.asarray(part.faces, np.int32))


def test_every_device_draws_the_same(torus: Mesh) -> None:
    meshes, rng = PackedMeshes([torus]), np.random.default_rng(0)
    T_cam_obj = from_rotation_translation(random_rotation(rng, (4,)), np.tile([0.0, 0.0, 0.2], (4, 1)))
    images = checked_images(meshes, np.zeros(4, int), T_cam_obj, np.array([0, 4]), CAMERA.intrinsics, (48, 64), 0.01)
    drawn = [WarpBackend(meshes, str(device)).draw(images) for device in warp.get_devices()]
    for other in drawn[1:]:
        assert (other.face_ids == drawn[0].face_ids).mean() > 0.999
        assert np.quantile(np.abs(other.depth_m - drawn[0].depth_m), 0.99) < 1e-6
    assert drawn[0].face_ids.max() > 0


def test_depths_are_exact_where_the_search_is_not(torus: Mesh) -> None:
    """Ten metres away a float32 search is off by micrometres; the depth is as good as its own number type."""
    far = Camera(3000.0, 3000.0, 31.5, 23.5, 64, 48)
    T_cam_obj = from_rotation_translation(random_rotation(np.random.default_rng(1)), np.array([0.0, 0.0, 10.0]))[None]
    drawn, expected = (
        Renderer([torus], name).scene(np.zeros(1, int), T_cam_obj, far) for name in ("warp", "reference")
    )
    both = drawn.mask & expected.mask & (drawn.face_ids == expected.face_ids)
    assert both.sum() > 100
    assert np.abs(drawn.depth_m - expected.depth_m)[both].max() <= np.spacing(np.float32(10.1))


def test_a_device_by_name_and_one_that_is_not_there(torus: Mesh, capfd: pytest.CaptureFixture[str]) -> None:
    """And no report of Warp's own amid a command's output."""
    T_cam_obj = from_rotation_translation(np.eye(3), np.array([0.0, 0.0, 0.3]))[None]
    assert Renderer([torus], "warp:cpu").scene(np.zeros(1, int), T_cam_obj, CAMERA).mask.any()
    with pytest.raises(BinposeError, match=r"Warp cannot draw on 'cuda:77'.*; expected cpu or a GPU"):
        Renderer([torus], "warp:cuda:77")
    assert not capfd.readouterr().out
