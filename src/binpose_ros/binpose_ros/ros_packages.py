"""ROS' own Python packages where they are installed: message_filters, cv_bridge and tf_transformations.

They come with a ROS distribution and not from the Python package index. Each is looked up once per process; where it is
missing or cannot be used, the nodes do the same with what they have without it.

- message_filters puts together what the stages exchange by exact stamps, see `exact_time`; without it
  `StampSynchronizer` does, which puts the camera's messages together in any case.
- cv_bridge makes the images that nodes publish; images that arrive are read by `images.to_pixels` in any case.
- tf_transformations converts and interpolates the rotations on /tf; without it SciPy does.
"""

import importlib
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from binpose_core.geometry.transforms import FloatArray, rotation_from_quat_xyzw

NUMPY_2 = b"numpy._core"


@cache
def message_filters() -> Any | None:
    """The package, or None."""
    return _imported("message_filters")


@cache
def tf_transformations() -> Any | None:
    """The package, or None."""
    return _imported("tf_transformations")


@cache
def cv_bridge() -> Any | None:
    """A `CvBridge`, or None.

    Jazzy's is compiled for numpy 1 and ends a process that has numpy 2: it is not imported there.
    """
    found = importlib.util.find_spec("cv_bridge")
    if found is None or not all(_fits_numpy(Path(folder)) for folder in found.submodule_search_locations or ()):
        return None
    package = _imported("cv_bridge")
    return None if package is None else package.CvBridge()


def _fits_numpy(package: Path) -> bool:
    """Whether the compiled modules of a package fit the installed numpy.

    Those compiled for numpy 2 import numpy._core, and work with numpy 1 too; those for numpy 1 know only numpy.core.
    Source: numpy/core/code_generators/generate_numpy_api.py, `_import_array`.
    """
    if int(np.__version__.partition(".")[0]) < 2:
        return True
    return all(NUMPY_2 in path.read_bytes() for path in package.rglob("*.so"))


def packages_in_use() -> str:
    """Their names; "none" where there are none."""
    found = {
        "message_filters": message_filters(),
        "cv_bridge": cv_bridge(),
        "tf_transformations": tf_transformations(),
    }
    return ", ".join(name for name, package in found.items() if package is not None) or "none"


def rotation_from_quaternion(quat_xyzw: tuple[float, float, float, float]) -> FloatArray:
    """The rotation (3, 3) of a quaternion of any length; NaN where it has none."""
    package = tf_transformations()
    norm = float(np.linalg.norm(quat_xyzw))
    if package is None or not np.isfinite(norm) or norm == 0:
        with np.errstate(invalid="ignore"):
            return rotation_from_quat_xyzw(np.array(quat_xyzw, np.float64))
    rotation: FloatArray = package.quaternion_matrix(np.array(quat_xyzw) / norm)[:3, :3]
    return rotation


def interpolate_rotation(R_before: FloatArray, R_after: FloatArray, fraction: float) -> FloatArray:
    """The rotation (3, 3) on the shortest way from one to another; fraction 0 is the first one, 1 the second one."""
    package = tf_transformations()
    if package is None:
        turns = Rotation.from_matrix(np.stack([R_before, R_after]))
        between: FloatArray = Slerp([0.0, 1.0], turns)(fraction).as_matrix()
        return between
    quaternions = [package.quaternion_from_matrix(_homogeneous(R)) for R in (R_before, R_after)]
    between = package.quaternion_matrix(package.quaternion_slerp(*quaternions, fraction))[:3, :3]
    return between


def _homogeneous(R: FloatArray) -> FloatArray:
    T: FloatArray = np.eye(4)
    T[:3, :3] = R
    return T


def _imported(name: str) -> Any | None:
    """A package; None where it is not installed, or does not fit numpy, as transforms3d before 0.4.2."""
    if importlib.util.find_spec(name) is None:
        return None
    try:
        return importlib.import_module(name)
    except (ImportError, AttributeError):
        return None
