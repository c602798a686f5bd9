"""Which detections are followed up, and which poses are reported."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from binpose_core.base.errors import UnknownObject
from binpose_core.base.settings import FRACTION, check_bounds, setting
from binpose_core.frames.region import Region
from binpose_core.frames.types import Detection, PoseEstimate

Part = TypeVar("Part")


@dataclass(frozen=True)
class DetectionFilter:
    """Which detections are followed up.

    min_score: least score.
    region: where in the image their centres lie; everywhere when None.
    """

    min_score: float = 0.0
    region: Region | None = None

    def __call__(self, detections: Sequence[Detection]) -> list[Detection]:
        """Those that are followed up, in their order."""
        sure = [detection for detection in detections if not detection.score < self.min_score]
        return sure if self.region is None else self.region.keep(sure)


@dataclass(frozen=True)
class PoseFilter:
    """Which poses are reported.

    threshold: least score (probability to be right) of a reported part.
    objects: parts to be reported, all when empty; the others are looked for all the same, because what they explain
        cannot be mistaken for a wanted part.
    """

    threshold: float = setting(0.5, bounds=FRACTION, live=True)
    objects: tuple[str, ...] = setting((), live=True)

    def __post_init__(self) -> None:
        check_bounds(self)

    def check_objects(self, known: Collection[str]) -> None:
        """Refuse parts that a model does not know.

        Raises:
            BinposeError: naming them and the known ones.
        """
        if unknown := [name for name in self.objects if name not in known]:
            raise UnknownObject(
                f"objects names {', '.join(unknown)}; expected some of {', '.join(known)}, which the model knows; "
                "choose among them, or train a model for the others.",
                unknown,
                known,
            )

    def wanted(self, objects: Mapping[str, Part]) -> dict[str, Part]:
        """Those of the model's parts, by id, that are to be reported."""
        return {name: part for name, part in objects.items() if self._wants(name)}

    def split(self, poses: Sequence[PoseEstimate]) -> tuple[list[PoseEstimate], list[PoseEstimate]]:
        """The poses of wanted parts that reach the threshold, and those that do not."""
        wanted = [pose for pose in poses if self._wants(pose.object_id)]
        reported = [pose for pose in wanted if pose.score >= self.threshold]
        return reported, [pose for pose in wanted if not pose.score >= self.threshold]

    def reported(self, poses: Sequence[PoseEstimate]) -> list[PoseEstimate]:
        """The poses of wanted parts that reach the threshold, in their order."""
        return self.split(poses)[0]

    def _wants(self, object_id: str) -> bool:
        return not self.objects or object_id in self.objects
