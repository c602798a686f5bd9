import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import Reader, StoragePlugin, Writer

from binpose_core.base.errors import BinposeError
from binpose_recording.bag_metadata import is_whole
from binpose_recording.bag_writer import BagWriter, write_bag
from binpose_recording.cdr import standard_types
from binpose_recording.config import BagConfig
from binpose_recording.recovery import recover_bag, recover_recordings, repair_bag

from .conftest import COLOR, OUTCOME, START_NS, stamped, text
from .recording_child import content


def contents(bag):
    with Reader(bag) as reader:
        return [bytes(data) for _, _, data in reader.messages()]


def unfinished(directory, messages, config=None, synced=10**9):
    """A bag as a killed recorder leaves it: `synced` messages were brought to the disk."""
    bag = BagWriter(directory, config)
    for count, message in enumerate(messages):
        bag.write(message, COLOR)
        if count + 1 == synced:
            bag.sync()
    if synced >= len(messages):
        bag.sync()
    bag.abandon()
    return next(directory.glob("*.active"))


@pytest.fixture
def messages(rng):
    return [stamped(COLOR, START_NS + step, rng.bytes(int(rng.integers(1, 3000)))) for step in range(200)]


def kill_after(seconds, directory, compression):
    """Record until SIGKILL; returns the times at which each message was handed over, and that of the kill."""
    arguments = [sys.executable, str(Path(__file__).with_name("recording_child.py")), str(directory), compression]
    child = subprocess.Popen(arguments, stdout=subprocess.PIPE)
    first = child.stdout.readline()
    time.sleep(seconds)
    killed = time.monotonic()
    child.send_signal(signal.SIGKILL)
    lines = [first, *child.stdout.read().split(b"\n")]
    child.wait()
    return [float(line.split()[1]) for line in lines if len(line.split()) == 2], killed


@pytest.mark.parametrize("seed", range(6))
def test_kill_9_takes_at_most_the_last_second_and_no_byte_of_the_rest(tmp_path, seed):
    seconds = float(np.random.default_rng(seed).uniform(0.6, 2.5))
    times, killed = kill_after(seconds, tmp_path, ("zstd", "none", "lz4")[seed % 3])
    recover_recordings(tmp_path)
    (bag,) = tmp_path.iterdir()
    assert not list(bag.glob("*.active"))
    kept = contents(bag)
    assert kept == [content(number) for number in range(len(kept))]  # A prefix, byte by byte.
    lost = times[len(kept) :]
    assert all(killed - handed_over <= 1.0 for handed_over in lost)
    assert len(kept) > 0.2 * len(times)


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_wherever_the_file_ends_what_was_whole_before_is_kept(tmp_path, messages, rng, compression):
    path = unfinished(tmp_path / "bag", messages, BagConfig(compression=compression))
    whole, counts = path.read_bytes(), []
    for size in sorted(int(size) for size in rng.integers(0, len(whole) + 1, 25)):
        bag = tmp_path / f"cut_{size}"
        bag.mkdir()
        (bag / path.name).write_bytes(whole[:size])
        (recovery,) = recover_bag(bag)
        kept = contents(bag) if recovery.path else []
        assert kept == [message.data for message in messages[: len(kept)]]
        assert recovery.messages == len(kept)
        counts.append(len(kept))
        assert bag.exists() == bool(kept)
    assert counts == sorted(counts)  # More of the file never gives fewer messages.


@pytest.mark.parametrize("tail", [b"", b"\x00" * 5000, b"\xff" * 5000, b"\x06" + b"\x00" * 40])
def test_what_was_synced_survives_any_rubbish_after_it(tmp_path, messages, tail):
    path = unfinished(tmp_path / "bag", messages, synced=120)
    synced = path.stat().st_size
    bag = BagWriter(tmp_path / "again")
    for message in messages[:120]:
        bag.write(message, COLOR)
    bag.sync()
    data = next(bag.directory.glob("*.active")).read_bytes()
    bag.close()
    assert len(data) <= synced
    path.write_bytes(data + tail)
    recover_bag(tmp_path / "bag")
    assert contents(tmp_path / "bag") == [message.data for message in messages[:120]]


def test_a_flipped_bit_loses_its_chunk_and_changes_no_message(tmp_path, rng):
    sent = [stamped(COLOR, START_NS + step, rng.bytes(400_000)) for step in range(12)]
    path = unfinished(tmp_path / "bag", sent, BagConfig(compression="none"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)
    (recovery,) = recover_bag(tmp_path / "bag")
    kept = contents(tmp_path / "bag")
    assert set(kept) < {message.data for message in sent} and len(kept) == 11
    assert recovery.loss.size > 400_000 and recovery.loss.messages == {COLOR.name: 1}


def test_the_file_of_a_living_recorder_is_left_alone(tmp_path, messages):
    with BagWriter(tmp_path / "bag") as bag:
        for message in messages:
            bag.write(message, COLOR)
        bag.sync()
        assert recover_recordings(tmp_path) == []
        with pytest.raises(BinposeError, match="being written"):
            repair_bag(next(bag.directory.glob("*.active")))
    assert contents(bag.directory) == [message.data for message in messages]


def test_recovery_that_was_interrupted_can_be_done_again(tmp_path, messages):
    path = unfinished(tmp_path / "bag", messages)
    shutil.copy(path, tmp_path / "copy")
    path.with_name(f".{path.name.removesuffix('.active')}.recovering").write_bytes(b"half of a file")
    recover_bag(tmp_path / "bag")
    # Killed between the new file and the removal of the old one.
    shutil.copy(tmp_path / "copy", path)
    recover_bag(tmp_path / "bag")
    assert contents(tmp_path / "bag") == [message.data for message in messages]
    assert sorted(item.name for item in (tmp_path / "bag").iterdir()) == ["bag_0.mcap", "metadata.yaml"]


def test_a_bag_of_another_recorder_that_lost_its_end_is_repaired_and_the_damaged_file_kept(tmp_path):
    sent = [text(f"pick {step} " * 5000, START_NS + step) for step in range(60)]
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(OUTCOME.name, OUTCOME.type, typestore=standard_types())
        for message in sent:
            writer.write(connection, message.stamp_ns, message.data)
    path = tmp_path / "bag" / "bag.mcap"
    (tmp_path / "bag" / "metadata.yaml").unlink()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    assert not is_whole(path)
    (recovery,) = repair_bag(tmp_path / "bag")
    kept = contents(tmp_path / "bag")
    assert kept == [message.data for message in sent[: len(kept)]] and len(kept) == recovery.messages > 20
    assert (path.parent / "bag.mcap.damaged").read_bytes() == whole[: len(whole) * 2 // 3]
    assert repair_bag(tmp_path / "bag") == []  # Nothing is left to do.


def test_a_channel_without_a_schema_is_no_damage(tmp_path):
    path = tmp_path / "plain.mcap"
    with path.open("wb") as stream:
        writer = McapWriter(stream)
        writer.start()
        channel = writer.register_channel("/plain", "json", schema_id=0)
        writer.add_message(channel, START_NS, b"{}", START_NS)
        writer.finish()
    assert is_whole(path)


def test_what_is_no_mcap_file_is_refused_and_left(tmp_path, messages):
    write_bag(tmp_path / "bag", [(message, COLOR) for message in messages])
    with pytest.raises(BinposeError, match="no file of a bag"):
        repair_bag(tmp_path / "bag" / "metadata.yaml")
    assert repair_bag(tmp_path / "bag") == []


def test_a_bag_whose_recorder_died_between_a_file_and_its_metadata_is_finished(tmp_path, messages):
    bag = tmp_path / "recording_1"
    write_bag(bag, [(message, COLOR) for message in messages], BagConfig(segment_mb=0.1))
    (bag / "metadata.yaml").unlink()
    write_bag(tmp_path / "mine", [(messages[0], COLOR)])
    (tmp_path / "mine" / "metadata.yaml").unlink()  # Not made by the recorder: left alone.
    recover_recordings(tmp_path)
    assert contents(bag) == [message.data for message in messages]
    assert not (tmp_path / "mine" / "metadata.yaml").exists()
