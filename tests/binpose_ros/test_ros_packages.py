"""ROS' own packages give what the nodes have without them; they are skipped where they are not installed."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from binpose_ros import ros_packages


@pytest.fixture(params=["installed", "missing"])
def rotations(request: Any, monkeypatch: Any) -> None:
    """With tf_transformations, and without."""
    if request.param == "missing":
        monkeypatch.setattr(ros_packages, "tf_transformations", lambda: None)
    elif ros_packages.tf_transformations() is None:
        pytest.skip("tf_transformations is not installed")


@pytest.mark.usefixtures("rotations")
def test_a_quaternion_of_any_length_is_a_rotation(rng: np.random.Generator) -> None:
    for quaternion in rng.normal(size=(20, 4)) * rng.uniform(0.1, 10.0, (20, 1)):
        rotation = ros_packages.rotation_from_quaternion(tuple(quaternion))
        np.testing.assert_allclose(rotation, Rotation.from_quat(quaternion).as_matrix(), atol=1e-9)


@pytest.mark.usefixtures("rotations")
@pytest.mark.parametrize("quaternion", [(0.0, 0.0, 0.0, 0.0), (np.nan, 0.0, 0.0, 1.0), (np.inf, 0.0, 0.0, 1.0)])
def test_what_is_no_quaternion_is_no_rotation(quaternion: tuple[float, float, float, float]) -> None:
    assert not np.isfinite(ros_packages.rotation_from_quaternion(quaternion)).all()


@pytest.mark.usefixtures("rotations")
def test_a_rotation_between_two_turns_about_one_axis(rng: np.random.Generator) -> None:
    for _ in range(10):
        before, turn = Rotation.random(random_state=rng), rng.normal(size=3)
        turn *= rng.uniform(0.1, 3.0) / np.linalg.norm(turn)
        after = before * Rotation.from_rotvec(turn)
        for fraction in (0.0, 0.3, 1.0):
            expected = (before * Rotation.from_rotvec(fraction * turn)).as_matrix()
            found = ros_packages.interpolate_rotation(before.as_matrix(), after.as_matrix(), fraction)
            np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("numpy", "module", "is_used"),
    [
        ("1.26.4", b"numpy.core._multiarray_umath", True),
        ("2.1.0", b"numpy.core._multiarray_umath", False),
        ("2.1.0", b"numpy._core._multiarray_umath", True),
    ],
)
def test_a_cv_bridge_that_was_compiled_for_numpy_1_is_not_imported_beside_numpy_2(
    tmp_path: Path, monkeypatch: Any, numpy: str, module: bytes, is_used: bool
) -> None:
    """It would end the process."""
    (tmp_path / "cv_bridge/boost").mkdir(parents=True)
    (tmp_path / "cv_bridge/__init__.py").write_text("class CvBridge: ...\n")
    (tmp_path / "cv_bridge/boost/cv_bridge_boost.so").write_bytes(b"ELF" + module)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cv_bridge", raising=False)
    monkeypatch.setattr(ros_packages.np, "__version__", numpy)
    assert (ros_packages.cv_bridge.__wrapped__() is not None) == is_used
    monkeypatch.delitem(sys.modules, "cv_bridge", raising=False)


def test_a_package_that_does_not_fit_numpy_is_not_used(monkeypatch: Any) -> None:
    def failing(name: str) -> Any:
        raise AttributeError("module 'numpy' has no attribute 'maximum_sctype'")

    monkeypatch.setattr(ros_packages.importlib.util, "find_spec", lambda name: SimpleNamespace())
    monkeypatch.setattr(ros_packages.importlib, "import_module", failing)
    assert ros_packages.tf_transformations.__wrapped__() is None
