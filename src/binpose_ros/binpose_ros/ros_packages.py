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
import subprocess
import sys
from functools import cache
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from binpose_core.geometry.transforms import FloatArray, rotation_from_quat_xyzw

PROBE = "import numpy; from cv_bridge import CvBridge; CvBridge().cv2_to_imgmsg(numpy.zeros((2, 2), 'u1'), 'mono8')"


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

    Jazzy's is compiled against numpy 1 and ends a process that has numpy 2: there it is tried in another process first.
    """
    if importlib.util.find_spec("cv_bridge") is None:
        return None
    if int(np.__version__.partition(".")[0]) >= 2:
        tried = subprocess.run([sys.executable, "-c", PROBE], capture_output=True)
        if tried.returncode:
            return None
    package = _imported("cv_bridge")
    return None if package is None else package.CvBridge()


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
