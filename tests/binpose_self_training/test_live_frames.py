"""Live frames arrive in pieces, and travel to another process as they came."""

import io
import math
from dataclasses import replace
from typing import Any

import numpy as np

from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_recording.config import Role
from binpose_recording.frame_bag import frame_messages
from binpose_self_training.live_frames import Latencies, LiveFrame, LiveFrames, SerializedMessage


def published(frame: RgbdFrame, stamp_ns: int) -> list[tuple[Role, SerializedMessage]]:
    return [
        (topic.role, SerializedMessage(topic.type, message.data))
        for message, topic in frame_messages(replace(frame, stamp_ns=stamp_ns))
    ]


def given(frames: LiveFrames, messages: list[tuple[Role, SerializedMessage]]) -> list[LiveFrame]:
    return [found for role, message in messages if (found := frames.add(role, message)) is not None]


def test_every_nth_complete_frame_is_given(scenes: Any) -> None:
    frames = LiveFrames(every=3)
    messages = [message for n in range(7) for message in published(scenes[0].frame, 10**9 + n * 10**8)]
    assert [frame.stamp_ns for frame in given(frames, messages)] == [10**9, 10**9 + 3 * 10**8, 10**9 + 6 * 10**8]


def test_a_frame_without_depth_or_info_is_none(scenes: Any) -> None:
    messages = published(scenes[0].frame, 10**9)
    assert not given(LiveFrames(1), [m for m in messages if m[0] is not Role.DEPTH])
    assert not given(LiveFrames(1), [m for m in messages if m[0] is not Role.INFO])
    assert not given(LiveFrames(1), [(Role.COLOR, SerializedMessage("sensor_msgs/msg/Image", b"no message"))])


def test_a_frame_travels_to_another_process_as_it_is(scenes: Any) -> None:
    frame = scenes[0].frame
    (first,) = given(LiveFrames(1), published(frame, 10**9))
    pipe = io.BytesIO()
    sent = [replace(first, seconds=0.25), first]
    for one in sent:
        one.write(pipe)
    pipe.seek(0)
    arrived = [LiveFrame.receive(pipe), LiveFrame.receive(pipe)]
    assert arrived[0] == sent[0] and arrived[1] is not None and math.isnan(arrived[1].seconds)
    assert LiveFrame.receive(pipe) is None
    read = arrived[1].read()
    np.testing.assert_array_equal(read.color, frame.color)
    np.testing.assert_allclose(read.depth_m, frame.depth_m)
    assert read.camera == frame.camera


def test_the_time_of_the_running_nodes_belongs_to_the_stamp() -> None:
    latencies = Latencies()
    for number in range(100):
        latencies.add(number, number + 2 * 10**8)
    assert latencies.of(99) == 0.2 and math.isnan(latencies.of(0)) and math.isnan(latencies.of(1000))
