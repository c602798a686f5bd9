import shutil

import pytest
from rosbags.rosbag2 import Reader

from binpose_core.base.errors import BinposeError
from binpose_recording.bag_writer import write_bag
from binpose_recording.config import BagConfig
from binpose_recording.quota import PROTECTED, make_room, used_bytes

from .conftest import COLOR, START_NS, stamped


@pytest.fixture
def root(tmp_path, rng):
    """Three recordings of four segments of about 0.1 MB each, a snapshot and somebody else's bag."""
    for name in ("recording_1", "recording_2", "recording_3", "snapshot_1", "mine"):
        sent = [(stamped(COLOR, START_NS + step, rng.bytes(100_000)), COLOR) for step in range(4)]
        write_bag(tmp_path / name, sent, BagConfig(segment_mb=0.1, compression="none"))
    return tmp_path


def count(bag):
    with Reader(bag) as reader:
        return sum(1 for _ in reader.messages())


def test_nothing_is_removed_while_there_is_room(root):
    assert make_room(root, used_bytes(root), 0) == []


def test_the_oldest_segments_go_first_and_no_more_than_needed(root):
    removed = make_room(root, used_bytes(root) - 0.5e6, 0)
    assert [path.name for path in removed] == [*(f"recording_1_{step}.mcap" for step in range(4)), "recording_2_0.mcap"]
    assert not (root / "recording_1").exists()  # Nothing is left of it.
    assert count(root / "recording_2") == 3  # What is left is a bag.
    assert all(count(root / name) == 4 for name in ("recording_3", "snapshot_1", "mine"))


def test_protected_recordings_snapshots_and_what_others_made_stay_and_the_shortage_is_told(root):
    (root / "recording_2" / PROTECTED).touch()
    with pytest.raises(BinposeError, match="quota_gb"):
        make_room(root, 1e3, 0)
    assert sorted(path.name for path in root.iterdir()) == ["mine", "recording_2", "snapshot_1"]
    assert count(root / "recording_2") == 4


def test_damaged_files_count_too(root):
    before = used_bytes(root)
    (root / "recording_1" / "recording_1_9.mcap.damaged").write_bytes(bytes(12345))
    assert used_bytes(root) == before + 12345


def test_the_folder_of_the_recording_in_work_stays(root):
    with pytest.raises(BinposeError):
        make_room(root, 1e3, 0, bag=root / "recording_3")
    assert (root / "recording_3").is_dir()


def test_the_free_space_of_the_disk_is_kept(root):
    with pytest.raises(BinposeError, match="min_free_gb"):
        make_room(root, 1e12, shutil.disk_usage(root).free + 1e12)
    assert sorted(path.name for path in root.iterdir()) == ["mine", "snapshot_1"]
