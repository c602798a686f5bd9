"""Thumbnails of serialized frames."""

from collections.abc import Mapping

import cv2

from binpose_recording.cdr import read_image
from binpose_recording.keyframes import Thumbnail
from binpose_recording.messages import RawMessage, Topic
from binpose_ros.images import to_color, to_depth_m


class Shrinker:
    """Computes the thumbnail of a colour and a depth message of known topics.

    Raises:
        BinposeError: from calls with unreadable messages.
    """

    def __init__(self, topics: Mapping[str, Topic]) -> None:
        self._topics = topics

    def __call__(self, color: RawMessage, depth: RawMessage | None) -> Thumbnail:
        """The thumbnail; the depth image may have another size than the colour image."""
        picture = to_color(read_image(color.data, self._topics[color.topic].type))
        gray = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        depth_m = None if depth is None else to_depth_m(read_image(depth.data, self._topics[depth.topic].type))
        return Thumbnail.of(gray, depth_m)
