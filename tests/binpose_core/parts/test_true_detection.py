import numpy as np
import pytest

from binpose_core.frames.camera import Camera
from binpose_core.parts.true_detection import true_detection

CAMERA = Camera(300.0, 300.0, 79.5, 59.5, 160, 120)


def test_the_centre_is_that_of_the_part_in_space(objects, rng: np.random.Generator) -> None:
    part = objects[0]
    T_cam_obj = np.eye(4)
    T_cam_obj[:3, 3] = (0.02, -0.01, 0.5)
    mask = np.zeros((120, 160), bool)
    mask[50:60, 70:90] = True
    found = true_detection(part, T_cam_obj, mask, CAMERA, 0.8)
    center = part.center_m + T_cam_obj[:3, 3]
    np.testing.assert_allclose(found.center_px, CAMERA.project(center))
    assert found.center_depth_m == pytest.approx(center[2])
    assert (found.object_id, found.score, found.bbox_xyxy) == (part.id, 0.8, (70, 50, 90, 60))
