from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_recording.config import KeyframeConfig, RecorderConfig
from binpose_recording.keyframes import Thumbnail
from binpose_recording.selection import Selection

from .conftest import COLOR, DEPTH, INFO, OUTCOME, POSES, SECOND, START_NS, TF, TOPICS, stamped, text

CONFIG = RecorderConfig(Path("unused"), keyframes=KeyframeConfig(check_hz=100))


def shrink(color, depth):
    """A picture with a square whose grey level is the first byte after the header; 255 cannot be read."""
    level = color.data[16]
    if level == 255:
        raise BinposeError("unreadable")
    gray = np.full((48, 64), 100, np.uint8)
    gray[10:20, 10:20] = level
    return Thumbnail.of(gray, None)


@pytest.fixture
def select():
    selection = Selection(TOPICS, shrink, CONFIG)

    def call(*messages):
        return [kept for message in messages for kept in selection(message)]

    call.counts = selection.counts
    return call


def at(seconds):
    return START_NS + int(seconds * SECOND)


def frame(seconds, level=0, delay_s=0.0):
    data = bytes([level])
    return [stamped(topic, at(seconds), data, at(seconds + delay_s)) for topic in (INFO, COLOR, DEPTH)]


def test_a_keyframe_is_kept_whole_and_nothing_of_the_others(select):
    first = frame(0)
    assert sorted(select(*first)) == sorted(first)
    assert select(*frame(1), *frame(2)) == []
    change = frame(3, level=200)
    assert select(*change) == []  # It still moves.
    rest = frame(4, level=200)
    assert sorted(select(*rest)) == sorted(rest)
    assert (select.counts.frames, select.counts.keyframes) == (5, 2)


def test_results_are_kept_with_their_frame_however_late(select):
    select(*frame(0), *frame(1))
    mine, other = (stamped(POSES, at(stamp), b"poses", at(5)) for stamp in (0, 1))
    assert select(mine, other) == [mine]


def test_transforms_are_kept_around_keyframes(select):
    def transforms(start, stop):
        return [stamped(TF, 0, b"tf", at(time)) for time in np.arange(start, stop, 0.125)]

    before, after, later = transforms(-3, 0), transforms(0.125, 1.01), transforms(1.125, 3)
    kept = select(*before, *frame(0), *after, *later)
    assert [item for item in kept if item.topic == TF.name] == [*transforms(-1.125, 0), *after]


def test_events_are_always_kept(select):
    events = [text(str(step), at(step)) for step in range(5)]
    assert select(*events) == events


def test_frames_are_compared_at_most_at_the_configured_rate():
    selection = Selection(TOPICS, shrink, replace(CONFIG, keyframes=KeyframeConfig(check_hz=5)))
    for step in range(60):
        for message in frame(step / 30):
            list(selection(message))
    assert selection.counts.frames == 60 and 9 <= selection.counts.compared <= 11


def test_keyframes_are_chosen_in_another_way_from_now_on():
    selection = Selection(TOPICS, shrink, CONFIG)

    def kept(*messages):
        return [item for message in messages for item in selection(message)]

    kept(*frame(0))
    selection.choose_by(replace(CONFIG.keyframes, gray_step=250.0))
    assert kept(*frame(1, 200), *frame(2, 200)) == []
    selection.choose_by(CONFIG.keyframes)
    assert len(kept(*frame(3, 200))) == 3
    selection.choose_by(replace(CONFIG.keyframes, check_hz=0.001))
    assert kept(*frame(4, 0), *frame(5, 0)) == [] and selection.counts.compared == 4


def test_what_cannot_be_read_or_has_no_info_is_counted_and_the_next_is_kept(select):
    assert select(*frame(0)[1:]) == []
    assert select(*frame(1, level=255)) == []
    good = frame(2)
    assert sorted(select(*good)) == sorted(good)
    assert (select.counts.without_info, select.counts.unreadable, select.counts.reason) == (1, 1, "unreadable")


def test_without_keyframes_everything_is_kept_in_order():
    selection = Selection(TOPICS, shrink, replace(CONFIG, keyframes_only=False))
    messages = [*frame(0), *frame(1), stamped(TF, 0, b"", at(1)), text("pick", at(2)), stamped(POSES, at(1))]
    assert [kept for message in messages for kept in selection(message)] == messages
    assert list(selection(text("x", 0)._replace(topic="/unknown"))) == []


def test_a_camera_that_is_restarted_with_an_older_clock_goes_on(select):
    select(*frame(1000))
    assert select(*frame(0, 200, delay_s=0)) == []
    assert len(select(*frame(0.1, 200))) == 3


def test_a_camera_without_depth_has_keyframes_too():
    topics = {name: topic for name, topic in TOPICS.items() if topic is not DEPTH}
    selection = Selection(topics, shrink, CONFIG)
    kept = [item for message in frame(0) for item in selection(message)]
    assert [item.topic for item in kept] == [INFO.name, COLOR.name] and OUTCOME.name in topics


def test_transforms_that_wait_for_a_keyframe_are_bounded_also_when_the_clock_is_set_back():
    selection = Selection(TOPICS, shrink, CONFIG)
    for seconds in (1000, *np.arange(0, 50, 0.1)):
        assert list(selection(stamped(TF, 0, b"tf", at(seconds)))) == []
    assert len(selection._context) <= 11
