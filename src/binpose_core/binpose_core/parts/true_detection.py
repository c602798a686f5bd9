"""The detection of a part whose pose is known."""

import numpy as np
import numpy.typing as npt

from binpose_core.frames.camera import Camera
from binpose_core.frames.types import Detection
from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.objects import ObjectModel


def true_detection(
    part: ObjectModel, T_cam_obj: FloatArray, mask: npt.NDArray[np.bool_], camera: Camera, score: float = 1.0
) -> Detection:
    """The detection that a detector without errors makes of a part.

    Args:
        part: that is seen.
        T_cam_obj: (4, 4) its pose, metres.
        mask: (H, W) of its visible pixels, at least one.
        camera: of the frame.
        score: of the detection.

    Raises:
        BinposeError: for an empty mask.
    """
    center_cam = part.center_in(T_cam_obj)
    u, v = camera.project(center_cam).tolist()
    return Detection.from_mask(part.id, score, mask, (u, v), float(center_cam[2]))
