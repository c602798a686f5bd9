"""What travels between the stages. All immutable, and each equal to itself alone: they hold arrays."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import FloatArray


@dataclass(frozen=True, eq=False)
class Detection:
    """One instance found in a frame.

    bbox_xyxy: pixels of the frame, half open: columns x0..x1-1, rows y0..y1-1.
    mask: (y1 - y0, x1 - x0) bool, cropped to the box: the visible part.
    center_px: (2,) estimated projection of the object's bounding-box centre.
    center_depth_m: estimated depth of that centre, NaN when the model had no depth to tell it from.
    alternatives: other classes worth trying, (object_id, score) best first.
    """

    object_id: str
    score: float
    bbox_xyxy: tuple[int, int, int, int]
    mask: npt.NDArray[np.bool_]
    center_px: tuple[float, float]
    center_depth_m: float = float("nan")
    alternatives: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.bbox_xyxy
        if self.mask.shape != (y1 - y0, x1 - x0):
            raise BinposeError(
                f"Detection mask of shape {self.mask.shape} with box {self.bbox_xyxy}; expected the mask cropped to "
                f"the box, {(y1 - y0, x1 - x0)}."
            )

    def full_mask(self, height: int, width: int) -> npt.NDArray[np.bool_]:
        """The mask (height, width) in the whole image."""
        full = np.zeros((height, width), dtype=bool)
        x0, y0, x1, y1 = self.bbox_xyxy
        full[y0:y1, x0:x1] = self.mask
        return full


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """One candidate pose of a detection and the network's confidence in it."""

    object_id: str
    T_cam_obj: FloatArray
    score: float


@dataclass(frozen=True, eq=False)
class Candidate:
    """A verified hypothesis with its evidence, for fitting a calibration.

    features: (F,) in the refiner's order. detection: index among the detections of the frame.
    """

    object_id: str
    T_cam_obj: FloatArray
    features: FloatArray
    detection: int


@dataclass(frozen=True, eq=False)
class PoseEstimate:
    """A part's pose.

    T_cam_obj: (4, 4) float64, metres.
    score: probability in [0, 1] that the pose is right, calibrated once a refiner has verified it.
    covariance: (6, 6) of (translation in m, rotation vector in rad) in the camera frame, or None.
    hypotheses: the candidates that were considered, best first.
    detection: the detection it came from.
    residuals: named measurements of the fit, for reports and calibration.
    """

    object_id: str
    T_cam_obj: FloatArray
    score: float
    detection: Detection | None = None
    covariance: FloatArray | None = None
    hypotheses: tuple[Hypothesis, ...] = ()
    residuals: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Grasp:
    """One way to take a part with a parallel gripper.

    T_cam_hand: (4, 4) float64, metres; the hand's frame is that of its tool centre point: y from finger to finger, z
        the way in which it approaches.
    width_m: opening of the fingers when they hold the part.
    score: in [0, 1], higher is better.
    T_cam_pregrasp: (4, 4), from where the hand comes in a straight line.
    T_cam_retreat: (4, 4), to where it goes with the part in a straight line.
    pose_index: of the part's pose among those that the planner was given.
    """

    object_id: str
    T_cam_hand: FloatArray
    width_m: float
    score: float
    T_cam_pregrasp: FloatArray
    T_cam_retreat: FloatArray
    pose_index: int


class LabelledView(Protocol):
    """A frame with known poses, as the simulation makes them and the trainers take them."""

    @property
    def frame(self) -> RgbdFrame:
        """The observation."""

    @property
    def object_ids(self) -> tuple[str, ...]:
        """(N) ids of the parts."""

    @property
    def T_cam_obj(self) -> FloatArray:
        """(N, 4, 4) float64 poses, metres."""

    @property
    def instance_ids(self) -> npt.NDArray[np.integer]:
        """(H, W) integer: index into the N parts, -1 = none."""

    @property
    def visible_fraction(self) -> FloatArray:
        """(N,) in [0, 1]."""

    @property
    def sensor(self) -> str:
        """Kind of the depth sensor; "" where it is not known."""
