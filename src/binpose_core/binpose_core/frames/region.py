"""Where in an image parts can be."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera import Camera
from binpose_core.frames.types import Detection
from binpose_core.geometry.transforms import FloatArray


@dataclass(frozen=True, eq=False)
class Region:
    """Polygons (K, 2) in pixels of the image, which may lie apart; their borders belong to them."""

    polygons_px: Sequence[FloatArray]

    def __post_init__(self) -> None:
        for polygon in self.polygons_px:
            shape = np.shape(polygon)
            if len(shape) != 2 or shape[1] != 2 or shape[0] < 3:
                raise BinposeError(
                    f"A region with an outline of shape {shape}; expected at least three corners (u, v) in pixels; "
                    "give the corners of the bin one after the other."
                )
            for u, v in polygon:
                if not (np.isfinite(u) and np.isfinite(v)):
                    raise BinposeError(
                        f"A region with the corner ({u:g}, {v:g}); expected finite numbers (u, v) in pixels; give the "
                        "corners as they are seen in the image."
                    )

    def contains(self, point_px: tuple[float, float]) -> bool:
        """Whether a point (u, v) lies in one of the polygons."""
        corners = (np.asarray(polygon, np.float32).reshape(-1, 1, 2) for polygon in self.polygons_px)
        u, v = map(float, point_px)
        return any(cv2.pointPolygonTest(polygon, (u, v), False) >= 0 for polygon in corners)

    def mask(self, height: int, width: int) -> npt.NDArray[np.bool_]:
        """(height, width) the pixels inside, borders included."""
        inside = np.zeros((height, width), np.uint8)
        cv2.fillPoly(inside, [np.round(polygon).astype(np.int32) for polygon in self.polygons_px], 1)
        return inside > 0

    def shows(self, point_cam: FloatArray, camera: Camera) -> bool:
        """Whether a point (3,) of the camera frame lies in front of the camera and is seen in one of the polygons."""
        if point_cam[2] <= 0:
            return False
        u, v = camera.project(point_cam).tolist()
        return self.contains((u, v))

    def keep(self, detections: Sequence[Detection]) -> list[Detection]:
        """The detections whose centres lie inside, in their order."""
        return [detection for detection in detections if self.contains(detection.center_px)]

    @classmethod
    def from_text(cls, text: str) -> "Region | None":
        """From "u,v u,v u,v", the corners of a polygon, and "; " between several; None for an empty text.

        Raises:
            BinposeError: for anything else.
        """
        try:
            polygons = [
                np.array([[float(number) for number in corner.split(",")] for corner in outline.split()])
                for outline in text.split(";")
                if outline.strip()
            ]
        except ValueError as error:
            raise BinposeError(
                f"The region {text!r} cannot be read; expected corners in pixels like "
                "'300,250 1250,250 1250,800 300,800', and a semicolon between bins."
            ) from error
        return cls(polygons) if polygons else None
