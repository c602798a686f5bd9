"""What travels between the stages. All immutable, and each equal to itself alone: they hold arrays."""

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.frames.masks import box_xyxy
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import FloatArray, exp_so3, from_rotation_translation


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

    @classmethod
    def from_mask(
        cls,
        object_id: str,
        score: float,
        mask: npt.NDArray[np.bool_],
        center_px: tuple[float, float] | None = None,
        center_depth_m: float = float("nan"),
    ) -> "Detection":
        """The detection of a mask in the whole image (H, W), cropped to the mask's box.

        Args:
            object_id: of the part.
            score: of the detection.
            mask: (H, W), with at least one pixel.
            center_px: as the attribute; the mean of the mask's pixels when None.
            center_depth_m: as the attribute.

        Raises:
            BinposeError: for an empty mask.
        """
        x0, y0, x1, y1 = box = box_xyxy(mask)
        if x0 == x1:
            raise BinposeError(f"The mask of a detection of {object_id!r} is empty; expected at least one pixel.")
        cropped = mask[y0:y1, x0:x1]
        if center_px is None:
            rows, columns = np.nonzero(cropped)
            center_px = float(columns.mean()) + x0, float(rows.mean()) + y0
        return cls(object_id, score, box, cropped, center_px, center_depth_m)

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

    features: (F,) in the refiner's order. detection_index: place of its detection among those given to the refiner.
    """

    object_id: str
    T_cam_obj: FloatArray
    features: FloatArray
    detection_index: int


@dataclass(frozen=True, eq=False)
class PoseEstimate:
    """A part's pose.

    T_cam_obj: (4, 4) float64, metres.
    score: probability in [0, 1] that the pose is right, calibrated once a refiner has verified it.
    covariance: (6, 6) of (translation in m, rotation vector in rad) in the camera frame, or None.
    hypotheses: the candidates that were considered, best first.
    detection_index: place of its detection among those of the frame that the stage was given, or None.
    residuals: named measurements of the fit, for reports and calibration.
    """

    object_id: str
    T_cam_obj: FloatArray
    score: float
    detection_index: int | None = None
    covariance: FloatArray | None = None
    hypotheses: tuple[Hypothesis, ...] = ()
    residuals: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Grasp:
    """One way to take a part.

    T_cam_hand: (4, 4) float64, metres; the hand's frame is that of its tool centre point: y from finger to finger, z
        the way in which it approaches.
    width_m: opening of the fingers when they hold the part.
    score: in [0, 1], estimated probability that the pick succeeds.
    T_cam_pregrasp: (4, 4), from where the hand comes in a straight line.
    T_cam_retreat: (4, 4), to where it goes with the part in a straight line.
    pose_index: of the part's pose among those that the planner was given.
    tool: "parallel" or "suction".
    joints: (W, J) float64 joint angles of the arm along the path from pregrasp over grasp to retreat, or None.
    grasp_waypoint: row of `joints` at which the fingers close.
    factors: named factors of the score, for reports.
    pose: of the part, for which the grasp was planned; None where it is not known.
    """

    object_id: str
    T_cam_hand: FloatArray
    width_m: float
    score: float
    T_cam_pregrasp: FloatArray
    T_cam_retreat: FloatArray
    pose_index: int
    tool: str = "parallel"
    joints: FloatArray | None = None
    grasp_waypoint: int = 0
    factors: dict[str, float] = field(default_factory=dict)
    pose: Hypothesis | None = None

    def turned(self, angle_rad: float) -> "Grasp":
        """The same grasp with the hand turned about its approach."""
        if angle_rad == 0:
            return self
        turn = from_rotation_translation(exp_so3(np.array([0.0, 0.0, angle_rad])), np.zeros(3))
        places = (self.T_cam_hand, self.T_cam_pregrasp, self.T_cam_retreat)
        hand, pregrasp, retreat = (T @ turn for T in places)
        return replace(self, T_cam_hand=hand, T_cam_pregrasp=pregrasp, T_cam_retreat=retreat)

    def moved(self, T_new_cam: FloatArray) -> "Grasp":
        """The same grasp with all poses in another frame than the camera's; T_new_cam (4, 4)."""
        places = (self.T_cam_hand, self.T_cam_pregrasp, self.T_cam_retreat)
        hand, pregrasp, retreat = (T_new_cam @ T for T in places)
        pose = self.pose and replace(self.pose, T_cam_obj=T_new_cam @ self.pose.T_cam_obj)
        return replace(self, T_cam_hand=hand, T_cam_pregrasp=pregrasp, T_cam_retreat=retreat, pose=pose)


@dataclass(frozen=True, eq=False)
class Drag:
    """A motion that may free a part: the closed hand presses on it from above and pulls it in a straight line.

    object_id: its type. pose_index: of its pose among those that were given.
    T_cam_hand: (4, 4) float64, metres, of the closed hand where its finger tips touch the part.
    direction: (3,) unit vector in the camera frame. length_m: of the way.
    """

    object_id: str
    pose_index: int
    T_cam_hand: FloatArray
    direction: FloatArray
    length_m: float

    def moved(self, T_new_cam: FloatArray) -> "Drag":
        """The same drag in another frame than the camera's; T_new_cam (4, 4)."""
        return replace(self, T_cam_hand=T_new_cam @ self.T_cam_hand, direction=T_new_cam[:3, :3] @ self.direction)


BACKGROUND, UNKNOWN = -1, -2
"""Pixels of `LabelledView.instance_ids` that show no part, and those of which it is not known what they show."""
UNKNOWN_OBJECT = ""
"""The object id of an instance of which the class is not known."""


@dataclass(frozen=True, eq=False)
class LabelledView:
    """A frame and what is known about its parts.

    Labels may be partial. `UNKNOWN` pixels may show anything: no loss and no negative example is taken from them.

    frame: the observation.
    object_ids: (N) ids of the parts; `UNKNOWN_OBJECT` where the class is not known.
    T_cam_obj: (N, 4, 4) float64 poses, metres; all NaN where the pose is not known.
    instance_ids: (H, W) integer: index into the N parts, `BACKGROUND` or `UNKNOWN`.
    visible_fraction: (N,) in [0, 1].
    sensor: kind of the depth sensor; "" where it is not known.
    weight: (N,) in [0, 1], how much each part counts in losses; 0 is the same as an unknown class. None: all 1.

    Raises:
        BinposeError: for labels that contradict each other.
    """

    frame: RgbdFrame
    object_ids: tuple[str, ...]
    T_cam_obj: FloatArray
    instance_ids: npt.NDArray[np.integer]
    visible_fraction: FloatArray
    sensor: str = ""
    weight: FloatArray | None = None

    def __post_init__(self) -> None:
        check_labels(self)

    @property
    def known_weight(self) -> FloatArray:
        """(N,) how much each part counts: 0 where its class is not known."""
        weight = np.ones(len(self.object_ids)) if self.weight is None else np.asarray(self.weight, np.float64)
        return np.where(np.array(self.object_ids, object) == UNKNOWN_OBJECT, 0.0, weight)

    @property
    def pose_known(self) -> npt.NDArray[np.bool_]:
        """(N,) whether class and pose of each part are known."""
        return (self.known_weight > 0) & np.isfinite(self.T_cam_obj).all((1, 2))

    @property
    def known_ids(self) -> npt.NDArray[np.integer]:
        """(H, W) the instance ids with `UNKNOWN` in place of parts of which the class is not known."""
        ids, unknown = self.instance_ids, np.flatnonzero(self.known_weight == 0)
        if len(unknown) == 0:
            return ids
        return np.where(np.isin(ids, unknown), np.array(UNKNOWN, ids.dtype), ids)


def check_labels(view: LabelledView) -> None:
    """Refuse labels that contradict each other.

    Raises:
        BinposeError: one sentence for the first fault.
    """
    count, shape = len(view.object_ids), (view.frame.camera.height, view.frame.camera.width)
    ids, poses = np.asarray(view.instance_ids), np.asarray(view.T_cam_obj)
    if poses.shape != (count, 4, 4) or np.shape(view.visible_fraction) != (count,):
        raise BinposeError(
            f"LabelledView of {count} parts with poses {poses.shape} and visible fractions "
            f"{np.shape(view.visible_fraction)}; expected {(count, 4, 4)} and {(count,)}."
        )
    if ids.shape != shape or not np.issubdtype(ids.dtype, np.integer):
        raise BinposeError(f"LabelledView with instance_ids {ids.dtype} {ids.shape}; expected integers {shape}.")
    if ids.size and not (ids.min() >= UNKNOWN and ids.max() < count):
        raise BinposeError(
            f"LabelledView of {count} parts with instance_ids from {ids.min()} to {ids.max()}; expected indices below "
            f"{count}, {BACKGROUND} for background or {UNKNOWN} for unknown pixels."
        )
    finite = np.asarray(np.isfinite(poses).all((1, 2)))
    absent = np.asarray(np.isnan(poses).all((1, 2)))
    if not (finite | absent).all():
        raise BinposeError(
            f"LabelledView with a pose that is partly not finite (part {int(np.argmin(finite | absent))}); expected a "
            "finite pose, or NaN throughout where it is not known."
        )
    weight = np.ones(count) if view.weight is None else np.asarray(view.weight)
    if weight.shape != (count,) or not ((weight >= 0) & (weight <= 1)).all():
        raise BinposeError(
            f"LabelledView of {count} parts with weights {weight.tolist()}; expected one in [0, 1] for each part."
        )
    for number, name in enumerate(view.object_ids):
        if name == UNKNOWN_OBJECT and finite[number]:
            raise BinposeError(
                f"LabelledView with the pose of a part of unknown class (part {number}); expected NaN: a pose belongs "
                "to a CAD model."
            )
