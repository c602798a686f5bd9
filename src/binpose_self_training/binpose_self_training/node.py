"""The node `self_training`: records what the robot sees, and trains the model on it beside the robot's work."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSDurabilityPolicy, QoSProfile, QoSReliabilityPolicy
from std_srvs.srv import SetBool, Trigger

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason
from binpose_recording.config import Role
from binpose_recording.messages import Topic, qos
from binpose_recording.recorder import Recorder, RecorderStatus
from binpose_recording.recording import prepare
from binpose_ros.lifecycle import ManagedNode, guarded
from binpose_ros.message_types import message_class
from binpose_ros.monitor import OK, WARN
from binpose_ros.node_diagnostics import NodeDiagnostics
from binpose_ros.parameters import Parameters
from binpose_ros.problems import Problem, codes, message_of
from binpose_ros.running import run_node
from binpose_ros.running_models import RunningModels
from binpose_ros.self_train_action import Feedback, SelfTrainAction
from binpose_ros.store_services import StoreOperations, StoreServices
from binpose_self_training.live_watch import LiveWatch
from binpose_self_training.node_settings import SelfTrainingSettings, status_problems, status_values, training_values
from binpose_self_training.store_keeper import StoreKeeper
from binpose_self_training.trainer import SelfTrainer
from binpose_self_training.training_job import TrainingJob

PERIOD_S = 1.0
CAMERA_ROLES = (Role.COLOR, Role.DEPTH, Role.INFO)


class SelfTrainingNode(ManagedNode):
    """Subscribes to the camera, the results and the events, still serialized, and records them.

    Topics are subscribed to when a publisher is there, with the type and the quality of service that it offers.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("self_training", **options)
        self._recorder: Recorder | None = None
        self.parameters = Parameters(self, SelfTrainingSettings())
        self.parameters.on_change.append(self._apply)
        self._topics = threading.Lock()
        self._open = False
        self._subscribed: dict[str, Any] = {}
        self._unknown: dict[str, str] = {}  # topics of types that cannot be imported, and why
        self._wanted, self._reason = False, ""  # a recording, and why it could not be started
        self._messages_group = MutuallyExclusiveCallbackGroup()
        services = MutuallyExclusiveCallbackGroup()  # A snapshot takes its time; messages and diagnostics do not wait.
        self.create_service(SetBool, "~/record", self._record, callback_group=services)
        self.create_service(Trigger, "~/snapshot", self._snapshot, callback_group=services)
        self.create_steady_timer(PERIOD_S, self._subscribe_new, MutuallyExclusiveCallbackGroup())
        running = RunningModels(self, [self.resolve_topic_name(name) for name in self.settings.statuses])
        self._keeper = keeper = StoreKeeper(
            running, lambda: str(self.settings.model), lambda: float(self.settings.training.swap_s)
        )
        self._trainer = SelfTrainer(keeper.confirm)
        self._live = LiveWatch(self.get_logger().warning)
        self.training = SelfTrainAction(self, self._train)
        self.store = StoreServices(self, StoreOperations(keeper.promote, keeper.roll_back, keeper.status))
        self.diagnostics = NodeDiagnostics(self, [self._problems, self._live.problems], self._diagnostic_status)

    def _apply(self, settings: SelfTrainingSettings) -> None:
        if self._recorder is not None:
            self._recorder.choose_by(settings.recorder.keyframes)

    # --- Lifecycle ----------------------------------------------------------------------------------------------------

    @guarded
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Finish what an earlier recorder left unfinished."""
        for found in prepare(self.settings.config.directory):
            self.get_logger().warning(
                f"Finished {found.path or 'a file without messages'} of a recorder that was killed: "
                f"{found.messages} messages."
            )
        topics = self.settings.camera_topics(self.resolve_topic_name)
        self._recorder = Recorder(topics, self.settings.config, on_stop=self.get_logger().error)
        self._reason = ""
        return super().on_configure(state)

    @guarded
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe, and record where that is wanted."""
        with self._topics:
            self._open = True
        try:
            self._subscribe_new()
        except Exception:
            self.close()
            raise
        if self.settings.record:
            self._start()
        self._start_watch()
        return super().on_activate(state)

    @guarded
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget what was held for a snapshot."""
        self._recorder = None
        return super().on_cleanup(state)

    def close(self) -> None:
        """End the recording, interrupt a self-training, and unsubscribe, in any state."""
        self._trainer.pause()
        self._live.close()
        with self._topics:
            self._open = False
            for subscription in self._subscribed.values():
                self.destroy_subscription(subscription)
            self._subscribed, self._unknown = {}, {}
        self._wanted, self._reason = False, ""
        if self._recorder is not None:
            self._recorder.stop()

    # --- Topics -------------------------------------------------------------------------------------------------------

    def _subscribe_new(self) -> None:
        """Subscribe to the topics that have a publisher by now."""
        with self._topics:  # The timer subscribes while a service may close them.
            if self._open:
                self._subscribe_to(self.settings.roles(self.resolve_topic_name))

    def _subscribe_to(self, roles: Mapping[str, Role]) -> None:
        for name, role in roles.items():
            offered = self.get_publishers_info_by_topic(name)
            if not offered or name in self._subscribed or name in self._unknown:
                continue
            try:
                kind = message_class(offered[0].topic_type)
            except (ImportError, AttributeError, ValueError) as error:
                self._unknown[name] = f"{name} of type {offered[0].topic_type} is not recorded: {error}."
                continue
            profiles = [entry.qos_profile for entry in offered]
            reliable = all(profile.reliability == QoSReliabilityPolicy.RELIABLE for profile in profiles)
            latched = all(profile.durability == QoSDurabilityPolicy.TRANSIENT_LOCAL for profile in profiles)
            topic = Topic(name, offered[0].topic_type, role, (qos(reliable, latched, depth=10),))
            self._subscribe(topic, kind, reliable and role not in CAMERA_ROLES, latched)

    def _subscribe(self, topic: Topic, kind: Any, reliable: bool, latched: bool) -> None:
        recorder, clock = self._recorder, self.get_clock()
        if recorder is None:
            return
        recorder.add_topic(topic)
        profile = QoSProfile(
            depth=100 if latched or topic.role is Role.CONTEXT else 10,  # Of transforms, many come at once.
            reliability=QoSReliabilityPolicy.RELIABLE if reliable else QoSReliabilityPolicy.BEST_EFFORT,
            durability=QoSDurabilityPolicy.TRANSIENT_LOCAL if latched else QoSDurabilityPolicy.VOLATILE,
        )

        def received(data: bytes) -> None:
            now_ns = clock.now().nanoseconds
            recorder.add(topic.name, now_ns, data)
            self._live.message(topic, data, now_ns)

        self._subscribed[topic.name] = self.create_subscription(
            kind, topic.name, received, profile, callback_group=self._messages_group, raw=True
        )

    # --- Self-training ------------------------------------------------------------------------------------------------

    def _train(self, request: Any, publish: Feedback, is_cancelled: Callable[[], bool]) -> Mapping[str, Any]:
        """Do what a goal of the action wants; the fields of its result."""
        self.expect_active()
        settings = self.settings
        bags = [Path(bag) for bag in request.bags] or [settings.config.directory]

        def job() -> TrainingJob:
            return settings.training.job(self._keeper.folder(), bags, request.rounds, request.promote)

        outcome = self._trainer(job, lambda progress: publish(progress.feedback()), is_cancelled)
        self.store.look()
        return outcome.result()

    def _start_watch(self) -> None:
        settings = self.settings
        if settings.model and settings.live.every:
            results = self.resolve_topic_name(settings.results[-1]) if settings.results else ""
            self._live.start(self._keeper.folder(), settings.live.every, settings.training, results)

    # --- Services and diagnostics -------------------------------------------------------------------------------------

    def _record(self, request: Any, response: Any) -> Any:
        recorder = self._recorder
        if recorder is None or self.state != "active":
            response.success, response.message = False, f"The node is {self.state}; expected active; activate it first."
        elif request.data:
            response.message = self._start()
            response.success = recorder.status.is_recording
        else:
            self._wanted, self._reason = False, ""
            status = recorder.stop()
            response.success = not status.reason
            response.message = status.reason or f"{status.messages} messages in {status.bag}."
        return response

    def _snapshot(self, request: Any, response: Any) -> Any:
        try:
            if self._recorder is None:
                raise BinposeError(f"The node is {self.state}; expected active; activate it first.")
            response.success, response.message = True, str(self._recorder.snapshot())
        except Exception as error:  # Without a response the client would wait for ever.
            response.success, response.message = False, self.describe_error("The snapshot", error)
            self.get_logger().error(response.message)
        return response

    def _start(self) -> str:
        """Begin a recording; returns its folder, or why there is none."""
        self._wanted, self._reason = True, ""
        try:
            assert self._recorder is not None
            path = str(self._recorder.start())
        except Exception as error:
            self._reason = self.describe_error("The recording", error)
            return self._reason
        self.get_logger().info(f"Recording to {path}.")
        return path

    def _problems(self) -> list[Problem]:
        """What is wrong with the recording."""
        found = [Problem(Reason.RECORDING_STOPPED, self._reason)] if self._reason else []
        if self._wanted and not self._reason:
            found += status_problems(self._status, self._missing())
        return found + [Problem(Reason.RECORDING_INCOMPLETE, text, name) for name, text in list(self._unknown.items())]

    @property
    def _status(self) -> RecorderStatus:
        return RecorderStatus() if self._recorder is None else self._recorder.status

    def _missing(self) -> list[str]:
        roles = self.settings.roles(self.resolve_topic_name)
        return [name for name, role in roles.items() if role in CAMERA_ROLES and name not in self._subscribed]

    def _diagnostic_status(self, problems: Sequence[Problem]) -> Any:
        values = {
            "state": self.state,
            "code": (problems[0].reason if problems else Reason.OK).code,
            "codes": codes(problems),
            **status_values(self._status),
            **training_values(self._trainer.progress),
            **self._live.values(),
        }
        return self.types.DiagnosticStatus(
            level=self.types.byte(WARN if problems else OK),
            name=self.get_fully_qualified_name().lstrip("/"),
            message=message_of(problems) or "ok",
            hardware_id="binpose",
            values=[self.types.KeyValue(key=key, value=value) for key, value in values.items()],
        )


def main() -> None:
    """Run the node."""
    run_node(SelfTrainingNode)


if __name__ == "__main__":
    main()
