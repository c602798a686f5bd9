import numpy as np
import pytest

from binpose_core.frames.camera import Camera
from binpose_simulation.path_traced.backend import use_variant
from binpose_simulation.path_traced.config import PathTracedConfig
from binpose_simulation.path_traced.traced_scene import TracedCell, material_of, sensor
from binpose_simulation.viewpoint import look_at


def test_rays_of_pixels_equal_those_of_the_camera():
    """Also with a principal point far from the centre, whose sign differs between conventions."""
    pytest.importorskip("mitsuba", reason="needs the extra: pip install 'binpose[path_traced]'")
    use_variant("scalar_rgb")
    camera = Camera(170.0, 170.0, 55.0, 75.0, 160, 120)
    T_world_cam = look_at(np.array([0.1, 0.2, 0.5]), np.zeros(3), 0.4)
    traced = sensor(camera, T_world_cam)
    for pixel in ((0, 0), (55, 75), (159, 119), (100, 20)):
        place = [(pixel[0] + 0.5) / camera.width, (pixel[1] + 0.5) / camera.height]
        ray, _ = traced.sample_ray(0.0, 0.5, place, [0.5, 0.5])
        in_camera = np.array([(pixel[0] - camera.cx) / camera.fx, (pixel[1] - camera.cy) / camera.fy, 1.0])
        expected = T_world_cam[:3, :3] @ in_camera / np.linalg.norm(in_camera)
        np.testing.assert_allclose(np.array(ray.d), expected, atol=1e-5)


def test_a_cell_gives_each_type_its_own_material_for_all_views():
    config = PathTracedConfig()
    first, again = (material_of("part:cog", TracedCell(3), config)[1] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (material_of("part:nut", TracedCell(3), config)[1] != first).any()
    assert (material_of("part:cog", TracedCell(4), config)[1] != first).any()
    assert material_of("bin:0", TracedCell(3), config)[0] == material_of("bin:1", TracedCell(3), config)[0]
