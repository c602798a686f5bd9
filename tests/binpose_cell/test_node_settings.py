"""What the parameters of the node describe."""

import numpy as np
import pytest

from binpose_cell.node_settings import CellNodeSettings
from binpose_core.base.errors import BinposeError, UnknownObject
from binpose_core.geometry.transforms import inverse
from binpose_ros.settings import specs, with_values


def test_new_parts_come_into_the_same_bin_before_the_same_camera(prepared):
    settings = CellNodeSettings(number=3, seed=640_100)
    parts = {"block": prepared}
    first = settings.cell(parts, 640_100)
    second = settings.cell(parts, 640_101, first)
    assert first.bin_spec == second.bin_spec and first.parts == second.parts == 3
    np.testing.assert_array_equal(first.T_world_cam, second.T_world_cam)
    assert np.abs(first.world.poses() - second.world.poses()).max() > 0.01


def test_the_camera_and_the_bin_are_given_in_the_base_frame(prepared):
    settings = with_values(CellNodeSettings(number=1), {"physics.bin.x_m": 0.7, "physics.bin.yaw_rad": 0.5})
    cell = settings.cell({"block": prepared}, 640_100)
    places = settings.frames(cell)
    assert set(places) == {"bin", "camera_color_optical_frame"}
    np.testing.assert_allclose(inverse(places["bin"]) @ places["camera_color_optical_frame"], cell.T_world_cam)
    assert places["bin"][0, 3] == 0.7


def test_values_that_cannot_be_used_are_refused(block):
    with pytest.raises(BinposeError, match="industrial"):
        CellNodeSettings(sensor="eyes")
    with pytest.raises(BinposeError, match="three different names"):
        CellNodeSettings(base_frame="bin")
    with pytest.raises(UnknownObject, match="rod"):
        CellNodeSettings(parts=("rod",)).prepared({"block": block})


def test_every_parameter_is_described():
    assert not [spec.name for spec in specs(CellNodeSettings()) if not spec.description]
    assert {"physics.arm.name", "physics.grip.force_n", "parts"} <= {spec.name for spec in specs(CellNodeSettings())}
