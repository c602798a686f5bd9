"""The stages of the pipeline: what each takes, returns and stores in a model.

detections = segmenter(frame)
poses = estimator(frame, detections)
poses = refiner(frame, detections, poses)
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from binpose_core.frames.prepared_frame import AnyFrame
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Candidate, Detection, Grasp, PoseEstimate
from binpose_core.geometry.transforms import FloatArray

if TYPE_CHECKING:
    from typing_extensions import Self

StoredStage = tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]
"""Arrays by name, and settings as plain JSON data."""


class Segmenter(Protocol):
    """Finds the instances of a frame."""

    def __call__(self, frame: AnyFrame) -> list[Detection]:
        """The instances, best first."""
        ...

    def to_tensors(self) -> StoredStage:
        """What a model stores of this stage."""
        ...


class Estimator(Protocol):
    """Estimates a pose with hypotheses for each detection."""

    def __call__(self, frame: AnyFrame, detections: Sequence[Detection]) -> list[PoseEstimate]:
        """One estimate per detection that a pose was found for."""
        ...

    def to_tensors(self) -> StoredStage:
        """What a model stores of this stage."""
        ...


class Score(Protocol):
    """Maps evidence to probabilities."""

    def __call__(self, features: FloatArray, part: npt.ArrayLike) -> FloatArray:
        """Probabilities (B,) that hypotheses with features (B, F) of objects with indices (B,) are right."""
        ...

    def out_of_distribution(self, features: FloatArray) -> npt.NDArray[np.bool_]:
        """(B,) whether features (B, F) lie outside of what the probabilities were fitted on."""
        ...


class Refiner(Protocol):
    """Aligns, verifies, scores and ranks poses, and suppresses duplicates."""

    @property
    def calibration(self) -> Score | None:
        """Fitted scores; None where scores only rank poses."""
        ...

    @property
    def network(self) -> Any | None:
        """The refinement network, where the model has one."""
        ...

    def __call__(
        self, frame: RgbdFrame, detections: Sequence[Detection], poses: Sequence[PoseEstimate]
    ) -> list[PoseEstimate]:
        """The verified poses, best score first."""
        ...

    def candidates(
        self, frame: RgbdFrame, detections: Sequence[Detection], poses: Sequence[PoseEstimate], refine: bool = True
    ) -> list[Candidate]:
        """All hypotheses with their evidence, aligned first unless `refine` is False."""
        ...

    def probability(self, object_ids: Sequence[str], features: FloatArray) -> FloatArray:
        """(B,) that poses of these B objects with the evidence (B, F) of their candidates are right."""
        ...

    def using(self, method: Any | None = None, network: Any | None = None, calibration: Any | None = None) -> "Self":
        """The same refiner with another method, refinement network or calibration."""
        ...

    def to_tensors(self) -> StoredStage:
        """What a model stores of this stage."""
        ...


@runtime_checkable
class SceneRefiner(Protocol):
    """A refiner that chooses among the hypotheses of several looks at a frame."""

    def verify(
        self,
        frame: RgbdFrame,
        detections: Sequence[Detection],
        poses: Sequence[PoseEstimate],
        before: Any | None = None,
    ) -> Any:
        """All hypotheses of the poses, aligned and measured, added to those of earlier looks (`before`)."""
        ...

    def choose(self, frame: RgbdFrame, pool: Any) -> list[PoseEstimate]:
        """The poses that explain the frame best together, best score first."""
        ...

    def explained(self, frame: RgbdFrame, poses: Sequence[PoseEstimate]) -> npt.NDArray[np.bool_]:
        """(H, W) pixels that the poses explain."""
        ...


Refine = Callable[[RgbdFrame, Sequence[Detection], Sequence[PoseEstimate]], list[PoseEstimate]]
"""A refiner's call alone, for code that needs nothing else of it."""


class Planner(Protocol):
    """Plans grasps for the poses of a frame."""

    def __call__(self, frame: RgbdFrame, poses: Sequence[PoseEstimate]) -> list[Grasp]:
        """The grasps, best first."""
        ...
