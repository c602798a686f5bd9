"""All stages in one process before a simulated camera: poses against the truth, parameters, swaps under a stream."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_messages import assert_those_of_the_library, complete_frame, latched_qos, parts, poses_of, stamp

VISIBLE, SCORE = 0.7, 0.5


@pytest.fixture(scope="module")
def live(graph: Any, store: Path) -> Any:
    """The graph with the camera and the pipeline, once the first poses have come."""
    from vision_msgs.msg import Detection3DArray

    graph.start("simulated_camera", rate_hz=1.0, hold=1000, views=1)
    graph.start("bin_picking", model=str(store), tf=True, watch_s=0.2)
    graph.truth = graph.listen("/simulated_camera/truth", Detection3DArray)
    graph.poses = graph.listen("/refinement/poses", Detection3DArray)
    graph.wait(lambda: any(array.detections for array in list(graph.poses)), "poses")
    return graph


def found_and_right(poses: Any, truth: Any) -> tuple[int, int, int]:
    """How many well visible parts were found, how many there are, and how many poses are right.

    A pose is right as in all figures: by ADD, or by ADD-S for symmetric parts.
    """
    from binpose_core.evaluation.matching import EvaluationConfig, right_errors_m
    from binpose_core.evaluation.pose_errors import PartErrors

    errors = {name: PartErrors(part) for name, part in parts().items()}
    estimated, true = poses_of(poses), poses_of(truth)

    def same(a: Any, b: Any) -> bool:
        given, known = np.asarray(a.T_cam_obj)[None], np.asarray(b.T_cam_obj)[None]
        error_m = right_errors_m(errors[b.object_id], given, known, EvaluationConfig())
        return a.object_id == b.object_id and bool(np.isfinite(error_m).all())

    visible = [t for t in true if t.score > VISIBLE]
    found = sum(any(same(e, t) for e in estimated) for t in visible)
    return found, len(visible), sum(any(same(e, t) for t in true) for e in estimated)


def test_poses_are_those_of_the_simulated_parts(live: Any) -> None:
    poses = next(array for array in live.poses if array.detections)
    truth = live.wait(lambda: next((t for t in live.truth if stamp(t) == stamp(poses)), None), "truth of that frame")
    found, visible, right = found_and_right(poses, truth)
    assert visible >= 3
    assert found >= 0.5 * visible
    assert right >= 0.6 * len(poses.detections)
    assert all(detection.results[0].hypothesis.score >= SCORE for detection in poses.detections)


def test_every_output_carries_stamp_and_frame_of_its_image(live: Any) -> None:
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image
    from tf2_msgs.msg import TFMessage
    from vision_msgs.msg import Detection2DArray, Detection3DArray
    from visualization_msgs.msg import MarkerArray

    kinds = {
        "/detection/detections": Detection2DArray,
        "/detection/instance_mask": Image,
        "/pose_estimator/poses": Detection3DArray,
        "/refinement/markers": MarkerArray,
        "/refinement/overlay": Image,
        "/tf": TFMessage,
    }
    heard = {topic: live.listen(topic, kind) for topic, kind in kinds.items()}
    color = live.listen("/color/image_raw", Image, qos_profile_sensor_data)
    live.wait(lambda: all(len(messages) >= 2 for messages in heard.values()), "all outputs")
    sent = {stamp(message) for message in list(color) + list(live.truth)}
    for topic, messages in heard.items():
        for message in list(messages):
            inner = message.markers if "markers" in topic else message.transforms if topic == "/tf" else [message]
            assert {stamp(entry) for entry in inner} <= sent, topic
            assert {entry.header.frame_id for entry in inner} == {"camera_color_optical_frame"}, topic
    for topic in (*kinds, "/color/image_raw"):  # drawing takes time that later tests do not have
        live.forget(topic)
    overlay, frame = heard["/refinement/overlay"][-1], color[-1]
    assert (overlay.height, overlay.width, overlay.encoding) == (frame.height, frame.width, "rgb8")
    names = [transform.child_frame_id for transform in heard["/tf"][-1].transforms]
    assert len(set(names)) == len(names) and all(name.startswith("bin/") for name in names)


def test_results_are_those_of_the_library(live: Any) -> None:
    assert_those_of_the_library(*complete_frame(live, live.poses), threshold=SCORE)


def test_sensor_data_comes_in_and_reliable_results_go_out(live: Any) -> None:
    from rclpy.qos import QoSReliabilityPolicy

    for topic in ("/color/image_raw", "/aligned_depth_to_color/image_raw", "/color/camera_info"):
        inputs = [i for i in live.node.get_subscriptions_info_by_topic(topic) if i.node_name == "bin_picking"]
        assert [i.qos_profile.reliability for i in inputs] == [QoSReliabilityPolicy.BEST_EFFORT]
    for topic in ("/detection/detections", "/pose_estimator/poses", "/refinement/poses", "/refinement/markers"):
        outputs = [i for i in live.node.get_publishers_info_by_topic(topic) if i.node_name == "bin_picking"]
        assert [i.qos_profile.reliability for i in outputs] == [QoSReliabilityPolicy.RELIABLE]


def test_parameters_are_described_and_bad_ones_refused_with_the_reason(live: Any) -> None:
    from rcl_interfaces.srv import DescribeParameters, GetParameters

    names = ["threshold", "slop_s", "refiner.tolerance_m", "model", "device"]
    described = live.call("/bin_picking/describe_parameters", DescribeParameters, names=names).descriptors
    assert all(entry.description for entry in described)
    assert (described[0].floating_point_range[0].from_value, described[0].floating_point_range[0].to_value) == (0, 1)
    for bad, reason in (
        ({"threshold": 1.5}, "threshold"),
        ({"model": "elsewhere"}, "~/load_model"),
        ({"refiner__keep_best": 0}, "refiner.keep_best out of range. Min: 1"),
        ({"objects": ["teapot"]}, "teapot"),
    ):
        (result,) = live.set_parameters("bin_picking", **bad)
        assert not result.successful and reason in result.reason
    (value,) = live.call("/bin_picking/get_parameters", GetParameters, names=["threshold"]).values
    assert value.double_value == SCORE


def test_a_threshold_counts_from_the_next_frame_on_and_nothing_found_has_a_reason(live: Any) -> None:
    assert live.set_parameters("bin_picking", threshold=1.0)[0].successful
    live.wait(lambda: not live.poses[-1].detections, "an empty array")
    assert live.poses[-1].header.frame_id == "camera_color_optical_frame"
    live.wait(lambda: "below the threshold of 1;" in live.status("bin_picking").get("last_reason", ""), "the reason")
    assert live.set_parameters("bin_picking", threshold=SCORE)[0].successful
    live.wait(lambda: live.poses[-1].detections, "poses again")
    live.wait(lambda: live.status("bin_picking").get("message") == "ok", "all well")


def test_nothing_is_found_outside_the_region_while_it_counts(live: Any) -> None:
    (refused,) = live.set_parameters("bin_picking", region="0,0 9,0")
    assert not refused.successful and "three corners" in refused.reason
    assert live.set_parameters("bin_picking", region="0,0 1,0 0,1")[0].successful
    live.wait(lambda: "lies in the region" in live.status("bin_picking").get("last_reason", ""), "the reason")
    assert not live.poses[-1].detections
    assert live.set_parameters("bin_picking", region="")[0].successful
    live.wait(lambda: live.poses[-1].detections, "poses again")


def test_a_part_alone_is_reported_when_it_is_asked_for(live: Any) -> None:
    wanted = live.poses[-1].detections[0].results[0].hypothesis.class_id
    assert live.set_parameters("bin_picking", objects=[wanted])[0].successful
    live.wait(lambda: {d.results[0].hypothesis.class_id for d in live.poses[-1].detections} == {wanted}, "that part")
    assert live.set_parameters("bin_picking", objects=[""])[0].successful  # all of them again


def test_the_action_gives_the_poses_of_the_next_image(live: Any) -> None:
    from binpose_interfaces.action import EstimatePoses
    from rclpy.action import ActionClient

    client = ActionClient(live.node, EstimatePoses, "/bin_picking/estimate_poses")
    live.wait(client.server_is_ready, "the action")
    asked_ns = live.node.get_clock().now().nanoseconds

    def result(**fields: Any) -> Any:
        goal = live.asked(lambda: client.send_goal_async(EstimatePoses.Goal(**fields)), "the goal's acceptance")
        return live.asked(goal.get_result_async, "the result").result

    every = result()
    assert every.success and every.poses.detections and every.model_version
    assert stamp(every.poses) >= divmod(asked_ns, 1_000_000_000)
    name = every.poses.detections[0].results[0].hypothesis.class_id
    one = result(object_ids=[name], min_score=0.6)
    assert {d.results[0].hypothesis.class_id for d in one.poses.detections} <= {name}
    assert all(d.results[0].hypothesis.score >= 0.6 for d in one.poses.detections)
    assert result(min_score=1.5).message == "No pose reached the score."
    client.destroy()


def test_models_are_swapped_under_a_stream_without_losing_a_frame(live: Any, store: Path) -> None:
    from binpose_interfaces.srv import LoadModel
    from vision_msgs.msg import VisionInfo

    from binpose_core.learning.model_store import ModelStore
    from binpose_ros.vision_arrays import split_id

    told = live.wait(lambda: live.status("bin_picking"), "diagnostics")
    rate_hz = min(1.0, 250 / float(told["frame_ms"]))  # which the machine can hold, beside the loading
    live.set_parameters("simulated_camera", rate_hz=rate_hz)
    versions = ModelStore(store).versions()
    assert len(versions) == 2
    infos = live.listen("/bin_picking/vision_info", VisionInfo, latched_qos())
    live.wait(lambda: infos, "the latched VisionInfo")
    before, first = len(live.truth), live.status("bin_picking")
    swaps = 0
    while swaps < 6 or len(live.truth) < before + 3:
        swap, swaps = swaps, swaps + 1
        answer = live.call("/bin_picking/load_model", LoadModel, store="", version=versions[swap % 2])
        assert answer.success, answer.message
        assert answer.version == versions[swap % 2]
        time.sleep(0.2 / rate_hz)
    sent = [stamp(message) for message in live.truth[before:]]
    live.wait(lambda: stamp(live.poses[-1]) >= sent[-1], "the last frame's poses")
    received = [stamp(message) for message in live.poses]
    last = live.wait(lambda: live.status("bin_picking"), "diagnostics")
    assert len(sent) >= 2 and not set(sent) - set(received), (
        f"{rate_hz} {sorted(set(sent) - set(received))} {first} {last}"
    )
    for array in live.poses:
        assert len({split_id(detection.id)[0] for detection in array.detections}) <= 1
    numbers = [info.database_version for info in infos]
    assert numbers == sorted(set(numbers)) and len(numbers) == 1 + swaps
    assert [info.database_location[-24:-12] for info in infos[1:]] == [versions[n % 2][:12] for n in range(swaps)]


def test_a_refused_model_changes_nothing(live: Any, store: Path) -> None:
    from binpose_interfaces.msg import ModelStatus
    from binpose_interfaces.srv import LoadModel

    from binpose_core.learning.model_store import ModelStore

    statuses = live.listen("/bin_picking/model_status", ModelStatus, latched_qos())
    in_use = live.wait(lambda: statuses and statuses[-1].version, "the model's status")
    models, stored = ModelStore(store), ModelStore(store).load()
    nan = dict(stored.tensors)
    name = next(name for name, value in nan.items() if name.startswith("estimator/") and value.dtype == np.float32)
    nan[name] = np.full_like(nan[name], np.nan)
    without = {**stored.header, "objects": stored.header["objects"][1:]}
    changed = dict(stored.tensors) | {"more": np.zeros(3, np.float32)}
    altered = models.save({**stored.tensors, "other": np.zeros(2, np.float32)}, stored.header)
    path = store / f"weights-{altered[:12]}.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    for version, reason in (
        (models.save(nan, stored.header), "NaN"),
        (models.save(changed, without), "does not know"),
        (altered, "sha256"),
        ("feedbeef", "known:"),
    ):
        answer = live.call("/bin_picking/load_model", LoadModel, store="", version=version)
        assert not answer.success and reason in answer.message and answer.version == in_use
    assert len(statuses) == 1
    current = str(models.current())
    models.promote(models.save(nan, stored.header))
    live.wait(lambda: "NaN" in live.status("bin_picking")["model_refused"], "the reason in the diagnostics")
    models.promote(current)
    live.wait(lambda: not live.status("bin_picking")["model_refused"], "diagnostics without it")


def test_the_store_is_watched_and_the_swap_can_be_rolled_back(live: Any, store: Path) -> None:
    from binpose_interfaces.msg import ModelStatus
    from binpose_interfaces.srv import LoadModel
    from std_srvs.srv import Trigger

    from binpose_core.learning.model_store import ModelStore

    models = ModelStore(store)
    statuses = live.listen("/bin_picking/model_status", ModelStatus, latched_qos())
    in_use, other = models.current(), _second(store)
    assert in_use and live.call("/bin_picking/load_model", LoadModel, store="", version=in_use).success
    models.promote(other)
    live.wait(lambda: statuses[-1].version == other, "the promoted model")
    assert statuses[-1].previous == in_use
    answer = live.call("/bin_picking/rollback", Trigger)
    assert answer.success
    live.wait(lambda: statuses[-1].version == in_use, "the model before")
    assert [status.number for status in statuses] == sorted({status.number for status in statuses})
    assert set(statuses[-1].object_ids) == set(parts())


def _second(store: Path) -> str:
    """The version that was made from the shipped one."""
    from binpose_core.learning.model_store import ModelStore

    models = ModelStore(store)
    return next(version for version in models.versions() if models.header(version)["parent"] == models.current())
