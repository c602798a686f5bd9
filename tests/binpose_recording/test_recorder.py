import errno
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from rosbags.rosbag2 import Reader

from binpose_core.base.errors import BinposeError
from binpose_recording.config import BagConfig, KeyframeConfig, RecorderConfig
from binpose_recording.keyframes import Thumbnail
from binpose_recording.quota import used_bytes
from binpose_recording.recorder import Recorder
from binpose_recording.recovery import recover_recordings

from .conftest import COLOR, DEPTH, INFO, OUTCOME, SECOND, START_NS, TF_STATIC, TOPICS, stamped, text


def shrink(color, depth):
    """A picture with a square whose grey level is the first byte after the header."""
    gray = np.full((48, 64), 100, np.uint8)
    gray[10:20, 10:20] = color.data[16]
    return Thumbnail.of(gray, np.full((48, 64), 0.7, np.float32))


def settings(root, **more):
    return RecorderConfig(root, min_free_gb=0.0, keyframes=KeyframeConfig(check_hz=1e6), **more)


@pytest.fixture
def recorder(tmp_path):
    made = Recorder(TOPICS.values(), settings(tmp_path / "rec"), shrink)
    yield made
    made.stop()


def contents(bag):
    with Reader(bag) as reader:
        return [(connection.topic, bytes(data)) for connection, _, data in reader.messages()]


def give(recorder, *messages):
    for message in messages:
        recorder.add(*message)


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def frame(index, level=0, payload=b""):
    stamp_ns = START_NS + index * SECOND // 10
    data = bytes([level]) + payload
    return [stamped(topic, stamp_ns, data) for topic in (INFO, COLOR, DEPTH)]


def test_a_recording_holds_the_keyframes_and_every_event(recorder):
    bag = recorder.start()
    for index in range(30):
        give(recorder, *frame(index, level=50 * (index // 10)), text(f"pick {index}", START_NS + index * SECOND // 10))
    status = recorder.stop()
    found = contents(bag)
    kept = [data for topic, data in found if topic == COLOR.name]
    assert kept == [frame(index, level)[1].data for index, level in ((0, 0), (11, 50), (21, 100))]
    assert [topic for topic, _ in found].count(OUTCOME.name) == 30
    assert (status.frames.frames, status.frames.keyframes) == (30, 3)
    assert status.messages == len(found) == 39 and not status.is_recording and not status.reason


def test_messages_are_on_the_disk_within_a_second_also_when_no_more_come(recorder, tmp_path):
    bag = recorder.start()
    give(recorder, text("the last one", START_NS))
    until(lambda: recorder.status.messages == 1 and recorder.status.unsynced_s == 0.0, seconds=1.0)
    copy = tmp_path / "copy"
    copy.mkdir()
    (path,) = bag.glob("*.active")
    (copy / path.name).write_bytes(path.read_bytes())  # What a power cut would leave.
    recover_recordings(tmp_path)
    assert contents(copy) == [(OUTCOME.name, text("the last one", 0).data)]


def test_a_late_recording_knows_the_static_transforms(recorder):
    give(recorder, text("static", START_NS, TF_STATIC))
    bag = recorder.start()
    give(recorder, text("pick", START_NS + 1))
    recorder.stop()
    assert [topic for topic, _ in contents(bag)] == [TF_STATIC.name, OUTCOME.name]


def test_a_snapshot_holds_the_last_seconds_of_everything_also_while_nothing_is_recorded(recorder):
    give(recorder, text("static", START_NS, TF_STATIC))
    sent = [message for index in range(200) for message in frame(index)]
    give(recorder, *sent)
    bag = recorder.snapshot()
    found = contents(bag)
    seconds = recorder.config.snapshot_s
    last = [message for message in sent if message.stamp_ns >= sent[-1].stamp_ns - seconds * SECOND]
    assert found[0] == (TF_STATIC.name, text("static", 0, TF_STATIC).data)
    assert sorted(found[1:]) == sorted((message.topic, message.data) for message in last)
    assert bag.name.startswith("snapshot_") and recorder.snapshot() != bag


def test_a_snapshot_of_nothing_is_refused(recorder):
    with pytest.raises(BinposeError, match="No message has come yet"):
        recorder.snapshot()


def test_it_can_be_started_and_stopped_at_any_time(recorder):
    assert recorder.stop().bag is None
    first = recorder.start()
    assert recorder.start() == first  # It is recording already.
    give(recorder, text("one", START_NS))
    recorder.stop()
    second = recorder.start()
    give(recorder, text("two", START_NS))
    recorder.stop()
    assert first != second
    assert [contents(bag) for bag in (first, second)] == [
        [(OUTCOME.name, text(word, 0).data)] for word in ("one", "two")
    ]


def test_messages_may_come_from_many_threads(recorder):
    bag = recorder.start()
    threads = [
        threading.Thread(
            target=lambda name=name: [give(recorder, text(f"{name} {i}", START_NS + i)) for i in range(100)]
        )
        for name in "abcd"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorder.stop().messages == 400
    words = [data.split(b"\0")[-2][-5:] for _, data in contents(bag)]
    assert len(words) == 400


def test_the_next_start_finishes_what_was_left(tmp_path, recorder):
    bag = recorder.start()
    give(recorder, text("one", START_NS))
    until(lambda: recorder.status.messages == 1 and recorder.status.unsynced_s == 0.0)
    left = tmp_path / "rec" / "recording_0"
    left.mkdir()
    (left / "recording_0_0.mcap.active").write_bytes(next(bag.glob("*.active")).read_bytes())
    other = Recorder(TOPICS.values(), settings(tmp_path / "rec"), shrink)
    other.start()
    other.stop()
    assert contents(left) == [(OUTCOME.name, text("one", 0).data)]
    assert list(bag.glob("*.active"))  # That of the living one stays.


def test_nonsense_on_a_topic_is_counted_and_nothing_else(recorder):
    bag = recorder.start()
    give(recorder, stamped(COLOR, START_NS)._replace(data=b"\0"), *frame(1), text("pick", START_NS))
    recorder.add("/unknown", START_NS, b"")
    status = recorder.stop()
    assert status.frames.unreadable == 1 and "without a header" in status.frames.reason
    assert len(contents(bag)) == 4 and not status.reason


def test_frames_without_camera_info_are_counted(recorder):
    recorder.start()
    give(recorder, *frame(0)[1:])
    assert recorder.stop().frames.without_info == 1


@contextmanager
def small_disk(folder, size_mb):
    """A disk of its own at a folder, where mounting is permitted."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def noise(index, rng, size=100_000):
    return text("x", START_NS + index)._replace(data=b"\0\1\0\0" + rng.bytes(size))


def fill(recorder, rng):
    """Send until the recorder stops by itself; returns what was sent."""
    sent = []
    while recorder.status.is_recording and len(sent) < 400:
        sent.append(noise(len(sent), rng))
        give(recorder, sent[-1])
        time.sleep(0.002)
    until(lambda: not recorder.status.is_recording)
    return [message.data for message in sent]


def test_a_full_disk_stops_the_recording_with_a_reason_and_what_was_recorded_is_kept(tmp_path, rng):
    with small_disk(tmp_path / "disk", 8):
        recorder = Recorder(TOPICS.values(), settings(tmp_path / "disk", bag=BagConfig(segment_mb=3)), shrink)
        bag = recorder.start()
        sent = fill(recorder, rng)
        assert "is full" in recorder.status.reason
        assert "is full" in recorder.stop().reason
        give(recorder, noise(0, rng))  # The node goes on.
        kept = [data for _, data in contents(bag)]
        assert kept == sent[: len(kept)] and len(kept) >= 40
        # When there is room again, recording goes on and the rest is saved.
        for path in sorted(bag.glob("*.mcap"))[:1]:
            path.unlink()
        recorder.start()
        give(recorder, noise(1, rng, 1000))
        assert recorder.stop().reason == ""
        assert not list(bag.glob("*.active"))
        rest = [data for _, data in contents(bag)]
        first = sent.index(rest[0])
        assert rest == sent[first : first + len(rest)] and first + len(rest) > len(kept)


@pytest.mark.parametrize(("number", "words"), [(errno.EIO, "Input/output error"), (errno.ENOSPC, "is full")])
def test_a_disk_that_refuses_a_write_stops_the_recording_and_raises_nowhere(tmp_path, rng, monkeypatch, number, words):
    told = []
    recorder = Recorder(TOPICS.values(), settings(tmp_path / "rec"), shrink, on_stop=told.append)
    recorder.start()
    give(recorder, noise(0, rng))
    until(lambda: recorder.status.messages == 1)
    assert not told

    def refuse(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fsync", refuse)
    give(recorder, noise(1, rng))
    until(lambda: not recorder.status.is_recording)
    assert words in recorder.status.reason
    give(recorder, noise(2, rng))  # It stays stopped, and says so once.
    until(lambda: told)
    assert told == [recorder.status.reason] and not recorder.status.is_recording
    monkeypatch.undo()
    recorder.start()
    assert recorder.status.is_recording and not recorder.status.reason and not recorder.stop().reason
    assert len(told) == 1


FULL_DISK = """
import logging, os, resource, signal, sys, time
from pathlib import Path
from binpose_recording.config import RecorderConfig, Role
from binpose_recording.messages import Topic
from binpose_recording.recorder import Recorder
logging.basicConfig(format="%(levelname)s %(message)s")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
topic = Topic("/pick_outcome", "std_msgs/msg/String", Role.EVENT)
recorder = Recorder([topic], RecorderConfig(Path(sys.argv[1]), min_free_gb=0.0))
recorder.start()
number = 0
while recorder.status.is_recording and number < 2000:
    recorder.add(topic.name, 1_700_000_000_000_000_000 + number, os.urandom(20_000))
    number += 1
    time.sleep(0.005)
status = recorder.stop()
print(status.messages, status.reason)
"""


def test_a_full_disk_is_logged_once(tmp_path):
    """The limit of a process for the size of its files stands for the disk."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.count("is full") == 1 and done.stderr.startswith("ERROR The disk of")
    assert "is full" in done.stdout
    recover_recordings(tmp_path)
    (bag,) = tmp_path.iterdir()
    assert 10 <= len(contents(bag)) <= int(done.stdout.split()[0])


def test_the_quota_is_kept_by_removing_the_oldest(tmp_path, rng):
    quota_gb = 0.003
    config = settings(tmp_path / "rec", quota_gb=quota_gb, bag=BagConfig(segment_mb=0.5))
    recorder = Recorder(TOPICS.values(), config, shrink)
    bag = recorder.start()
    sent = []
    for index in range(100):
        sent.append(noise(index, rng))
        give(recorder, sent[-1])
        time.sleep(0.005)
        assert used_bytes(tmp_path / "rec") <= quota_gb * 1e9
    assert recorder.stop().reason == ""
    kept = [data for _, data in contents(bag)]
    assert kept == [message.data for message in sent][-len(kept) :] and 15 <= len(kept) < 35


def test_without_anything_to_remove_the_quota_stops_the_recording(tmp_path, rng):
    config = settings(tmp_path / "rec", quota_gb=0.003, snapshot_mb=2.2, bag=BagConfig(segment_mb=0.5))
    recorder = Recorder(TOPICS.values(), config, shrink)
    give(recorder, *(noise(index, rng) for index in range(22)))
    recorder.snapshot()
    bag = recorder.start()
    (bag / "protected").touch()
    fill(recorder, rng)
    assert "quota_gb" in recorder.status.reason
    assert contents(bag)


def test_what_comes_faster_than_the_disk_takes_is_counted(tmp_path, monkeypatch):
    recorder = Recorder(TOPICS.values(), settings(tmp_path / "rec", queue_mb=0.001), shrink)
    recorder.start()
    give(recorder, *(text("x" * 400, START_NS + index) for index in range(2000)))
    status = recorder.stop()
    assert status.dropped > 0 and status.dropped + status.messages == 2000
