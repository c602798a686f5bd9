"""A filled bin, and what cannot be filled."""

import numpy as np
import pytest

from binpose_cell.filled_bin import FilledBin, fill_bin, moved_pile
from binpose_core.base.errors import BinposeError

from .conftest import SPEC, lying


def test_parts_rest_inside(prepared):
    filled = fill_bin(np.random.default_rng(3), {"block": prepared}, ["block"] * 3)
    low, high = filled.spec.inner_bounds(filled.spec.height_m)
    centers = filled.T_world_obj[:, :3, 3]
    assert len(filled.bodies) == len(filled.object_ids) > 0
    assert ((centers[:, :2] > low) & (centers[:, :2] < high)).all() and (centers[:, 2] > 0).all()


def test_a_drawn_bin_has_neither_rim_nor_low_front(prepared):
    spec = fill_bin(np.random.default_rng(3), {"block": prepared}, ["block"] * 3, size_m=None).spec
    assert spec.rim_m == 0.0 and spec.front_top_m == spec.height_m and spec.front_slope_rad == spec.taper_rad


def test_moved_parts_keep_the_bodies(prepared):
    filled = FilledBin(SPEC, (prepared,) * 2, np.stack([lying(-0.05), lying(0.05)]))
    moved = moved_pile(filled.pile, filled.T_world_obj[::-1])
    assert (moved.T_world_obj[:2] == filled.T_world_obj[::-1]).all()
    assert (moved.T_world_obj[2:] == filled.pile.T_world_obj[2:]).all() and moved.groups == filled.pile.groups


def test_no_part_and_no_room_are_refused(prepared):
    with pytest.raises(BinposeError, match="at least one"):
        fill_bin(np.random.default_rng(0), {"block": prepared}, [])
    with pytest.raises(BinposeError, match="too small"):
        fill_bin(np.random.default_rng(0), {"block": prepared}, ["block"], size_m=(0.03, 0.03, 0.03))
