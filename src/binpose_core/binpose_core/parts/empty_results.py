"""Why a frame has no results: the most probable reason as a code, and a sentence with advice."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from binpose_core.base.reasons import Reason
from binpose_core.frames.camera import Camera
from binpose_core.frames.camera_parameters import principal_point_note
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.objects import ObjectModel

SMALLEST_PX, SMALL_PX = 32, 64  # across, in images of at least WIDTH_PX: smaller parts are never found, or seldom
WIDTH_PX = 640
LARGEST_FRACTION, LARGE_FRACTION = 1.0, 0.7  # of the image's smaller side: larger parts are never found, or seldom
FARTHEST_M, NEAREST_M = 2.0, 0.2  # usual distances of a camera from a bin
LITTLE_DEPTH = 0.3  # fraction of the pixels that have depth
EVERY_ROWS = 8  # a sample of the rows is enough to estimate the distance


@dataclass(frozen=True)
class EmptyReason:
    """code: a stable name; sentence: the reason for users, with advice."""

    code: Reason
    sentence: str


def why_empty(
    frame: RgbdFrame,
    detections: Sequence[Detection],
    poses: Sequence[PoseEstimate],
    objects: Mapping[str, ObjectModel],
    threshold: float,
) -> EmptyReason:
    """The most probable reason why no pose of a frame is reported.

    Args:
        frame: the images.
        detections: all detections.
        poses: all poses of the detections, with any score.
        objects: the parts that are reported, by id.
        threshold: least score of a reported pose.
    """
    wanted = [pose for pose in poses if pose.object_id in objects]
    reasons = (
        implausible_camera(frame, objects),
        _other_parts([p for p in poses if p.object_id not in objects and p.score >= threshold], wanted, objects),
        _little_depth(frame, detections),
        _below_threshold(frame, wanted, objects, threshold),
        _rejected(wanted),
        _no_pose(frame, detections, objects),
    )
    return next((reason for reason in reasons if reason is not None), None) or _no_parts(frame, objects)


def implausible_camera(frame: RgbdFrame, objects: Mapping[str, ObjectModel]) -> EmptyReason | None:
    """Why parts can hardly be found in a frame: their size in the image, or the principal point."""
    return _implausible_size(frame, objects) or _off_center(frame.camera)


def _implausible_size(frame: RgbdFrame, objects: Mapping[str, ObjectModel]) -> EmptyReason | None:
    """Parts that would be far too small or too large, even in the nearest or farthest tenth of the scene."""
    distances = _distances_m(frame)
    if distances is None or not objects:
        return None
    nearest, _, farthest = distances
    camera, largest_m = frame.camera, max(part.diameter_m for part in objects.values())
    focal = max(camera.fx, camera.fy)
    check = "check depth_scale (the unit of the depth), the focal length and the unit of the CAD files"
    if largest_m * focal / nearest < SMALLEST_PX * _relative_size(camera):
        return EmptyReason(
            Reason.PARTS_TOO_SMALL,
            f"{_sizes(frame, objects)}, too small to be found; {check}, or move the camera closer.",
        )
    if largest_m * focal / farthest > LARGEST_FRACTION * min(camera.width, camera.height):
        image = f"{camera.width}x{camera.height} pixels"
        return EmptyReason(
            Reason.PARTS_TOO_LARGE,
            f"{_sizes(frame, objects)}, too large for an image of {image}; {check}, or move the camera away.",
        )
    return None


def _off_center(camera: Camera) -> EmptyReason | None:
    note = principal_point_note(camera)
    return None if note is None else EmptyReason(Reason.PRINCIPAL_POINT, note)


def _other_parts(
    others: Sequence[PoseEstimate], wanted: Sequence[PoseEstimate], objects: Collection[str]
) -> EmptyReason | None:
    if not others or any(pose.score > 0 for pose in wanted):
        return None
    return EmptyReason(
        Reason.OTHER_PARTS,
        f"Only parts that are not to be reported were found ({_counted(p.object_id for p in others)}), and none of "
        f"{', '.join(objects)}; report all parts of the model to see them.",
    )


def _below_threshold(
    frame: RgbdFrame, poses: Sequence[PoseEstimate], objects: Mapping[str, ObjectModel], threshold: float
) -> EmptyReason | None:
    best = max(poses, key=lambda pose: pose.score, default=None)
    if best is None or best.score <= 0:
        return None
    agreement = best.residuals.get("depth_agreement")
    known = "" if agreement is None else f" ({agreement:.0%} of its visible surface agree with the depth)"
    others = f", of {len(poses)} poses," if len(poses) > 1 else ""
    return EmptyReason(
        Reason.BELOW_THRESHOLD,
        f"The best score{others} is {_below(best.score, threshold)} of {best.object_id}{known}, below the threshold of "
        f"{threshold:g}; lower the threshold to see it, or train the model for this camera and these parts"
        f"{_unit_advice(frame, objects)}.",
    )


def _little_depth(frame: RgbdFrame, detections: Sequence[Detection]) -> EmptyReason | None:
    """Missing depth on the detected parts, or without detections, in most of the image."""
    if frame.depth_m is None:
        return None
    seen = frame.depth_m > 0
    if detections:
        seen = seen[np.any([d.full_mask(*seen.shape) for d in detections], axis=0)]
    if not seen.size or seen.mean() >= LITTLE_DEPTH:
        return None
    where = f"the {len(detections)} detected parts'" if detections else "the depth image's"
    return EmptyReason(
        Reason.LITTLE_DEPTH,
        f"Only {seen.mean():.0%} of {where} pixels have depth; check the exposure, the distance and the alignment of "
        "the depth to the colour image, and look for shiny or dark surfaces.",
    )


def _rejected(poses: Sequence[PoseEstimate]) -> EmptyReason | None:
    if not poses:
        return None
    reasons = _counted(name.replace("_", " ") for p in poses for name, value in p.residuals.items() if value == 1.0)
    return EmptyReason(
        Reason.REJECTED,
        f"None of {len(poses)} poses could be verified ({reasons or 'without a reason'}); check that colour and depth "
        "show the same scene and that the model was trained for these parts.",
    )


def _no_pose(
    frame: RgbdFrame, detections: Sequence[Detection], objects: Mapping[str, ObjectModel]
) -> EmptyReason | None:
    if not detections:
        return None
    return EmptyReason(
        Reason.NO_POSE,
        f"{len(detections)} detections ({_counted(d.object_id for d in detections)}) and no pose of any; check that "
        f"the depth is aligned to the colour image{_unit_advice(frame, objects)}.",
    )


def _no_parts(frame: RgbdFrame, objects: Mapping[str, ObjectModel]) -> EmptyReason:
    where = "" if frame.depth_m is not None else " in the colour image, without depth"
    return EmptyReason(
        Reason.NO_PARTS,
        f"No part was detected{where}; check that parts of this model are in sight and that it was trained for this "
        f"kind of camera{_unit_advice(frame, objects)}.",
    )


def _unit_advice(frame: RgbdFrame, objects: Mapping[str, ObjectModel]) -> str:
    """End of a sentence if size or distance are unusual, as with a wrong unit; else empty."""
    distances = _distances_m(frame)
    if distances is None or not objects:
        return ""
    camera, middle = frame.camera, distances[1]
    largest_px = max(part.diameter_m for part in objects.values()) * max(camera.fx, camera.fy) / middle
    usual = SMALL_PX * _relative_size(camera) <= largest_px <= LARGE_FRACTION * min(camera.width, camera.height)
    if usual and NEAREST_M <= middle <= FARTHEST_M:
        return ""
    size = _sizes(frame, objects)
    return f", and check depth_scale (the unit of the depth), because {size[0].lower()}{size[1:]}"


def _below(score: float, threshold: float) -> str:
    """The score with enough digits to differ from the threshold."""
    return next((text for n in (2, 3, 4) if float(text := f"{score:.{n}f}") < threshold), f"{score:.6g}")


def _sizes(frame: RgbdFrame, objects: Mapping[str, ObjectModel]) -> str:
    """Part of a sentence on the size of the parts in the image; empty if it is unknown."""
    distances = _distances_m(frame)
    if distances is None or not objects:
        return ""
    focal = max(frame.camera.fx, frame.camera.fy)
    small, large = (pick(part.diameter_m for part in objects.values()) * focal / distances[1] for pick in (min, max))
    size = _px(large) if _px(small) == _px(large) else f"{_px(small)} to {_px(large)}"
    where = "given distance" if frame.depth_m is None else "median depth"
    return (
        f"The parts of this model would be {size} pixels across at the {where} of {distances[1]:.2f} m and a focal "
        f"length of {focal:.4g} pixels"
    )


def _relative_size(camera: Camera) -> float:
    """Size of the image relative to WIDTH_PX, at most 1: in a small image, parts may be small."""
    return min(1.0, max(camera.width, camera.height) / WIDTH_PX)


def _px(size: float) -> str:
    return f"{size:.0f}" if size >= 1 else f"{size:.1g}"


def _distances_m(frame: RgbdFrame) -> FloatArray | None:
    """(3,) the distance of the scene: the 10 %, 50 % and 90 % quantiles of the depth."""
    if frame.depth_m is None:
        return None if frame.distance_m is None else np.full(3, frame.distance_m)
    for depth_m in (frame.depth_m[::EVERY_ROWS], frame.depth_m):
        valid = depth_m[depth_m > 0]
        if valid.size:
            return np.percentile(valid, [10, 50, 90])
    return None


def _counted(names: Iterator[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in Counter(names).most_common())
