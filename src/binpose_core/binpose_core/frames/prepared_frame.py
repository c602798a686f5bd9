"""A frame on its way through the stages, with what several of them compute from it."""

import numpy as np
import numpy.typing as npt

from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.working_view import WorkingView, make_working_view


class PreparedFrame:
    """A frame and its working views, each made when it is first asked for.

    A pipeline makes one per frame and passes it to its stages: those of one ground sample distance share a view.
    """

    def __init__(self, frame: RgbdFrame) -> None:
        self.frame = frame
        self._views: dict[tuple[float, int], WorkingView] = {}

    def view(self, gsd_m: float, max_pixels: int) -> WorkingView:
        """The working view that `make_working_view` makes of the frame."""
        key = gsd_m, max_pixels
        if key not in self._views:
            self._views[key] = make_working_view(self.frame, gsd_m, max_pixels)
        return self._views[key]

    def without(self, pixels: npt.NDArray[np.bool_]) -> "PreparedFrame":
        """The same frame, whose working views have pixels (H, W) of the frame erased."""
        return _Erased(self, pixels)


class _Erased(PreparedFrame):
    """A prepared frame with pixels erased from its views."""

    def __init__(self, whole: PreparedFrame, pixels: npt.NDArray[np.bool_]) -> None:
        super().__init__(whole.frame)
        self._whole, self._pixels = whole, pixels

    def view(self, gsd_m: float, max_pixels: int) -> WorkingView:
        key = gsd_m, max_pixels
        if key not in self._views:
            self._views[key] = self._whole.view(gsd_m, max_pixels).without(self._pixels)
        return self._views[key]


AnyFrame = RgbdFrame | PreparedFrame
"""What a stage takes: a frame alone, or the one that a pipeline prepared."""


def prepared(frame: AnyFrame) -> PreparedFrame:
    """The frame prepared for stages; one that is prepared already comes back as it is."""
    return frame if isinstance(frame, PreparedFrame) else PreparedFrame(frame)
