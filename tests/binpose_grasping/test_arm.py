import sys

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_grasping.arm import ArmConfig, limits_with_margin, load_arm, smallest_singular


def test_no_arm_needs_no_library() -> None:
    assert load_arm(ArmConfig()) is None


def test_an_unknown_arm_names_the_known_ones() -> None:
    with pytest.raises(BinposeError, match="Unknown arm 'kuka'; expected one of none, fer, fr3, urdf; for any other"):
        ArmConfig(name="kuka")


def test_an_arm_by_urdf_needs_its_file_and_frames() -> None:
    with pytest.raises(BinposeError, match="expected all three; give the file and two of its frames"):
        ArmConfig(name="urdf", urdf="arm.urdf")
    with pytest.raises(BinposeError, match=r"No file nowhere.urdf; expected the URDF of the arm; check the path"):
        load_arm(ArmConfig(name="urdf", urdf="nowhere.urdf", base_frame="a", hand_frame="b"))


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "frankik", None)
    with pytest.raises(BinposeError, match=r"need the package frankik; install the extra: pip install 'binp"):
        load_arm(ArmConfig(name="fer"))


def test_margins_narrow_the_limits_but_never_close_them() -> None:
    lower, upper = limits_with_margin(np.array([-1.0, -0.1]), np.array([1.0, 0.1]), 0.2)
    np.testing.assert_allclose(lower, [-0.8, -0.05])
    np.testing.assert_allclose(upper, [0.8, 0.05])


def test_the_smallest_singular_value_is_that_of_the_decomposition(rng: np.random.Generator) -> None:
    J = rng.normal(size=(10, 6, 7))
    np.testing.assert_allclose(smallest_singular(J), np.linalg.svd(J, compute_uv=False)[:, -1], rtol=1e-6)
