"""Detections <-> vision_msgs/Detection2DArray and the image of instances (16UC1, pixel = index + 1).

The id of a detection is "<first digits of the model's version>/<index>": what is made from it knows its model.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose_core.camera import Camera
from binpose_core.errors import BinposeError
from binpose_core.model_store import SHORT
from binpose_core.types import Detection
from binpose_ros.images import to_pixels
from binpose_ros.stamps import Header, to_header

NO_COVARIANCE = np.zeros(36)
NO_COVARIANCE.setflags(write=False)


def instance_id(version: str, index: int) -> str:
    """The id of a result."""
    return f"{version[:SHORT]}/{index}"


def split_id(identifier: str) -> tuple[str, int]:
    """The version's first digits and the index of a result.

    Raises:
        BinposeError: when it is no id of ours.
    """
    version, slash, index = identifier.rpartition("/")
    if not slash or not index.isdecimal():
        raise BinposeError(
            f"A detection with id {identifier!r}; expected <version>/<index> as binpose's nodes write them; connect "
            "the topic to one of them."
        )
    return version, int(index)


def from_detections(
    detections: Sequence[Detection], camera: Camera, header: Header, version: str, types: Any
) -> tuple[Any, npt.NDArray[np.uint16]]:
    """The Detection2DArray, and the instances (H, W) uint16: index + 1, 0 = none.

    Each result has one entry per class worth trying, the best first. The pose's position is the estimated centre of the
    part in the camera frame; without depth its z is NaN, and x and y are those of its ray at one metre. Where masks
    overlap, the better detection has the pixel.
    """
    labels = np.zeros((camera.height, camera.width), np.uint16)
    for index, detection in reversed(list(enumerate(detections))):
        x0, y0, x1, y1 = detection.bbox_xyxy
        labels[y0:y1, x0:x1][detection.mask] = index + 1
    stamp = to_header(header, types)
    entries = [
        types.Detection2D(
            header=stamp,
            results=[
                types.ObjectHypothesisWithPose(
                    hypothesis=types.ObjectHypothesis(class_id=object_id, score=float(score)),
                    pose=_position(detection, camera, types),
                )
                for object_id, score in ((detection.object_id, detection.score), *detection.alternatives)
            ],
            bbox=_box(detection, types),
            id=instance_id(version, index),
        )
        for index, detection in enumerate(detections)
    ]
    return types.Detection2DArray(header=stamp, detections=entries), labels


def to_detections(message: Any, mask: Any, camera: Camera) -> tuple[list[Detection], str]:
    """The detections of a Detection2DArray with its image of instances, and their model's version (first digits).

    Raises:
        BinposeError: when the two do not belong together, or the detections are of several models.
    """
    labels = to_pixels(mask)
    if labels.shape != (camera.height, camera.width) or labels.dtype != np.uint16:
        raise BinposeError(
            f"An instance mask of shape {labels.shape} in {mask.encoding}; expected 16UC1 of "
            f"{camera.width}x{camera.height} pixels; connect the mask of the node that sends the detections."
        )
    names = [split_id(entry.id) for entry in message.detections]
    if len({version for version, _ in names}) > 1 or [index for _, index in names] != list(range(len(names))):
        raise BinposeError(
            f"Detections with ids {', '.join(entry.id for entry in message.detections)}; expected indices from 0 of "
            "one model; connect the topic of one detection node."
        )
    found = [_detection(entry, labels, index, camera) for index, entry in enumerate(message.detections)]
    return found, names[0][0] if names else ""


def _position(detection: Detection, camera: Camera, types: Any) -> Any:
    u, v = detection.center_px
    z = detection.center_depth_m
    reach = z if np.isfinite(z) else 1.0
    position = types.Point(x=(u - camera.cx) / camera.fx * reach, y=(v - camera.cy) / camera.fy * reach, z=float(z))
    pose = types.Pose(position=position, orientation=types.Quaternion(x=0.0, y=0.0, z=0.0, w=1.0))
    return types.PoseWithCovariance(pose=pose, covariance=NO_COVARIANCE)


def _box(detection: Detection, types: Any) -> Any:
    """The box, whose corners are corners of pixels: the first pixel reaches from 0 to 1."""
    x0, y0, x1, y1 = detection.bbox_xyxy
    center = types.Pose2D(position=types.Point2D(x=(x0 + x1) / 2, y=(y0 + y1) / 2), theta=0.0)
    return types.BoundingBox2D(center=center, size_x=float(x1 - x0), size_y=float(y1 - y0))


def _detection(entry: Any, labels: npt.NDArray[np.uint16], index: int, camera: Camera) -> Detection:
    if not entry.results:
        raise BinposeError(f"Detection {entry.id!r} names no class; expected at least one result; check its sender.")
    middle, half = entry.bbox.center.position, (entry.bbox.size_x / 2, entry.bbox.size_y / 2)
    x0, y0 = max(round(middle.x - half[0]), 0), max(round(middle.y - half[1]), 0)
    x1, y1 = min(round(middle.x + half[0]), camera.width), min(round(middle.y + half[1]), camera.height)
    position = entry.results[0].pose.pose.position
    reach = position.z if np.isfinite(position.z) else 1.0
    (best, *others) = [(str(r.hypothesis.class_id), float(r.hypothesis.score)) for r in entry.results]
    return Detection(
        object_id=best[0],
        score=best[1],
        bbox_xyxy=(x0, y0, x1, y1),
        mask=labels[y0:y1, x0:x1] == index + 1,
        center_px=(position.x / reach * camera.fx + camera.cx, position.y / reach * camera.fy + camera.cy),
        center_depth_m=float(position.z),
        alternatives=tuple(others),
    )
