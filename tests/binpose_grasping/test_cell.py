import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import inverse, transform
from binpose_grasping.cell import BinConfig, CameraBodyConfig, CellConfig, Placement, bin_boxes, cell_boxes

PLACED = Placement(x_m=0.5, y_m=0.1, z_m=0.02, yaw_rad=0.7)


def inside(points: np.ndarray, T: np.ndarray, half: np.ndarray) -> np.ndarray:
    local = [transform(inverse(box), points) for box in T]
    return np.any([(np.abs(p) <= h + 1e-9).all(-1) for p, h in zip(local, half, strict=True)], axis=0)


def test_a_placement_is_that_of_urdf() -> None:
    T = Placement(roll_rad=0.3, pitch_rad=-0.2, yaw_rad=1.1, x_m=1.0).matrix
    c, s = np.cos, np.sin
    x = np.array([[1, 0, 0], [0, c(0.3), -s(0.3)], [0, s(0.3), c(0.3)]])
    y = np.array([[c(-0.2), 0, s(-0.2)], [0, 1, 0], [-s(-0.2), 0, c(-0.2)]])
    z = np.array([[c(1.1), -s(1.1), 0], [s(1.1), c(1.1), 0], [0, 0, 1]])
    np.testing.assert_allclose(T[:3, :3], z @ y @ x, atol=1e-12)
    np.testing.assert_allclose(T[:3, 3], [1, 0, 0])


def test_the_room_of_a_bin_is_free_and_its_walls_are_not(rng: np.random.Generator) -> None:
    config = BinConfig(size_x_m=0.4, size_y_m=0.3, depth_m=0.1, wall_m=0.01, placement=PLACED)
    T, half = bin_boxes(config)
    room = transform(PLACED.matrix, rng.uniform([-0.2, -0.15, 0.0], [0.2, 0.15, 0.3], (500, 3)) * 0.999)
    assert not inside(room, T, half).any()
    walls = np.array([[0.205, 0, 0.05], [-0.205, 0.1, 0.09], [0.1, 0.155, 0.01], [0, -0.155, 0.05], [0.1, 0.1, -0.005]])
    corner = np.array([[0.205, 0.155, 0.05], [-0.205, -0.155, -0.005]])
    assert inside(transform(PLACED.matrix, np.concatenate([walls, corner])), T, half).all()
    above = transform(PLACED.matrix, walls[:4] + np.array([0, 0, 0.15]))
    assert not inside(above, T, half).any()


def test_nothing_stands_there_by_default_and_a_camera_is_where_it_is() -> None:
    assert len(cell_boxes(CellConfig(), np.eye(4))) == 0
    cell = CellConfig(camera_body=CameraBodyConfig(0.1, 0.05, 0.04))
    boxes = cell_boxes(cell, PLACED.matrix)
    np.testing.assert_allclose(boxes.T_base_box[0], PLACED.matrix)
    np.testing.assert_allclose(boxes.half_m[0], [0.05, 0.025, 0.02])


def test_nonsense_is_refused() -> None:
    with pytest.raises(BinposeError, match=r"BinConfig.wall_m is 0; expected"):
        BinConfig(wall_m=0)
    with pytest.raises(BinposeError, match=r"Placement.x_m is 400; expected -10 to 10"):
        Placement(x_m=400)
