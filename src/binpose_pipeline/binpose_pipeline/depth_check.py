"""Reported poses against the depth image, counted: a check of a run that needs no labels."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from binpose_core.frames.types import PoseEstimate
from binpose_refinement.consistency import agrees

SURE = 0.9
"""Score from which a pose counts as sure."""
LOW = 0.8
"""Fraction of the checked poses that agree with the depth, below which a run is warned about."""
FEWEST = 10
"""Poses, below which there is no such warning."""


@dataclass(frozen=True)
class DepthCheck:
    """Reported poses against the depth image.

    agree, contradicted: of those with depth on them; the others were not checked.
    contradicted_sure: contradicted poses with a score of at least SURE.
    out_of_distribution: poses whose evidence is unlike what the score was fitted on.
    """

    reported: int = 0
    agree: int = 0
    contradicted: int = 0
    contradicted_sure: int = 0
    out_of_distribution: int = 0

    @property
    def checked(self) -> int:
        """Poses with depth on them."""
        return self.agree + self.contradicted

    @property
    def is_low(self) -> bool:
        """Whether too few of enough poses agree."""
        return self.checked >= FEWEST and self.agree < LOW * self.checked

    def to_json(self) -> dict[str, int]:
        """The numbers by name."""
        return asdict(self)


def check_depth(poses: Iterable[PoseEstimate]) -> DepthCheck:
    """Count reported poses."""
    poses = list(poses)
    verdicts = [agrees(pose) for pose in poses]
    contradicted = [pose for pose, verdict in zip(poses, verdicts, strict=True) if verdict is False]
    return DepthCheck(
        reported=len(poses),
        agree=verdicts.count(True),
        contradicted=len(contradicted),
        contradicted_sure=sum(pose.score >= SURE for pose in contradicted),
        out_of_distribution=sum(pose.residuals.get("out_of_distribution", 0.0) > 0.5 for pose in poses),
    )
