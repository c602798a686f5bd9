"""A block in a tray, and hands that can and cannot hold it."""

from collections.abc import Callable

import numpy as np
import pytest
import trimesh

from binpose_cell.config import GripConfig
from binpose_cell.filled_bin import FilledBin
from binpose_cell.pick_world import PickWorld
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.objects import ObjectModel, make_object
from binpose_simulation.bins import BinSpec
from binpose_simulation.content_config import ContentConfig
from binpose_simulation.prepared_parts import PreparedPart, prepare_parts

BLOCK_M = (0.05, 0.03, 0.03)
SPEC = BinSpec(0.3, 0.24, 0.04, wall_m=0.003, taper_rad=0.05, front_slope_rad=0.05, rim_m=0.0)


@pytest.fixture(scope="session")
def block() -> ObjectModel:
    solid = trimesh.creation.box(BLOCK_M)
    return make_object(Mesh(solid.vertices.astype(np.float32), solid.faces.astype(np.int32)), "block")


@pytest.fixture(scope="session")
def prepared(block: ObjectModel) -> PreparedPart:
    return prepare_parts({"block": block}, ContentConfig(max_pieces=1))["block"]


def lying(x_m: float = 0.0, y_m: float = 0.0) -> np.ndarray:
    """T_world_obj (4, 4) of a block on the floor."""
    T = np.eye(4)
    T[:3, 3] = x_m, y_m, BLOCK_M[2] / 2
    return T


def hand_at(x_m: float = 0.0, y_m: float = 0.0, z_m: float = 0.018) -> np.ndarray:
    """T_world_hand (4, 4) of a hand from above, whose fingers close along y."""
    T = np.diag([1.0, -1.0, -1.0, 1.0])
    T[:3, 3] = x_m, y_m, z_m
    return T


@pytest.fixture
def world(prepared: PreparedPart) -> Callable[..., PickWorld]:
    """Makes the world of blocks at some poses."""

    def make(*T_world_obj: np.ndarray, **settings: float) -> PickWorld:
        filled = FilledBin(SPEC, (prepared,) * len(T_world_obj), np.stack(T_world_obj))
        return PickWorld(filled.bodies, SPEC, filled.T_world_obj, config=GripConfig(**settings))

    return make
