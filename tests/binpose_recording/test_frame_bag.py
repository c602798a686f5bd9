from dataclasses import replace

import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_recording.bag_frames import bag_frames
from binpose_recording.bag_writer import write_bag
from binpose_recording.cdr import CAMERA_INFO
from binpose_recording.config import BagConfig
from binpose_recording.frame_bag import frame_messages, write_frames

from .conftest import SECOND, START_NS

CAMERA = Camera(220.0, 221.0, 79.5, 59.5, 160, 120)


@pytest.fixture
def frames(rng):
    def frame(index, **more):
        depth_m = rng.uniform(0.3, 0.9, (120, 160)).astype(np.float32)
        depth_m[:5] = 0
        color = rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)
        return RgbdFrame(color, depth_m, CAMERA, START_NS + index * SECOND // 30, "optical", **more)

    return [frame(index) for index in range(7)]


def same(first, second):
    np.testing.assert_array_equal(first.color, second.color)
    if first.depth_m is None:
        assert second.depth_m is None
    else:
        np.testing.assert_array_equal(first.depth_m, second.depth_m)
    assert (first.camera, first.stamp_ns, first.frame_id) == (second.camera, second.stamp_ns, second.frame_id)


@pytest.mark.parametrize("config", [BagConfig(), BagConfig(segment_mb=0.2, compression="none")])
def test_frames_that_are_written_are_read_back_to_the_last_bit(tmp_path, frames, config):
    assert write_frames(tmp_path / "bag", frames, config) == len(frames)
    found = bag_frames(tmp_path / "bag").frames
    assert len(found) == len(frames)
    for first, second in zip(frames, found, strict=True):
        same(first, second.read())
    assert len({item.name for item in found}) == len(found)
    assert [item.image_id for item in found] == list(range(len(found)))


def test_mono_frames_and_frames_without_depth_too(tmp_path, frames):
    for name, changed in {
        "mono": [replace(frame, color=frame.color[..., 0]) for frame in frames],
        "flat": [replace(frame, depth_m=None) for frame in frames],
    }.items():
        write_frames(tmp_path / name, changed)
        for first, second in zip(changed, bag_frames(tmp_path / name).frames, strict=True):
            same(first, second.read())


def test_a_bag_whose_camera_infos_are_all_damaged_says_so(tmp_path, frames):
    def cut(message, topic):
        return (message._replace(data=message.data[:4]) if topic.type == CAMERA_INFO else message), topic

    write_bag(tmp_path / "bag", [cut(*item) for frame in frames for item in frame_messages(frame)], BagConfig())
    with pytest.raises(BinposeError, match=rf"no camera info that can be read in .* \({len(frames)} damaged"):
        bag_frames(tmp_path / "bag")


def test_frames_without_stamps_get_their_own(tmp_path, frames):
    write_frames(tmp_path / "bag", [replace(frame, stamp_ns=0) for frame in frames])
    stamps = [frame.read().stamp_ns for frame in bag_frames(tmp_path / "bag").frames]
    assert len(set(stamps)) == len(frames) and stamps == sorted(stamps)


def test_lens_distortion_is_told_and_removed_as_it_is_read(tmp_path, frames):
    bent = replace(frames[0], camera=replace(CAMERA, distortion=(0.1, -0.05, 0.001, 0.0, 0.0)))
    write_frames(tmp_path / "bag", [bent])
    read = bag_frames(tmp_path / "bag").frames[0].read()
    assert read.camera == CAMERA and not np.array_equal(read.color, bent.color)


def test_the_bag_explains_itself_to_readers_that_know_no_ros(tmp_path, frames):
    write_frames(tmp_path / "bag", frames)
    with AnyReader([tmp_path / "bag"]) as reader:
        messages = [reader.deserialize(data, item.msgtype) for item, _, data in reader.messages()]
    assert len(messages) == 3 * len(frames)
    assert {message.header.frame_id for message in messages} == {"optical"}
