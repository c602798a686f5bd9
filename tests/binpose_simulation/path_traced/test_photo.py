import numpy as np

from binpose_core.frames.camera import Camera
from binpose_simulation.path_traced import photo


def test_a_point_lies_where_the_cameras_own_focal_length_puts_it():
    camera = Camera(100.0, 110.0, 31.0, 20.0, 64, 60)
    for row in (10, 20, 40):
        image = np.zeros((60, 64, 3), np.float32)
        image[row] = 1.0
        scaled = photo._scaled(image, camera, camera.fy / camera.fx)[:, 5, 0]
        middle = float((np.arange(60) * scaled).sum() / scaled.sum())
        assert abs(middle - (camera.cy + 1.1 * (row - camera.cy))) < 0.1


def test_an_image_of_square_pixels_stays_as_it_is():
    camera = Camera(100.0, 100.0, 31.0, 20.0, 64, 60)
    image = np.random.default_rng(0).random((60, 64, 3), np.float32)
    np.testing.assert_array_equal(photo._scaled(image, camera, camera.fy / camera.fx), image)
