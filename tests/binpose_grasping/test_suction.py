import numpy as np
import pytest
import trimesh

from binpose_core.parts.grasps import SUCTION
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.search_config import PoseErrorConfig, SuctionConfig
from binpose_grasping.suction import holding_quality, seal_quality, suction_grasps

from .conftest import box_part, make_part

CUP, ERRORS = SuctionConfig(), PoseErrorConfig(samples=4)
DOWN = np.diag([1.0, -1.0, -1.0, 1.0])


def corners_of(part: ObjectModel) -> np.ndarray:
    return part.mesh.vertices.astype(np.float64)[part.mesh.faces]


def on_top(x_m: float, z_m: float = 0.01) -> np.ndarray:
    T = DOWN.copy()
    T[0, 3], T[2, 3] = x_m, z_m
    return T[None]


@pytest.fixture(scope="module")
def plate() -> ObjectModel:
    return box_part("plate", 0.06, 0.06, 0.02)


def test_a_flat_face_seals_and_an_edge_does_not(plate: ObjectModel) -> None:
    corners = corners_of(plate)
    assert seal_quality(corners, on_top(0.0), CUP)[0] == pytest.approx(1)
    assert seal_quality(corners, on_top(0.021), CUP)[0] == pytest.approx(1)
    assert seal_quality(corners, on_top(0.025), CUP)[0] == 0  # a part of the rim is beside the plate
    assert seal_quality(corners, on_top(0.2), CUP)[0] == 0


def test_the_flatter_the_ball_the_better_the_seal() -> None:
    values = []
    for radius_m in (0.02, 0.05, 0.2):
        ball = make_part(trimesh.creation.icosphere(5, radius_m), "ball")
        values.append(seal_quality(corners_of(ball), on_top(0.0, radius_m), CUP)[0])
    assert (values[0] == 0 and values[0] < values[1] < values[2] < 1) or values[1] == 0 < values[2]


def test_the_nearer_to_the_centre_of_mass_and_the_lighter_the_better(plate: ObjectModel) -> None:
    places = np.array([[x, 0.0, 0.01] for x in (0.0, 0.005, 0.01)])
    inward = np.tile([0.0, 0.0, -1.0], (3, 1))
    light, heavy = (
        holding_quality(plate, places, inward, SuctionConfig(density_kg_m3=density)) for density in (1000.0, 8000.0)
    )
    assert (np.diff(light) < 0).all() and (light > heavy).all()


def test_grasps_press_on_flat_faces_from_outside(plate: ObjectModel) -> None:
    grasps = suction_grasps(plate, SuctionConfig(density_kg_m3=1000.0), ERRORS, 300)
    assert len(grasps) > 5 and (grasps.tool == SUCTION).all()
    assert (np.diff(grasps.quality) <= 0).all()
    outward = (grasps.T_obj_hand[:, :3, 3] - plate.center_m) * -grasps.T_obj_hand[:, :3, 2]
    assert (outward.sum(-1) > 0).all()


def test_a_pin_has_no_place_for_the_cup_and_a_disabled_cup_none() -> None:
    assert len(suction_grasps(box_part("pin", 0.006, 0.006, 0.03), CUP, ERRORS, 200)) == 0
    assert len(suction_grasps(box_part("p", 0.06, 0.06, 0.02), SuctionConfig(enabled=False), ERRORS, 200)) == 0
