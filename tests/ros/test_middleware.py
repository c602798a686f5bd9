"""The middleware carries images between processes whole and in time, with sensor-data quality of service."""

from typing import Any

import pytest
from live_messages import IMAGES, stamp

FRAMES, RATE_HZ, SETTLED = 30, 4.0, 4


@pytest.fixture(scope="module")
def received(graph: Any) -> dict[str, set[tuple[int, int]]]:
    """The stamps of the messages that came for the frames of a camera of 640x480, by topic; "" for all frames."""
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs import msg
    from vision_msgs.msg import Detection3DArray

    heard = {topic: graph.listen(topic, getattr(msg, kind), qos_profile_sensor_data) for topic, kind in IMAGES.items()}
    truth = graph.listen("/simulated_camera/truth", Detection3DArray)
    graph.start("simulated_camera", rate_hz=RATE_HZ, hold=1000, views=1, width=640, height=480)
    # The first frames may come before all have found each other.
    graph.wait(lambda: min(map(len, heard.values())) >= SETTLED and len(truth) >= SETTLED, "the first frames")
    first = len(truth)
    graph.wait(lambda: len(truth) >= first + FRAMES + 1, "more frames")
    sent = {stamp(message) for message in truth[first : first + FRAMES]}
    return {"": sent, **{topic: sent & set(map(stamp, list(messages))) for topic, messages in heard.items()}}


@pytest.mark.parametrize("topic", IMAGES)
def test_no_message_of_a_frame_is_lost(received: dict[str, set[tuple[int, int]]], topic: str) -> None:
    assert len(received[""]) == FRAMES
    assert len(received[topic]) >= FRAMES - 1, f"{len(received[topic])} of {FRAMES}"
