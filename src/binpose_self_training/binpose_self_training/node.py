"""The node `self_training`: records what the robot sees."""

import threading
from collections.abc import Mapping
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
from binpose_ros.message_types import RosTypes, message_class, ros_types
from binpose_ros.monitor import OK, WARN, diagnostics_of
from binpose_ros.node_checks import ClockWatch, duplicate_node
from binpose_ros.parameters import Parameters
from binpose_ros.problems import Problem, ProblemLog, by_importance, codes, message_of
from binpose_ros.running import run_node
from binpose_self_training.node_settings import SelfTrainingSettings, status_problems, status_values

PERIOD_S = 1.0
CAMERA_ROLES = (Role.COLOR, Role.DEPTH, Role.INFO)


class SelfTrainingNode(ManagedNode):
    """Listens on the camera, the results and the events, still serialized, and gives them to a recorder.

    Topics are subscribed to when a publisher is there, with the type and the quality of service that it offers.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("self_training", **options)
        self.types: RosTypes = ros_types()
        self._declared = Parameters(self, SelfTrainingSettings(), lambda: self.state != "unconfigured", self._changed)
        self._recorder: Recorder | None = None
        self._topics = threading.Lock()
        self._open = False
        self._listening: dict[str, Any] = {}
        self._unknown: dict[str, str] = {}  # topics of types that cannot be imported, and why
        self._wanted, self._reason = False, ""  # a recording, and why it could not be started
        self._clock_watch = ClockWatch(self)
        self._problem_log = ProblemLog(lambda text: self.get_logger().warning(text))
        self._messages_group = MutuallyExclusiveCallbackGroup()
        services = MutuallyExclusiveCallbackGroup()  # A snapshot takes its time; messages and diagnostics do not wait.
        self.create_service(SetBool, "~/record", self._record, callback_group=services)
        self.create_service(Trigger, "~/snapshot", self._snapshot, callback_group=services)
        self._diagnostics = self.create_publisher(self.types.DiagnosticArray, "/diagnostics", 10)
        self.create_steady_timer(PERIOD_S, self._on_time, MutuallyExclusiveCallbackGroup())

    @property
    def settings(self) -> SelfTrainingSettings:
        """The settings of now."""
        return self._declared.settings

    def _changed(self, settings: SelfTrainingSettings) -> None:
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
        """Listen, and record where that is wanted."""
        with self._topics:
            self._open = True
        try:
            self._listen()
        except Exception:
            self.close()
            raise
        if self.settings.record:
            self._start()
        return super().on_activate(state)

    @guarded
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End the recording and listen no more."""
        self.close()
        return super().on_deactivate(state)

    @guarded
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget what was held for a snapshot."""
        self._recorder = None
        return super().on_cleanup(state)

    @guarded
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """End the recording."""
        self.close()
        return super().on_shutdown(state)

    def close(self) -> None:
        """End the recording, whatever the state."""
        with self._topics:
            self._open = False
            for subscription in self._listening.values():
                self.destroy_subscription(subscription)
            self._listening, self._unknown = {}, {}
        self._wanted, self._reason = False, ""
        if self._recorder is not None:
            self._recorder.stop()

    # --- Topics -------------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Subscribe to the topics that have a publisher by now."""
        with self._topics:  # The timer looks for topics while a service may close them.
            if self._open:
                self._listen_to(self.settings.roles(self.resolve_topic_name))

    def _listen_to(self, roles: Mapping[str, Role]) -> None:
        for name, role in roles.items():
            offered = self.get_publishers_info_by_topic(name)
            if not offered or name in self._listening or name in self._unknown:
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
            recorder.add(topic.name, clock.now().nanoseconds, data)

        self._listening[topic.name] = self.create_subscription(
            kind, topic.name, received, profile, callback_group=self._messages_group, raw=True
        )

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
        except Exception as error:  # The client would wait for ever for an answer that does not come.
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

    def problems(self) -> list[Problem]:
        """All that is wrong now, the most important first."""
        found = [Problem(Reason.TRANSITION_REFUSED, self.refusal)] if self.refusal else []
        if self.state != "active":
            found.append(Problem(Reason.NOT_ACTIVE, f"The node is {self.state}."))
        if self._reason:
            found.append(Problem(Reason.RECORDING_STOPPED, self._reason))
        if self._wanted and not self._reason:
            found += status_problems(self._status, self._missing())
        found += [Problem(Reason.RECORDING_INCOMPLETE, text, name) for name, text in list(self._unknown.items())]
        found += self._clock_watch.problems(None)
        return by_importance([*found, *duplicate_node(self), *self._declared.problems()])

    @property
    def _status(self) -> RecorderStatus:
        return RecorderStatus() if self._recorder is None else self._recorder.status

    def _missing(self) -> list[str]:
        roles = self.settings.roles(self.resolve_topic_name)
        return [name for name, role in roles.items() if role in CAMERA_ROLES and name not in self._listening]

    def _on_time(self) -> None:
        self._listen()
        problems = self.problems()
        logged = {self.refusal}  # when it arose
        news = [r for r in problems if r.message not in logged and r.reason is not Reason.NOT_ACTIVE]
        self._problem_log.update(news)
        values = {
            "state": self.state,
            "code": (problems[0].reason if problems else Reason.OK).code,
            "codes": codes(problems),
            **status_values(self._status),
        }
        status = self.types.DiagnosticStatus(
            level=self.types.byte(WARN if problems else OK),
            name=self.get_fully_qualified_name().lstrip("/"),
            message=message_of(problems) or "ok",
            hardware_id="binpose",
            values=[self.types.KeyValue(key=key, value=value) for key, value in values.items()],
        )
        self._diagnostics.publish(diagnostics_of([status], self._clock_watch.now_ns, self.types))


def main() -> None:
    """Run the node."""
    run_node(SelfTrainingNode)


if __name__ == "__main__":
    main()
