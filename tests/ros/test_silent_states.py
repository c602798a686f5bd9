"""What is wrong around a node is reported while it lasts, with a code, and gone when its cause is gone.

The node lives in this process beside one that publishes to it.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from bench import Workbench

pytest.importorskip("rclpy", reason="ROS 2 is not installed or not sourced")

import rclpy
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data

from binpose_core.base.reasons import Reason
from binpose_ros.stamps import Header, to_header

COLOR, DEPTH, INFO = "color/image_raw", "aligned_depth_to_color/image_raw", "color/camera_info"
PATIENCE_S = 30.0


@pytest.fixture
def camera_stage(stage_class: Any) -> Any:
    """A stage with all inputs of a camera."""
    from binpose_ros import inputs as topics

    class CameraStage(stage_class):  # type: ignore[misc]
        inputs = (replace(topics.COLOR, role="reference"), topics.DEPTH, topics.INFO)

    return CameraStage


@pytest.fixture
def node(bench: Workbench, camera_stage: Any, monkeypatch: Any) -> Any:
    """An active node that soon finds that no frame arrives."""
    for module in ("monitor", "inputs", "input_checks", "node_checks"):
        monkeypatch.setattr(f"binpose_ros.{module}.SILENT_S", 0.3)
    made = bench(camera_stage)
    made.trigger_configure()
    made.trigger_activate()
    return made


class Camera:
    """A node of another process, as far as the middleware is concerned, whose publishers come and go."""

    def __init__(self, domain_id: int) -> None:
        from binpose_ros.message_types import ros_types

        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain_id)
        self.node, self.types = rclpy.create_node("camera", context=self._context), ros_types()
        self._publishers: dict[str, Any] = {}

    def publish(self, topic: str, kind: str = "", stamp_ns: int = 0) -> None:
        """Publish an empty message; the time of now where no stamp is given."""
        from sensor_msgs import msg

        kind = kind or ("CameraInfo" if topic == INFO else "Image")
        key = f"{topic} {kind}"
        if key not in self._publishers:
            self._publishers[key] = self.node.create_publisher(getattr(msg, kind), topic, qos_profile_sensor_data)
        message = getattr(msg, kind)(header=to_header(Header(stamp_ns or time.time_ns(), "camera"), self.types))
        self._publishers[key].publish(message)

    def end(self) -> None:
        """End all publishers."""
        for publisher in self._publishers.values():
            self.node.destroy_publisher(publisher)
        self._publishers.clear()

    def close(self) -> None:
        """End the node."""
        self.node.destroy_node()
        self._context.try_shutdown()


@pytest.fixture
def camera(node: Any) -> Iterator[Camera]:
    made = Camera(node.context.get_domain_id())
    yield made
    made.close()


def found(node: Any, reason: Reason, meanwhile: Callable[[], None] = lambda: None) -> str:
    """The sentence of a problem, once there is one."""
    end = time.monotonic() + PATIENCE_S
    while True:
        meanwhile()
        for problem in node.diagnostics.problems():
            if problem.reason is reason:
                return str(problem.message)
        assert time.monotonic() < end, f"no {reason} in {node.diagnostics.problems()}"
        time.sleep(0.05)


def gone(node: Any, reason: Reason, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Wait until a problem is gone."""
    end = time.monotonic() + PATIENCE_S
    while any(problem.reason is reason for problem in node.diagnostics.problems()):
        meanwhile()
        assert time.monotonic() < end, f"{reason} stays in {node.diagnostics.problems()}"
        time.sleep(0.05)


def test_topics_without_a_publisher_are_named_until_there_is_one(node: Any, camera: Camera) -> None:
    sentence = found(node, Reason.NO_PUBLISHER)
    assert f"/{COLOR} has no publisher." in sentence or f"/{DEPTH} has no publisher." in sentence
    assert node.diagnostics.problems()[0].reason is Reason.NO_PUBLISHER, "the cause stands before what it causes"

    def whole_frame() -> None:
        stamp_ns = time.time_ns()
        for topic in (INFO, COLOR, DEPTH):
            camera.publish(topic, stamp_ns=stamp_ns)

    gone(node, Reason.NO_PUBLISHER, whole_frame)
    gone(node, Reason.NO_FRAME, whole_frame)


def test_camera_info_without_images_names_the_transport(node: Any, camera: Camera) -> None:
    camera.publish(COLOR)  # The publisher is there, and nothing that it sends arrives.
    camera.publish(DEPTH)
    sentence = found(node, Reason.IMAGE_TOO_LARGE, lambda: camera.publish(INFO))
    assert "too large for the transport" in sentence and "Nothing came on /" in sentence
    camera.end()
    gone(node, Reason.IMAGE_TOO_LARGE)


def test_another_type_on_an_input_is_named_until_it_is_gone(node: Any, camera: Camera) -> None:
    camera.publish(DEPTH, kind="PointCloud2")
    sentence = found(node, Reason.WRONG_TYPE)
    assert f"/{DEPTH} is published as sensor_msgs/msg/PointCloud2; expected sensor_msgs/msg/Image" in sentence
    camera.end()
    gone(node, Reason.WRONG_TYPE)


def test_an_input_follows_the_type_of_its_images(node: Any, camera: Camera) -> None:
    """A topic of CompressedImage that an input was remapped to needs no parameter."""

    def publish() -> None:
        stamp_ns = time.time_ns()
        camera.publish(INFO, stamp_ns=stamp_ns)
        camera.publish(COLOR, kind="CompressedImage", stamp_ns=stamp_ns)
        camera.publish(DEPTH, stamp_ns=stamp_ns)
        node.frames.follow_types()

    def failed() -> bool:
        publish()
        return node.monitor.counts.failed + node.monitor.counts.done > 0

    end = time.monotonic() + PATIENCE_S
    while not failed():
        assert time.monotonic() < end, node.diagnostics.problems()
        time.sleep(0.05)
    kinds = {subscription.msg_type.__name__ for subscription in node.frames.inputs._subscriptions.values()}
    assert "CompressedImage" in kinds and Reason.WRONG_TYPE not in {r.reason for r in node.diagnostics.problems()}


def test_two_publishers_of_an_input_are_named_until_one_is_gone(node: Any, camera: Camera) -> None:
    camera.publish(COLOR)
    other = Camera(node.context.get_domain_id())
    other.publish(COLOR)
    assert f"/{COLOR} has 2 publishers (" in found(node, Reason.SEVERAL_PUBLISHERS)
    other.end()
    gone(node, Reason.SEVERAL_PUBLISHERS)
    other.close()


def test_two_nodes_of_one_name_are_remarked_until_one_is_gone(node: Any, camera: Camera) -> None:
    twin = rclpy.create_node(node.get_name(), context=node.context)
    assert f"Two nodes have the name /{node.get_name()}" in found(node, Reason.DUPLICATE_NODE)
    twin.destroy_node()
    gone(node, Reason.DUPLICATE_NODE)


def test_stamps_that_never_match_are_named_with_how_far_they_are_off(node: Any, camera: Camera) -> None:
    def apart(off_s: float) -> Callable[[], None]:
        def publish() -> None:
            stamp_ns = time.time_ns()
            camera.publish(INFO, stamp_ns=stamp_ns)
            camera.publish(COLOR, stamp_ns=stamp_ns)
            camera.publish(DEPTH, stamp_ns=stamp_ns + round(off_s * 1e9))

        return publish

    assert f"those of /{DEPTH} are " in found(node, Reason.STAMPS_DIFFER, apart(500.0))
    gone(node, Reason.STAMPS_DIFFER, apart(0.0))


@pytest.mark.parametrize(("off_s", "where"), [(-1.7e9, "behind"), (3600.0, "ahead of")])
def test_images_of_another_clock_are_remarked_while_they_arrive(
    node: Any, camera: Camera, off_s: float, where: str
) -> None:
    def publish() -> None:
        camera.publish(COLOR, stamp_ns=time.time_ns() + round(off_s * 1e9))

    sentence = found(node, Reason.CLOCK_MISMATCH, publish)
    assert f"s {where} the node's clock" in sentence
    gone(node, Reason.CLOCK_MISMATCH)


@pytest.mark.parametrize(("frame_id", "problem"), [("", "is empty"), ("/camera", "'/camera'"), ("optical", "")])
def test_a_frame_id_that_tf_does_not_take_is_a_problem(node: Any, frame_id: str, problem: str) -> None:
    assert problem in node.frames.check_frame_id(frame_id) and bool(node.frames.check_frame_id(frame_id)) == bool(
        problem
    )


def test_a_frame_id_that_is_a_parts_own_would_be_a_loop(node: Any) -> None:
    from binpose_refinement.node import RefinementSettings, result_frame_problem

    parts = node.models.find("").objects
    name = next(iter(parts))
    settings = RefinementSettings(tf_prefix="left")
    assert "form no loop" in result_frame_problem(f"left/{name}_0", parts, settings)
    assert "form no loop" in result_frame_problem("camera", parts, replace(settings, target_frame=f"left/{name}_12"))
    for harmless in (f"right/{name}_0", f"left/{name}", f"left/{name}_link", "left/camera_0", name):
        assert result_frame_problem(harmless, parts, settings) == ""


def test_a_simulated_clock_that_does_not_run_is_named_by_running_diagnostics(node: Any) -> None:
    from rclpy.clock import ClockType
    from rosgraph_msgs.msg import Clock

    sent: list[Any] = []
    node.diagnostics.publisher = SimpleNamespace(publish=sent.append)
    node.set_parameters([Parameter("use_sim_time", value=True)])
    assert "no time has arrived on /clock" in found(node, Reason.NO_CLOCK)
    node.diagnostics.publish()
    assert sent[-1].header.stamp.sec > 1e9, "the system's time, while there is no other"
    steady = [timer for timer in node.timers if timer.clock.clock_type == ClockType.STEADY_TIME]
    assert steady, "a timer of the node's clock would stand still with it"

    publisher = node.create_publisher(Clock, "/clock", 10)
    executor = rclpy.executors.SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    time_s = 100

    def tick() -> None:
        nonlocal time_s
        time_s += 1
        message = Clock()
        message.clock.sec = time_s
        publisher.publish(message)
        executor.spin_once(timeout_sec=0.1)

    gone(node, Reason.NO_CLOCK, tick)
    assert "stands still at 1" in found(node, Reason.NO_CLOCK)
    gone(node, Reason.NO_CLOCK, tick)
    executor.remove_node(node)
    executor.shutdown()


@pytest.mark.parametrize(
    ("given", "nearest"), [("tonne", "tone"), ("slops", "slop_s"), ("requiredobjects", "required_objects")]
)
def test_a_misspelled_parameter_is_named_with_the_nearest_one(
    bench: Workbench, camera_stage: Any, given: str, nearest: str
) -> None:
    node = bench(camera_stage, **{given: 0.5})
    (sentence,) = [
        problem.message for problem in node.diagnostics.problems() if problem.reason is Reason.UNKNOWN_PARAMETER
    ]
    assert repr(given) in sentence and f"did you mean {nearest!r}?" in sentence
    right = bench(camera_stage, tone=0.5)
    assert not [problem for problem in right.diagnostics.problems() if problem.reason is Reason.UNKNOWN_PARAMETER]


def test_a_remark_is_logged_once(node: Any) -> None:
    warned: list[str] = []
    logger = node.get_logger()
    node.get_logger = lambda: SimpleNamespace(warning=warned.append, error=logger.error, info=logger.info)
    found(node, Reason.NO_PUBLISHER)
    for _ in range(3):
        node.diagnostics.publish()
    assert len([text for text in warned if f"/{COLOR} has no publisher" in text]) == 1


def test_a_refused_version_is_tried_again_when_its_files_have_changed(
    bench: Workbench, stage_class: Any, store: Any
) -> None:
    from binpose_core.learning.model_store import ModelStore

    models = ModelStore(store)
    in_use, other = models.current(), next(v for v in models.versions() if v != models.current())
    node = bench(stage_class, model=str(store))
    assert in_use and node.trigger_configure() == rclpy.lifecycle.TransitionCallbackReturn.SUCCESS
    models.promote(other)
    path = store / f"weights-{other[:12]}.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    node.model_source.watch()
    refused = found(node, Reason.MODEL_REFUSED) if node.state == "active" else node.monitor.model_reason
    assert "sha256" in refused and node.models.current.version == in_use
    node.model_source.watch()
    assert node.monitor.model_reason == refused, "it lasts"
    path.write_bytes(whole)
    node.model_source.watch()
    assert node.monitor.model_reason == "" and node.models.current.version == other


def test_a_store_that_can_be_read_again_is_refused_no_more(
    bench: Workbench, stage_class: Any, monkeypatch: Any
) -> None:
    node = bench(stage_class)
    node.trigger_configure()

    def broken(folder: Any) -> Any:
        raise OSError("unreadable")

    with monkeypatch.context() as patch:
        patch.setattr("binpose_ros.model_leader.ModelStore", broken)
        node.model_source.watch()
        assert "unreadable" in node.monitor.model_reason
    node.model_source.watch()
    assert node.monitor.model_reason == ""
