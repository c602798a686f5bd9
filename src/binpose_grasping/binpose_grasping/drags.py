"""Drags: closed fingers press on a part from above and pull it to where it can be gripped.

A part at a wall, or between others, may have no free grasp. Friction moves it: the pads hold better than the floor.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from binpose_core.base.settings import check_bounds, setting
from binpose_core.frames.types import Drag, PoseEstimate
from binpose_core.geometry.transforms import FloatArray, from_rotation_translation, inverse, transform
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.antipodal import center_of_mass
from binpose_grasping.cell import BinConfig
from binpose_grasping.gripper import GripperConfig

FRACTION = (0.0, 1.0)
POINTS, HEADINGS = 1024, 16
"""Surface points of a part, and number of directions that are compared."""
UP = np.array([0.0, 0.0, 1.0])
LEAST_AWAY, TOWARDS = 0.05, 0.3
"""Least weight of walls and other parts, and least cosine between the way and the direction away from them."""


@dataclass(frozen=True)
class DragConfig:
    """When parts are dragged, and where to.

    below: drags are planned where no grasp is as probable to succeed as this.
    length_m: longest way of a drag in metres.
    least_m: shortest way in metres that is worth the time.
    lever: largest horizontal distance of the fingers from the centre of mass, relative to the diameter: a part that
        is pressed far from it turns instead.
    slope_rad: largest slope of the surface below the fingers.
    wall_m: walls and other parts within this distance in metres are what a part is dragged away from.
    margin_m: distance in metres of the fingers from walls, and by which other parts must be lower.
    observed_m: what the depth image shows may be higher than the part by this much in metres, for its noise.
    """

    below: float = setting(0.5, bounds=FRACTION)
    length_m: float = setting(0.05, bounds=(0.001, 1.0))
    least_m: float = setting(0.012, bounds=(0.0, 1.0))
    lever: float = setting(0.3, bounds=(0.0, 1.0))
    slope_rad: float = setting(0.7, bounds=(0.0, 1.57))
    wall_m: float = setting(0.03, bounds=(0.001, 1.0))
    margin_m: float = setting(0.002, bounds=(0.0, 0.1))
    observed_m: float = setting(0.005, bounds=(0.0, 0.1))

    def __post_init__(self) -> None:
        check_bounds(self)


def find_drags(
    poses: Sequence[PoseEstimate],
    objects: Mapping[str, ObjectModel],
    bin_config: BinConfig,
    T_base_cam: FloatArray,
    gripper: GripperConfig,
    observed: FloatArray,
    config: DragConfig | None = None,
) -> list[Drag]:
    """One drag for each part that the fingers can press on and that has room to move, by descending probability.

    Args:
        poses: of the parts in the bin, in the camera frame.
        objects: the parts by id.
        bin_config: the bin; without a size there are no drags.
        T_base_cam: (4, 4) of the camera in the frame of the arm's base.
        gripper: the hand.
        observed: (M, 3) points of the depth image in the camera frame.
        config: where parts are dragged to.
    """
    if not (bin_config.size_x_m and bin_config.size_y_m):
        return []
    scene = _Scene(poses, objects, bin_config, inverse(bin_config.placement.matrix) @ T_base_cam, observed)
    order = sorted(range(len(poses)), key=lambda index: -poses[index].score)
    found = (_drag(scene, index, gripper, config or DragConfig()) for index in order)
    return [drag for drag in found if drag is not None]


class _Scene:
    """The surface points of all parts in the frame of the bin."""

    def __init__(
        self,
        poses: Sequence[PoseEstimate],
        objects: Mapping[str, ObjectModel],
        bin_config: BinConfig,
        T_bin_cam: FloatArray,
        observed: FloatArray,
    ) -> None:
        self.T_bin_cam, self.poses = T_bin_cam, poses
        self.observed = transform(T_bin_cam, observed)
        self.half_m, self.rim_m = np.array([bin_config.size_x_m, bin_config.size_y_m]) / 2, bin_config.depth_m
        self.parts = [objects[pose.object_id] for pose in poses]
        T = [T_bin_cam @ pose.T_cam_obj for pose in poses]
        self.points = [transform(one, part.points[:POINTS]) for one, part in zip(T, self.parts, strict=True)]
        self.up = [part.normals[:POINTS] @ one[2, :3] for one, part in zip(T, self.parts, strict=True)]
        self.centers = [transform(one, center_of_mass(part)[None])[0] for one, part in zip(T, self.parts, strict=True)]

    def others(self, index: int) -> FloatArray:
        """(N, 3) points of all other parts."""
        return np.concatenate([np.zeros((0, 3)), *(p for n, p in enumerate(self.points) if n != index)])


def _drag(scene: _Scene, index: int, gripper: GripperConfig, config: DragConfig) -> Drag | None:
    """The drag of one part, or None: the fingers close along the first axis of the bin with which there is one."""
    for closing in np.eye(3)[:2]:
        hand = _Hand(gripper, closing)
        touch = _touch(scene, index, hand, config)
        if touch is None:
            continue
        heading, length_m = _way(scene, index, touch, hand, config)
        if length_m >= config.least_m:
            along, place = np.array([*heading, 0.0]), touch + gripper.pad_m * UP
            T_bin_hand = from_rotation_translation(np.stack([np.cross(closing, -UP), closing, -UP], -1), place)
            drag = Drag(scene.poses[index].object_id, index, T_bin_hand, along, length_m)
            return drag.moved(inverse(scene.T_bin_cam))
    return None


class _Hand:
    """The closed hand from above, whose fingers close along an axis (3,) of the bin."""

    def __init__(self, gripper: GripperConfig, closing: FloatArray) -> None:
        sides_m = (gripper.palm_span_m, gripper.palm_width_m)
        self.tips_m = max(gripper.finger_width_m / 2, gripper.finger_thickness_m)
        self.palm_m = np.where(closing[:2] > 0.5, *sides_m) / 2
        self.length_m = gripper.pad_m + gripper.finger_length_m

    def half_m(self, scene: _Scene, tips_z_m: float, margin_m: float) -> FloatArray:
        """(2,) half sides of what must stay between the walls: the tips, and the palm where it is below the rim."""
        low = tips_z_m + self.length_m < scene.rim_m + margin_m
        return np.maximum(self.tips_m, self.palm_m) if low else np.full(2, self.tips_m)


def _touch(scene: _Scene, index: int, hand: _Hand, config: DragConfig) -> FloatArray | None:
    """(3,) where the finger tips touch the part: near the centre of mass, higher than all else there."""
    own, center, margin_m = scene.points[index], scene.centers[index], config.margin_m
    wide_m = float(hand.palm_m.max()) + margin_m
    others, observed = (_near(points, own, wide_m) for points in (scene.others(index), scene.observed))
    places = own[scene.up[index] > np.cos(config.slope_rad)]
    away_m = np.linalg.norm(places[:, :2] - center[:2], axis=1)
    near = away_m <= config.lever * scene.parts[index].diameter_m
    for place in places[near][np.argsort(away_m[near], kind="stable")]:
        if (np.abs(place[:2]) > scene.half_m - hand.tips_m - margin_m).any():
            continue
        below = _highest(own, place, hand.tips_m)
        if (np.abs(place[:2]) > scene.half_m - hand.half_m(scene, below, margin_m) - margin_m).any():
            continue
        beside_m = _highest(others, place, hand.tips_m + margin_m) + margin_m
        seen_m = _highest(observed, place, hand.tips_m) - config.observed_m
        under_palm_m = _highest(np.concatenate([others, observed]), place, hand.palm_m + margin_m) + margin_m
        if max(beside_m, seen_m, under_palm_m - hand.length_m) < below:
            return np.array([place[0], place[1], below])
    return None


def _way(scene: _Scene, index: int, touch: FloatArray, hand: _Hand, config: DragConfig) -> tuple[FloatArray, float]:
    """Unit vector (2,) and length: away from walls and other parts, as far as there is room; 0 if none is near."""
    own, reach_m = scene.points[index][:, :2], config.wall_m
    low_m, high_m = (scene.half_m + own).min(axis=0), (scene.half_m - own).min(axis=0)
    away = np.clip(1 - low_m / reach_m, 0, 1) - np.clip(1 - high_m / reach_m, 0, 1)
    for number, center in enumerate(scene.centers):
        beside = _near(scene.points[number][:, :2], own, reach_m)
        if number != index and len(beside) and (gap_m := _gap(own, beside)) < reach_m:
            apart = scene.centers[index][:2] - center[:2]
            away = away + (1 - gap_m / reach_m) * apart / max(float(np.linalg.norm(apart)), 1e-9)
    if np.linalg.norm(away) < LEAST_AWAY:
        return np.zeros(2), 0.0
    away = away / np.linalg.norm(away)
    turn = 2 * np.pi * np.arange(HEADINGS) / HEADINGS
    headings = np.stack([np.cos(turn), np.sin(turn)], -1)
    headings = headings[headings @ away > TOWARDS]
    half_m = hand.half_m(scene, float(touch[2]), config.margin_m) + config.margin_m
    room_m = np.array([_room(scene.half_m, own, touch[:2], one, half_m) for one in headings])
    length_m = np.minimum(room_m, config.length_m)
    best = int((headings @ away * length_m).argmax())
    return headings[best], float(length_m[best])


def _room(bin_m: FloatArray, own: FloatArray, tips: FloatArray, heading: FloatArray, hand_m: FloatArray) -> float:
    """How far a part and the hand on it can move before one of them is at a wall; half sides (2,) of bin and hand."""
    room_m = np.inf
    for axis in (0, 1):
        if abs(heading[axis]) > 1e-9:
            sign = np.sign(heading[axis])
            gap_m = bin_m[axis] - max(float((sign * own[:, axis]).max()), float(sign * tips[axis] + hand_m[axis]))
            room_m = min(room_m, max(gap_m, 0.0) / abs(float(heading[axis])))
    return float(room_m)


def _near(points: FloatArray, own: FloatArray, reach_m: float) -> FloatArray:
    """Those of the points (N, 2 or 3) that are horizontally within reach of the box about a part's points."""
    low, high = own[:, :2].min(axis=0) - reach_m, own[:, :2].max(axis=0) + reach_m
    return points[((points[:, :2] >= low) & (points[:, :2] <= high)).all(axis=1)]


def _highest(points: FloatArray, place: FloatArray, half_m: float | FloatArray) -> float:
    """Height of the highest of the points (N, 3) in a rectangle about a place; its half sides in metres."""
    inside = (np.abs(points[:, :2] - place[:2]) <= half_m).all(axis=1)
    return float(points[inside, 2].max(initial=-np.inf))


def _gap(a: FloatArray, b: FloatArray) -> float:
    """Distance between two sets of points (N, 2) and (M, 2), of which every fourth counts."""
    return float(np.sqrt(((a[::4, None] - b[None, ::4]) ** 2).sum(-1).min()))
