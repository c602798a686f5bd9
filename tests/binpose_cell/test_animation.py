"""The animated picture: the hand is where the physics has it, and the file holds all pictures."""

import cv2
import numpy as np
import pytest

from binpose_cell.animation import AnimationConfig, Moment, MotionRecorder, draw_moments, hand_poses, write_animation
from binpose_cell.filled_bin import FilledBin
from binpose_core.base.errors import BinposeError
from binpose_grasping.gripper import GripperConfig

from .conftest import SPEC, hand_at, lying

SMALL = AnimationConfig(width=96, height=72, frames_per_s=10.0)


def test_moments_are_evenly_spaced_and_removed_parts_stay_in_sight(world):
    recorder, one = MotionRecorder(SMALL), world(lying())
    one.put_hand(hand_at(z_m=0.2), 0.04)
    one._on_step = recorder
    one.move_hand(np.array([0.1, 0.0, 0.2]), 0.2)
    assert len(recorder.moments) == pytest.approx(one.time_s * SMALL.frames_per_s, abs=1)
    one.remove(0)
    one.move_hand(np.array([0.0, 0.0, 0.2]), 0.2)
    assert np.abs(recorder.moments[-1].T_world_obj[0] - lying()).max() < 1e-3


def test_the_fingers_are_as_far_apart_as_in_the_physics():
    poses = hand_poses(Moment(lying()[None], hand_at(), 0.03))
    assert np.linalg.norm(poses[0, :3, 3] - poses[1, :3, 3]) == pytest.approx(0.03)


def test_the_hand_is_drawn_and_the_file_holds_all_pictures(prepared, tmp_path):
    filled = FilledBin(SPEC, (prepared,), lying()[None])
    moments = [Moment(lying()[None], hand_at(z_m=z), 0.04) for z in (0.02, 0.1)]
    pictures = draw_moments(moments, filled, GripperConfig(), SMALL)
    assert (pictures[0] != pictures[1]).mean() > 0.01
    write_animation(tmp_path / "picks.webp", pictures, SMALL)
    ok, read = cv2.imreadanimation(str(tmp_path / "picks.webp"))
    assert ok and len(read.frames) == 2


def test_no_picture_is_refused(tmp_path):
    with pytest.raises(BinposeError, match="at least one"):
        write_animation(tmp_path / "picks.webp", [], SMALL)
