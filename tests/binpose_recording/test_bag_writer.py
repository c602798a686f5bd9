import numpy as np
import pytest
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader
from ruamel.yaml import YAML

from binpose_core.base.errors import BinposeError
from binpose_recording.bag_writer import BagWriter, write_bag
from binpose_recording.config import BagConfig
from binpose_recording.definitions import Definitions

from .conftest import COLOR, OUTCOME, POSES, SECOND, START_NS, TF_STATIC, stamped, text


@pytest.fixture
def sent(rng):
    """Messages of three topics, some seconds of them."""
    messages = [(text(f"pick {step}", START_NS + step * SECOND // 4), OUTCOME) for step in range(40)]
    for step in range(40):
        payload = rng.bytes(int(rng.integers(10, 60_000)))
        messages.append((stamped(COLOR, START_NS + step * SECOND // 4 + 1, payload), COLOR))
        messages.append((stamped(POSES, START_NS + step * SECOND // 4 + 2, payload[:100]), POSES))
    return sorted(messages, key=lambda item: item[0].stamp_ns)


def read(bag):
    with Reader(bag) as reader:
        return [(connection.topic, stamp_ns, bytes(data)) for connection, stamp_ns, data in reader.messages()]


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
@pytest.mark.parametrize("segment_mb", [0.2, 100.0])
def test_what_is_read_is_what_was_written(sent, tmp_path, compression, segment_mb):
    bag = tmp_path / "bag"
    assert write_bag(bag, sent, BagConfig(segment_mb=segment_mb, compression=compression)) == len(sent)
    assert read(bag) == [tuple(message) for message, _ in sent]
    for path in bag.glob("*.mcap"):
        with path.open("rb") as stream:
            reader = make_reader(stream, validate_crcs=True)
            assert reader.get_header().profile == "ros2"
            assert sum(1 for _ in reader.iter_messages()) == reader.get_summary().statistics.message_count


def test_a_full_segment_is_closed_and_the_metadata_tell_all_of_them(sent, tmp_path):
    bag = tmp_path / "bag"
    write_bag(bag, sent, BagConfig(segment_mb=0.2, compression="none"))
    info = YAML(typ="safe").load(bag / "metadata.yaml")["rosbag2_bagfile_information"]
    paths = [bag / name for name in info["relative_file_paths"]]
    assert len(paths) > 4 and sorted(paths) == sorted(bag.glob("*.mcap"))
    assert all(path.stat().st_size < 0.2e6 + 0.1e6 for path in paths)
    assert info["message_count"] == len(sent) == sum(file["message_count"] for file in info["files"])
    assert info["starting_time"]["nanoseconds_since_epoch"] == sent[0][0].stamp_ns
    assert info["duration"]["nanoseconds"] == sent[-1][0].stamp_ns - sent[0][0].stamp_ns


def test_a_segment_lasts_no_longer_than_it_may(sent, tmp_path):
    bag = tmp_path / "bag"
    write_bag(bag, sent, BagConfig(segment_s=2.0))
    info = YAML(typ="safe").load(bag / "metadata.yaml")["rosbag2_bagfile_information"]
    assert len(info["files"]) == 5
    assert all(file["duration"]["nanoseconds"] < 2 * SECOND for file in info["files"])


def test_every_segment_begins_with_the_last_latched_message(sent, tmp_path):
    bag, first, second = tmp_path / "bag", text("old", START_NS, TF_STATIC), text("new", START_NS, TF_STATIC)
    write_bag(bag, [(first, TF_STATIC), (second, TF_STATIC), *sent], BagConfig(segment_s=2.0))
    paths = sorted(bag.glob("*.mcap"))
    for path in paths[1:]:
        topic, stamp_ns, data = read(path)[0]
        assert (topic, data) == (TF_STATIC.name, second.data)
        assert stamp_ns == min(item[1] for item in read(path))
    assert len(paths) == 5


def test_types_and_quality_of_service_are_told_as_ros_tells_them(sent, tmp_path):
    bag = tmp_path / "bag"
    write_bag(bag, [(text("latched", START_NS, TF_STATIC), TF_STATIC), *sent])
    with AnyReader([bag]) as reader:
        told = {item.topic: item for item in reader.connections}
        message = reader.deserialize(next(reader.messages([told[OUTCOME.name]]))[2], OUTCOME.type)
        assert message.data == "pick 0"  # By the definition inside the bag.
    for topic in (TF_STATIC, COLOR, OUTCOME, POSES):
        assert told[topic.name].msgtype == topic.type
        assert told[topic.name].ext.offered_qos_profiles == list(topic.qos)
    assert told[OUTCOME.name].digest == Definitions([])(OUTCOME.type).digest
    assert told[OUTCOME.name].digest.startswith("RIHS01_")


def test_while_it_is_written_nothing_that_is_called_a_bag_is_unfinished(tmp_path, sent):
    bag, seen = BagWriter(tmp_path / "bag", BagConfig(segment_mb=0.2, compression="none")), []
    for message, topic in sent:
        bag.write(message, topic)
        assert len(list(bag.directory.glob("*.mcap.active"))) == 1
        done = sorted(bag.directory.glob("*.mcap"))
        if done != seen:
            assert len(read(bag.directory)) == sum(len(read(path)) for path in done)
        seen = done
    bag.close()
    assert len(seen) > 3
    assert not list(bag.directory.glob("*.active"))


def test_a_folder_that_is_there_is_not_touched(tmp_path, sent):
    write_bag(tmp_path / "bag", sent[:3])
    with pytest.raises(BinposeError, match="is there already"):
        write_bag(tmp_path / "bag", sent)
    assert len(read(tmp_path / "bag")) == 3


def test_a_bag_without_messages_leaves_nothing(tmp_path):
    assert write_bag(tmp_path / "bag", []) == 0
    assert not (tmp_path / "bag").exists()


def test_stamps_that_go_backwards_are_kept(tmp_path):
    messages = [text(str(step), START_NS - step * SECOND) for step in range(10)]
    write_bag(tmp_path / "bag", [(message, OUTCOME) for message in messages], BagConfig(segment_s=100))
    assert sorted(read(tmp_path / "bag")) == sorted(map(tuple, messages))
    assert np.all(np.diff([item[1] for item in read(tmp_path / "bag")]) > 0)
