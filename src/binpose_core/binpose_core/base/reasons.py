"""Why there are no results, or what is wrong beside them: stable codes for programs, beside sentences for people.

The code of a reason is its name. `binpose_interfaces/msg/FrameStatus` lists the same codes for programs in other
languages, and docs/ros.md shows them as a table; a test compares the three.
"""

from enum import Enum


class Reason(Enum):
    """A reason; its value says what it means."""

    # --- A frame was processed ---------------------------------------------------------------------------------------
    OK = "there are results"
    NO_PARTS = "no part was detected"
    NO_POSE = "parts were detected, and no pose was found of any"
    REJECTED = "poses were found, and none of them could be verified"
    BELOW_THRESHOLD = "parts were detected, and no pose reached the threshold"
    OTHER_PARTS = "only parts that are not to be reported were found"
    LITTLE_DEPTH = "no pose is reported, and depth is missing on the detected parts or in most of the image"
    PRINCIPAL_POINT = "no pose is reported, and the principal point lies far from the middle of the image"
    PARTS_TOO_SMALL = "no pose is reported, and the parts would be too small in the image to be found"
    PARTS_TOO_LARGE = "no pose is reported, and the parts would be too large for the image to be found"
    NO_GRASP = "there are poses, and no grasp of them is free"
    VIEWS_DIFFER = "several views contradict each other, and not all of them are used together"

    # --- A frame could not be processed ------------------------------------------------------------------------------
    UNKNOWN_ENCODING = "the encoding or the compression of an image is none that is supported"
    DAMAGED_IMAGE = "the data of an image do not match its stated size or format"
    SIZE_MISMATCH = "colour image, depth image and camera info are of different sizes"
    NO_DEPTH = "there is no depth image, or it has no valid pixel"
    DEPTH_UNIT = "the depth image is probably in another unit"
    NO_CAMERA_INFO = "images arrive, and no camera info"
    UNCALIBRATED_CAMERA = "the camera info holds no usable camera matrix"
    UNKNOWN_DISTORTION = "the distortion model of the camera info is not supported"
    FRAME_MISMATCH = "colour image, depth image and camera info name different frames"
    TF_MISSING = "the transform from the camera to target_frame is not available at the time of the image"
    MODEL_MISMATCH = "a result was made with a model that this node does not hold"
    BAD_INPUT = "any other input that cannot be used"
    INTERNAL_ERROR = "an error in the program; the log has its traceback"

    # --- A request was not carried out -------------------------------------------------------------------------------
    BAD_REQUEST = "the request names what is not known, or a value out of its range"
    BUSY = "too many requests wait already"
    CANCELLED = "the client cancelled the request"
    SAME_VIEW = "the camera has not moved since an earlier view of the goal, or the next view was not asked for"
    CAMERA_MOVES = "the camera moves while a view is to be taken"
    NOT_ACTIVE = "the node is not in the lifecycle state active"

    # --- Something around the node is wrong --------------------------------------------------------------------------
    NO_FRAME = "no complete frame arrives"
    NO_PUBLISHER = "an input topic has no publisher"
    IMAGE_TOO_LARGE = "camera info arrives, and the images published beside it do not"
    QOS_MISMATCH = "a publisher offers another quality of service than the subscription requests"
    WRONG_TYPE = "an input topic has another message type"
    STAMPS_DIFFER = "the stamps of the inputs never match"
    SEVERAL_PUBLISHERS = "an input topic has more than one publisher"
    DUPLICATE_NODE = "another node has the same name"
    BAD_FRAME_ID = "the frame id of the images is empty, no valid name, or one of the parts' own frames"
    CLOCK_MISMATCH = "the stamps of the images are of another clock than the node's"
    NO_CLOCK = "use_sim_time is set, and the time on /clock does not advance"
    ODD_INPUT = "something in the images or the camera info was ignored, or looks odd"
    UNKNOWN_PARAMETER = "a parameter was given that the node does not have"
    TRANSITION_REFUSED = "the node could not be configured or activated"
    MODEL_REFUSED = "the model that should be in use was refused"
    OUT_OF_DISTRIBUTION = "most poses are unlike those that the scores were calibrated with"
    INCONSISTENT_WITH_DEPTH = "too few reported poses agree with the depth image"
    RECORDING_STOPPED = "the recording did not start, or ended by itself"
    RECORDING_INCOMPLETE = "some messages or topics are missing in the recording"

    @property
    def code(self) -> str:
        """The stable code."""
        return self.name

    @property
    def is_failure(self) -> bool:
        """Whether a frame with this reason was not processed: its empty results do not mean an empty bin."""
        return self not in _PROCESSED


_PROCESSED = frozenset(
    (
        Reason.OK,
        Reason.NO_PARTS,
        Reason.NO_POSE,
        Reason.REJECTED,
        Reason.BELOW_THRESHOLD,
        Reason.OTHER_PARTS,
        Reason.LITTLE_DEPTH,
        Reason.PRINCIPAL_POINT,
        Reason.PARTS_TOO_SMALL,
        Reason.PARTS_TOO_LARGE,
        Reason.NO_GRASP,
        Reason.VIEWS_DIFFER,
    )
)
