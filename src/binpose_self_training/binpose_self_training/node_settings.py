"""The settings of the node `self_training`, which topics it records, and what it reports of itself. Knows no ROS."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from binpose_core.base.reasons import Reason
from binpose_core.base.settings import check_bounds, setting
from binpose_recording.cdr import CAMERA_INFO, IMAGE
from binpose_recording.config import RecorderConfig, Role
from binpose_recording.messages import Topic, qos
from binpose_recording.recorder import RecorderStatus
from binpose_ros.camera_topics import COLOR_TOPIC, DEPTH_TOPIC, INFO_TOPIC
from binpose_ros.problems import Problem
from binpose_self_training.trainer import TrainingSettings
from binpose_self_training.training_job import TrainingProgress

# Relative names, which remapping changes like those of every node; the types hold until there is a publisher.
CAMERA = {
    INFO_TOPIC: (Role.INFO, CAMERA_INFO),
    COLOR_TOPIC: (Role.COLOR, IMAGE),
    DEPTH_TOPIC: (Role.DEPTH, IMAGE),
}
STATUS = "model_status"
TRANSFORMS = {"/tf": Role.CONTEXT, "/tf_static": Role.EVENT}


@dataclass(frozen=True)
class LiveSettings:
    """How the models of the store are looked at on live frames.

    every: number of live frames of which one is looked at, at low priority: a candidate is compared with the model in
        use there, and a new model is rolled back where it does worse than the one before; 0 = none.
    """

    every: int = setting(20, bounds=(0, 1_000_000))

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class SelfTrainingSettings:
    """Parameters of the node.

    directory: folder of recordings and snapshots.
    record: begin to record when the node is activated.
    with_depth: record depth images too; a colour image then waits for its depth image.
    results: topics that are computed from frames and stamped like them.
    events: topics of which every message is kept.
    autostart: configure and activate without a lifecycle manager.
    model: folder of the model store that is trained further; empty for a node that only records.
    recorder: how it is recorded. training: how a self-training is started.
    live: how models are looked at on live frames.
    """

    directory: str = "~/binpose_recordings"
    record: bool = False
    with_depth: bool = True
    results: tuple[str, ...] = ("pose_estimator/poses", "refinement/poses")
    events: tuple[str, ...] = (
        "detection/model_status",
        "pose_estimator/model_status",
        "refinement/model_status",
        "bin_picking/model_status",
        "pick_outcomes",
    )
    autostart: bool = True
    model: str = ""
    recorder: RecorderConfig = field(default_factory=RecorderConfig)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    live: LiveSettings = field(default_factory=LiveSettings)

    @property
    def config(self) -> RecorderConfig:
        """The recorder's settings with the folder."""
        return replace(self.recorder, directory=Path(self.directory).expanduser())

    @property
    def statuses(self) -> list[str]:
        """Topics on which nodes announce their models."""
        return [name for name in self.events if name.rpartition("/")[2] == STATUS]

    def roles(self, resolve: Callable[[str], str]) -> dict[str, Role]:
        """What each topic is to the recorder, by its full name."""
        roles = {name: role for name, (role, _) in CAMERA.items() if self.with_depth or role is not Role.DEPTH}
        roles |= TRANSFORMS
        roles |= dict.fromkeys(self.results, Role.RESULT) | dict.fromkeys(self.events, Role.EVENT)
        return {resolve(name): role for name, role in roles.items()}

    def camera_topics(self, resolve: Callable[[str], str]) -> list[Topic]:
        """The camera's topics as they are before a publisher is seen."""
        sensor = (qos(reliable=False, depth=5),)
        found = [Topic(resolve(name), kind, role, sensor) for name, (role, kind) in CAMERA.items()]
        return [topic for topic in found if self.with_depth or topic.role is not Role.DEPTH]


def status_values(status: RecorderStatus) -> dict[str, str]:
    """What the diagnostics show of a recorder."""
    frames = status.frames
    return {
        "recording": str(status.is_recording),
        "bag": "" if status.bag is None else str(status.bag),
        "messages": str(status.messages),
        "megabytes": f"{status.megabytes:.1f}",
        "messages_dropped": str(status.dropped),
        "not_on_disk_s": f"{status.unsynced_s:.2f}",
        "frames": str(frames.frames),
        "keyframes": str(frames.keyframes),
        "frames_without_camera_info": str(frames.without_info),
        "frames_unreadable": str(frames.unreadable),
        "last_reason": status.reason or frames.reason,
    }


def training_values(progress: TrainingProgress | None) -> dict[str, str]:
    """What the diagnostics show of a self-training."""
    if progress is None:
        return {"training": "False", "training_stage": ""}
    return {"training": "True", "training_stage": f"{progress.stage} {100 * progress.fraction:.0f} %"}


def status_problems(status: RecorderStatus, missing: list[str]) -> list[Problem]:
    """What is wrong with a recording that is wanted.

    Args:
        status: of the recorder.
        missing: topics of the camera that have no publisher.
    """
    found = []
    if status.reason:
        found.append(Problem(Reason.RECORDING_STOPPED, status.reason))
    if status.is_recording and missing:
        sentence = f"No publisher of {', '.join(missing)}; start the camera's driver, or remap the topics."
        found.append(Problem(Reason.NO_PUBLISHER, sentence))
    if status.dropped:
        sentence = f"{status.dropped} messages came faster than the disk takes them."
        found.append(Problem(Reason.RECORDING_INCOMPLETE, sentence, "disk"))
    if status.frames.unreadable:
        found.append(Problem(Reason.RECORDING_INCOMPLETE, status.frames.reason, "frames"))
    return found
