"""Detections <-> serialized vision_msgs/Detection2DArray and the image of instances (16UC1, pixel = index + 1).

The id of a detection is "<first digits of the model's version>/<index>": what is made from it knows its model.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera import Camera
from binpose_core.frames.label_image import label_image
from binpose_core.frames.types import Detection
from binpose_ros.images import to_pixels
from binpose_ros.stamps import Header
from binpose_ros.vision_arrays import (
    NUMBERS,
    POSE,
    SCORE,
    Box,
    Entry,
    instance_id,
    read_array,
    split_id,
    write_array,
)

UPRIGHT = (0.0, 0.0, 0.0, 1.0)


def write_detections(detections: Sequence[Detection], camera: Camera, header: Header, version: str) -> bytes:
    """The Detection2DArray.

    Each entry has one result per class worth trying, the best first. The pose's position is the estimated centre of the
    part in the camera frame; without depth its z is NaN, and x and y are those of its ray at one metre.
    """
    return write_array(header, [_entry(d, camera, instance_id(version, i)) for i, d in enumerate(detections)])


def instance_labels(detections: Sequence[Detection], camera: Camera) -> npt.NDArray[np.uint16]:
    """(H, W) index + 1 of the detection that a pixel belongs to, 0 = none; see `label_image`."""
    return (label_image(detections, camera.height, camera.width) + 1).astype(np.uint16)


def read_detections(data: bytes, mask: Any, camera: Camera) -> tuple[list[Detection], str]:
    """The detections of a serialized Detection2DArray, and their model's version (first digits).

    Args:
        data: as `write_detections` makes them.
        mask: sensor_msgs/Image of the `instance_labels`.
        camera: of both.

    Raises:
        BinposeError: when the two do not belong together, or the detections are of several models.
    """
    labels = to_pixels(mask)
    if labels.shape != (camera.height, camera.width) or labels.dtype != np.uint16:
        raise BinposeError(
            f"An instance mask of shape {labels.shape} in {mask.encoding}; expected 16UC1 of "
            f"{camera.width}x{camera.height} pixels; connect the mask of the node that publishes the detections."
        )
    entries = read_array(data, Box.FLAT)
    names = [split_id(entry.id) for entry in entries]
    if len({version for version, _ in names}) > 1 or [index for _, index in names] != list(range(len(names))):
        raise BinposeError(
            f"Detections with ids {', '.join(entry.id for entry in entries)}; expected indices from 0 of one model; "
            "connect the topic of one detection node."
        )
    found = [_detection(entry, labels, index, camera) for index, entry in enumerate(entries)]
    return found, names[0][0] if names else ""


def _entry(detection: Detection, camera: Camera, identifier: str) -> Entry:
    (u, v), z = detection.center_px, detection.center_depth_m
    reach = z if np.isfinite(z) else 1.0
    x0, y0, x1, y1 = detection.bbox_xyxy
    ranked = [(detection.object_id, detection.score), *detection.alternatives]
    numbers = np.zeros((len(ranked), NUMBERS))
    numbers[:, SCORE] = [score for _, score in ranked]
    numbers[:, POSE] = ((u - camera.cx) / camera.fx * reach, (v - camera.cy) / camera.fy * reach, z, *UPRIGHT)
    # The corners of the box are corners of pixels: the first pixel reaches from 0 to 1.
    box = np.array([(x0 + x1) / 2, (y0 + y1) / 2, 0.0, x1 - x0, y1 - y0])
    return Entry(identifier, [name for name, _ in ranked], numbers, box)


def _detection(entry: Entry, labels: npt.NDArray[np.uint16], index: int, camera: Camera) -> Detection:
    x, y, _, width, height = entry.box.tolist()
    x0, y0 = max(round(x - width / 2), 0), max(round(y - height / 2), 0)
    x1, y1 = min(round(x + width / 2), camera.width), min(round(y + height / 2), camera.height)
    center_x, center_y, depth_m = entry.numbers[0, POSE][:3].tolist()
    reach = depth_m if np.isfinite(depth_m) else 1.0
    best, *others = zip(entry.names, entry.numbers[:, SCORE].tolist(), strict=True)
    return Detection(
        object_id=best[0],
        score=best[1],
        bbox_xyxy=(x0, y0, x1, y1),
        mask=labels[y0:y1, x0:x1] == index + 1,
        center_px=(center_x / reach * camera.fx + camera.cx, center_y / reach * camera.fy + camera.cy),
        center_depth_m=depth_m,
        alternatives=tuple(others),
    )
