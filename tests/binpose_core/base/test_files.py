"""A file is whole or absent, whatever happens while it is written."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.base.files import (
    read_json,
    remove_leftovers,
    to_json,
    write_atomically,
    write_bytes,
    write_json,
    write_text,
)

SOURCE = Path(__file__).resolve().parents[3] / "src" / "binpose_core"

# A full disk, without being root: the kernel refuses to let any file of this process grow beyond the limit.
FULL_DISK = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
from binpose_core.base.errors import BinposeError
from binpose_core.base.files import write_bytes
try:
    write_bytes(sys.argv[1], b"x" * 100_000)
except BinposeError as error:
    print(error)
"""

KILLED = """
import sys, time
from binpose_core.base.files import write_atomically
with write_atomically(sys.argv[1]) as temporary:
    temporary.write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=environment, stdout=subprocess.PIPE, text=True
    )


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_bytes(tmp_path / "new" / "folder" / "a.bin", b"\x00\xff")
    write_text(tmp_path / "a.txt", "8.5 µm", durable=False)
    assert (tmp_path / "new" / "folder" / "a.bin").read_bytes() == b"\x00\xff"
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "8.5 µm"


def test_until_the_block_ends_a_reader_sees_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with write_atomically(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_file_lies_beside_and_has_the_suffix(tmp_path: Path) -> None:
    with write_atomically(tmp_path / "a.png") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".png"
        temporary.touch()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, FileNotFoundError])
def test_an_error_leaves_everything_as_it_was(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), write_atomically(path) as temporary:
        temporary.write_text("ne")
        raise error(errno.ENOENT, "No such file", "elsewhere.ply")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_sentence_and_leaves_everything_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    process = start(FULL_DISK, str(path))
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert said.startswith(f"Could not write {path}: no space is left there")
    assert len(said.strip().splitlines()) == 1
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_is_swept_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    process = start(KILLED, str(path))
    assert process.stdout is not None
    process.stdout.readline()
    assert remove_leftovers(tmp_path) == []
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert path.read_text() == "old"
    assert len(remove_leftovers(tmp_path)) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_beside_many_writers_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, ["0"] * 2000)

    def keep_writing(letter: str) -> None:
        for _ in range(20):
            write_json(path, [letter] * 2000, durable=False)

    writers = [threading.Thread(target=keep_writing, args=(letter,)) for letter in "abc"]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        value = read_json(path)
        assert len(value) == 2000
        assert len(set(value)) == 1
        time.sleep(0.001)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["file/a.txt", "folder"])
def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "folder" / "full").mkdir(parents=True)
    with pytest.raises(BinposeError, match=f"Could not write {tmp_path / name}"):
        write_text(tmp_path / name, "x")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


def test_json_goes_round_and_takes_numpy(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"T": np.eye(2), "n": np.int64(3), "ok": np.bool_(True), "at": (Path("x/y"), None), 7: "seven"})
    expected = {"T": [[1.0, 0.0], [0.0, 1.0]], "n": 3, "ok": True, "at": ["x/y", None], "7": "seven"}
    assert read_json(path) == expected
    assert path.read_text() == to_json(expected)


def test_json_has_no_nan() -> None:
    assert json.loads(to_json({"auc": float("nan"), "all": np.array([1.0, np.inf])})) == {
        "auc": None,
        "all": [1.0, None],
    }


def test_json_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BinposeError, match=r"No file .*a\.json"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text('{"cut": ')
    with pytest.raises(BinposeError, match=r"a\.json is no valid JSON"):
        read_json(tmp_path / "a.json")
    (tmp_path / "b.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BinposeError, match=r"b\.json is no valid JSON"):
        read_json(tmp_path / "b.json")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks_are_understood(tmp_path, encoding):
    (tmp_path / "a.json").write_text('{"part": "Zähler"}', encoding=encoding)
    assert read_json(tmp_path / "a.json") == {"part": "Zähler"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[" * 200_000 + "]" * 200_000, "is nested too deeply"),
        ('{"a":' * 200_000 + "1" + "}" * 200_000, "is nested too deeply"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' stands there twice"),
        ('{"a": 1,}', "is no valid JSON"),
        ("[1, 2,]", "is no valid JSON"),
        ('{"a": 1 // note\n}', "is no valid JSON"),
        ('{"a": ' + "9" * 5000 + "}", "is no valid JSON"),
        ("", "is no valid JSON"),
    ],
)
def test_text_that_is_no_json_is_refused(tmp_path, text, sentence):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(BinposeError, match=sentence):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"\xfe\xff\x00", b"\x00\x01\x02", b"\xe9"])
def test_bytes_that_are_no_text_are_refused(tmp_path, data):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(BinposeError, match="is no valid JSON"):
        read_json(tmp_path / "a.json")
