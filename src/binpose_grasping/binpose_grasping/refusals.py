"""Why a grasp is refused: stable codes for programs, sentences for people."""

from enum import Enum


class Refusal(Enum):
    """A reason; its value says what it means."""

    DIRECTION = "the hand would come from outside the cone of approach"
    HITS_BIN = "the hand would hit the bin or the camera"
    HITS_OBSERVED = "the hand would hit something that the depth image shows"
    HIDDEN = "a finger would enter space that the camera does not see"
    HITS_PART = "the hand would hit another known part"
    SLIPS = "the grasp fails for too many of the poses that the part may have"
    COVERED = "too much lies on the part"
    TOOL = "the hand has another tool"
    OUT_OF_REACH = "the arm does not reach the grasp within its joint limits"
    SINGULAR = "the arm would be too close to a singularity"
    PATH = "the straight path to or from the grasp cannot be followed without a jump of a joint"
    ARM_COLLISION = "the arm would hit itself, the bin, the camera or another part"
    NOT_TRIED = "enough better grasps were found"

    @property
    def code(self) -> str:
        """The stable code."""
        return self.name
