"""Whatever happened to a bag: no raw error, and every message whose bytes were not touched."""

import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from binpose_core.base.errors import BinposeError
from binpose_recording.bag_file import plain_data
from binpose_recording.bag_opening import open_file
from binpose_recording.bag_reader import Bag
from binpose_recording.bag_writer import write_bag
from binpose_recording.cdr import standard_types
from binpose_recording.config import BagConfig
from binpose_recording.recovery import repair_bag

from .conftest import COLOR, OUTCOME, START_NS, stamped, text

COUNT, SIZE = 60, 20_000


def sent():
    rng = np.random.default_rng(0)
    return [stamped(COLOR, START_NS + step, rng.bytes(SIZE)) for step in range(COUNT)]


def ours(path, messages, compression):
    write_bag(path, [(message, COLOR) for message in messages], BagConfig(compression=compression))


def rosbags(path, messages, plugin, mode=CompressionMode.NONE):
    writer = Writer(path, version=9, storage_plugin=plugin)
    if mode is not CompressionMode.NONE:
        writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection(COLOR.name, COLOR.type, typestore=standard_types())
        for message in messages:
            writer.write(connection, message.stamp_ns, message.data)


def outside_of_chunks(path, messages):
    path.mkdir()
    with (path / "bag.mcap").open("wb") as stream:
        writer = McapWriter(stream, compression=CompressionType.NONE, use_chunking=False)
        writer.start("ros2", "test")
        channel = writer.register_channel(COLOR.name, "cdr", writer.register_schema(COLOR.type, "ros2msg", b""))
        for message in messages:
            writer.add_message(channel, message.stamp_ns, message.data, message.stamp_ns)
        writer.finish()


RECORDERS = {
    "zstd": lambda path, messages: ours(path, messages, "zstd"),
    "lz4": lambda path, messages: ours(path, messages, "lz4"),
    "none": lambda path, messages: ours(path, messages, "none"),
    "rosbags mcap": lambda path, messages: rosbags(path, messages, StoragePlugin.MCAP),
    "rosbags sqlite": lambda path, messages: rosbags(path, messages, StoragePlugin.SQLITE3),
    "outside of chunks": outside_of_chunks,
}
CHECKED = ("zstd", "lz4", "none")  # With checksums.


@pytest.fixture(params=RECORDERS)
def bag(request, tmp_path):
    path = tmp_path / "bag"
    RECORDERS[request.param](path, sent())
    return path, request.param


def file_of(bag):
    return next(path for path in bag.iterdir() if path.suffix in (".mcap", ".db3"))


def read(bag):
    """The messages that can be read, and what the bag says of the others; nothing where it is refused."""
    try:
        found = Bag(bag)
        messages = [data for _, data in found.messages([COLOR.name])]
    except BinposeError as error:
        assert "\n" not in str(error)
        return [], [str(error)]
    return messages, found.notes


def touched(data, rng, kind):
    """Damaged data, where the damage begins, and how many messages it touches at most."""
    place = int(rng.integers(len(data)))
    if rng.random() < 0.3:  # What holds the rest together lies at both ends.
        place = min(place, len(data) - place - 1) // 100 if rng.random() < 0.5 else len(data) - 1 - place // 100
    if kind == "cut":
        return data[:place], place
    if kind == "page":
        place -= place % 4096
        return data[:place] + bytes(min(4096, len(data) - place)) + data[place + 4096 :], place
    return data[:place] + bytes([data[place] ^ 1 << int(rng.integers(8))]) + data[place + 1 :], place


@pytest.mark.parametrize("kind", ["cut", "bit", "page"])
def test_what_was_not_touched_is_read(bag, kind):
    path, recorder = bag
    file, messages = file_of(path), [message.data for message in sent()]
    data, rng = file.read_bytes(), np.random.default_rng([len(recorder), len(kind)])
    for _ in range(15):
        content, place = touched(data, rng, kind)
        file.write_bytes(content)
        kept, notes = read(path)
        right = [message for message in kept if message in messages]
        expected = int(place / len(data) * COUNT) - 2 if kind == "cut" else COUNT - (8 if "sqlite" in recorder else 2)
        assert len(right) >= expected, (place, len(right), notes)
        if recorder in CHECKED:
            assert right == kept  # Nothing that was altered passes.
            assert len(kept) == COUNT or notes


@pytest.mark.parametrize("kind", ["cut", "bit", "page"])
def test_a_repaired_bag_is_whole_and_holds_what_could_be_read(bag, kind):
    path, recorder = bag
    file = file_of(path)
    data, rng = file.read_bytes(), np.random.default_rng([len(recorder), len(kind), 1])
    for number in range(3):
        content, _ = touched(data, rng, kind)
        file.write_bytes(content)
        before, _ = read(path)
        if not before:
            continue
        recoveries = repair_bag(path)
        after, notes = read(path)
        assert after == before and not notes
        assert repair_bag(path) == []
        for recovery in recoveries:
            assert recovery.messages == len(after) and recovery.kept.read_bytes() == content, number


@pytest.mark.parametrize("size", [0, 1, 8, 37, 4096])
@pytest.mark.parametrize("suffix", [".mcap", ".db3"])
@pytest.mark.parametrize("fill", [b"\0", b"\xff", b"\x89MCAP0\r\n", b"SQLite format 3\0"])
def test_what_holds_no_message_is_refused_in_one_sentence(tmp_path, size, suffix, fill):
    path = tmp_path / f"bag{suffix}"
    path.write_bytes((fill * size)[:size])
    with pytest.raises(BinposeError, match=r"is empty|holds no message") as caught:
        Bag(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("garbage", [b"\0" * 5000, b"garbage" * 99])
def test_bytes_behind_the_end_are_no_loss(bag, garbage):
    path, _ = bag
    file = file_of(path)
    file.write_bytes(file.read_bytes() + garbage)
    kept, _ = read(path)
    assert kept == [message.data for message in sent()]


@pytest.mark.parametrize("content", ["", "{", "rosbag2_bagfile_information: 3", "a: [b", "\0\0", None])
def test_metadata_that_are_missing_or_damaged_are_not_needed(bag, content):
    path, _ = bag
    if content is None:
        (path / "metadata.yaml").unlink(missing_ok=True)
    else:
        (path / "metadata.yaml").write_text(content)
    kept, notes = read(path)
    assert len(kept) == COUNT and not notes
    repair_bag(path)
    assert read(path) == (kept, ())
    assert f"message_count: {COUNT}" in (path / "metadata.yaml").read_text()


def test_a_file_that_the_metadata_name_and_that_is_gone_is_noted(tmp_path):
    ours(tmp_path / "bag", sent(), "none")
    text_ = (tmp_path / "bag" / "metadata.yaml").read_text()
    (tmp_path / "bag" / "metadata.yaml").write_text(text_.replace("- bag_0.mcap", "- bag_0.mcap\n  - bag_1.mcap"))
    kept, notes = read(tmp_path / "bag")
    assert len(kept) == COUNT and "names bag_1.mcap, which the bag does not have" in notes[0]


def test_a_file_without_any_message_does_not_hide_the_others(tmp_path):
    write_bag(tmp_path / "bag", [(message, COLOR) for message in sent()], BagConfig(segment_mb=0.3))
    files = sorted((tmp_path / "bag").glob("*.mcap"))
    files[1].write_bytes(b"")
    kept, notes = read(tmp_path / "bag")
    assert 0 < len(kept) < COUNT and "is empty" in notes[0]
    found = repair_bag(tmp_path / "bag")
    assert [item.path for item in found] == [None]
    assert read(tmp_path / "bag") == (kept, ())


def test_the_loss_is_counted(tmp_path):
    ours(tmp_path / "bag", sent(), "zstd")
    file = file_of(tmp_path / "bag")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    bag = Bag(tmp_path / "bag")
    assert not bag.notes  # It is known when it is read.
    bag.check()
    assert bag.loss.messages == {COLOR.name: 1} and bag.loss.size == pytest.approx(SIZE, rel=0.1)
    assert bag.counts == {COLOR.name: COUNT - 1}
    assert f"1 message ({bag.loss.size} bytes): 1 of {COLOR.name}" in bag.notes[0]


def test_topics_that_a_damage_took_the_names_of_are_known_by_their_messages(tmp_path):
    rosbags(tmp_path / "bag", sent(), StoragePlugin.SQLITE3)
    file = file_of(tmp_path / "bag")
    data = file.read_bytes().replace(COLOR.name.encode(), b"\xff" * len(COLOR.name))
    file.write_bytes(data)
    assert sum(Bag(tmp_path / "bag").counts.values()) == COUNT


SQLITE_KILLED = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute("PRAGMA journal_mode=WAL")
database.execute("PRAGMA wal_autocheckpoint=0")
for step in range(5):
    row = (1, 1_800_000_000_000_000_000 + step, bytes(100) + bytes([step]))
    database.execute("INSERT INTO messages(topic_id, timestamp, data) VALUES(?, ?, ?)", row)
    database.commit()
os._exit(9)
"""


def test_what_a_killed_recorder_left_beside_an_sqlite_file_is_merged(tmp_path):
    rosbags(tmp_path / "bag", sent(), StoragePlugin.SQLITE3)
    file = file_of(tmp_path / "bag")
    subprocess.run([sys.executable, "-c", SQLITE_KILLED, str(file)], check=False)
    assert file.with_name(file.name + "-wal").stat().st_size
    assert len(read(tmp_path / "bag")[0]) == COUNT + 5
    (recovery,) = repair_bag(tmp_path / "bag")
    assert recovery.messages == COUNT + 5 and not list((tmp_path / "bag").glob("*-wal"))
    assert len(read(tmp_path / "bag")[0]) == COUNT + 5
    with sqlite3.connect(file) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("mode", [CompressionMode.MESSAGE, CompressionMode.FILE])
@pytest.mark.parametrize("plugin", list(StoragePlugin))
def test_bags_with_a_compression_of_their_own_are_read_without_their_metadata(tmp_path, mode, plugin):
    rosbags(tmp_path / "bag", sent(), plugin, mode)
    (tmp_path / "bag" / "metadata.yaml").unlink()
    assert read(tmp_path / "bag")[0] == [message.data for message in sent()]


def test_a_damaged_message_with_a_compression_of_its_own_is_left_out():
    assert plain_data(b"\x28\xb5\x2f\xfd rubbish") is None and plain_data(b"\0\1\0\0") == b"\0\1\0\0"


def test_messages_come_by_the_times_at_which_they_were_received_also_from_chunks_that_overlap(tmp_path):
    first = [(stamped(COLOR, START_NS + step, bytes(9000)), COLOR) for step in range(0, 40, 2)]
    second = [(text("x" * 9000, START_NS + step), OUTCOME) for step in range(1, 40, 2)]
    write_bag(tmp_path / "bag", [*first, *second], BagConfig(segment_s=100))
    stamps = [place.stamp_ns for place, _ in Bag(tmp_path / "bag").messages([COLOR.name, OUTCOME.name])]
    assert stamps == list(range(START_NS, START_NS + 40))


def test_many_files_are_not_open_at_once(tmp_path):
    for number in range(12):
        ours(tmp_path / f"part_{number}", sent()[:3], "none")
    files = [open_file(file_of(tmp_path / f"part_{number}")) for number in range(12)]
    for file in files:
        file.close()
    assert all(len(list(file.messages(file.topics))) == 3 for file in files)
