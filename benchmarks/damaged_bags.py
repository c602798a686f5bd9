"""Frames recovered from damaged bags: random cuts, flipped bits and bytes and zeroed pages, by recorder and storage.

python benchmarks/damaged_bags.py [--tries 200] [--frames 38]
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import tyro
from mcap.reader import make_reader

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_recording.bag_frames import bag_frames
from binpose_recording.cdr import standard_types
from binpose_recording.config import BagConfig
from binpose_recording.frame_bag import DEFAULT_START_NS, frame_messages, write_frames
from common import heading, table

PAGE_BYTES = 4096
HEIGHT, WIDTH = 120, 160


@dataclass(frozen=True)
class Arguments:
    """tries: number of damages per kind of bag; frames: in each bag; seed: of the damages."""

    tries: int = 200
    frames: int = 38
    seed: int = 0


def frames(count: int) -> Iterator[RgbdFrame]:
    """Frames of noise, which are all different."""
    rng, camera = np.random.default_rng(0), Camera(200.0, 200.0, 79.5, 59.5, WIDTH, HEIGHT)
    for index in range(count):
        color = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        depth_m = rng.uniform(0.5, 0.9, (HEIGHT, WIDTH)).astype(np.float32)
        yield RgbdFrame(color, depth_m, camera, DEFAULT_START_NS + index * 100_000_000, "camera")


def by_binpose(path: Path, count: int) -> None:
    """A bag written by the recorder."""
    write_frames(path, frames(count), BagConfig())


def by_rosbags(path: Path, count: int, storage: str) -> None:
    """A bag written by the library rosbags: MCAP in chunks without compression or checksums, or SQLite."""
    from rosbags.rosbag2 import StoragePlugin, Writer

    with Writer(path, version=9, storage_plugin=StoragePlugin[storage]) as writer:
        topics = {}
        for frame in frames(count):
            for message, topic in frame_messages(frame):
                if topic.name not in topics:
                    topics[topic.name] = writer.add_connection(topic.name, topic.type, typestore=standard_types())
                writer.write(topics[topic.name], message.stamp_ns, message.data)


WRITERS: dict[str, Callable[[Path, int], None]] = {
    "binpose, MCAP zstd": by_binpose,
    "rosbags, MCAP": lambda path, count: by_rosbags(path, count, "MCAP"),
    "rosbags, SQLite": lambda path, count: by_rosbags(path, count, "SQLITE3"),
}


def damaged(data: bytes, kind: str, rng: np.random.Generator) -> tuple[bytes, int, int]:
    """Damaged data, the offset of the first damaged byte, and the offset after the last one."""
    place = int(rng.integers(len(data)))
    if kind == "cut":
        return data[:place], place, len(data)
    if kind == "page":
        place -= place % PAGE_BYTES
        end = min(place + PAGE_BYTES, len(data))
        return data[:place] + bytes(end - place) + data[end:], place, end
    changed = 1 << int(rng.integers(8)) if kind == "bit" else int(rng.integers(1, 256))
    return data[:place] + bytes([data[place] ^ changed]) + data[place + 1 :], place, place + 1


def extents(data: bytes, truth: dict[str, bytes]) -> dict[str, tuple[int, int]]:
    """Location of each frame in a file: its chunks, or the pages and records from its first to its last pixels."""
    if data.startswith(b"SQLite") or b"rosbags" in data[:64]:
        return {name: (_find(data, pixels, False), _find(data, pixels, True)) for name, pixels in truth.items()}
    summary = make_reader(BytesIO(data)).get_summary()
    assert summary is not None
    found: dict[str, tuple[int, int]] = {}
    for chunk in summary.chunk_indexes:
        for stamp_ns in {chunk.message_start_time, chunk.message_end_time}:
            name = f"{stamp_ns // 10**9}_{stamp_ns % 10**9:09d}"
            start, end = found.get(name, (len(data), 0))
            here = chunk.chunk_start_offset
            found[name] = (min(start, here), max(end, here + chunk.chunk_length))
    return found


def _find(data: bytes, pixels: bytes, last: bool) -> int:
    """Location of the first or the last pixels; the end of an SQLite page may split them."""
    for offset in range(0, 400, 40):
        part = pixels[len(pixels) - offset - 32 : len(pixels) - offset] if last else pixels[offset : offset + 32]
        if (place := data.find(part)) >= 0:
            return place + offset + 32 if last else place - offset
    raise AssertionError("the pixels are not in the file")


def read(bag: Path) -> tuple[dict[str, bytes], str]:
    """The readable frames by their names, and the error if there is none."""
    try:
        sources = bag_frames(bag).frames
    except BinposeError as error:
        return {}, str(error)
    found = {}
    for source in sources:
        try:
            frame = source.read()
        except BinposeError:
            continue
        depth = b"" if frame.depth_m is None else frame.depth_m.tobytes()
        found[source.name] = frame.color.tobytes() + depth
    return found, ""


def row(name: str, kind: str, tries: int, count: int, rng: np.random.Generator) -> list[str]:
    """Apply one kind of damage to a bag repeatedly."""
    with tempfile.TemporaryDirectory() as folder:
        bag = Path(folder) / "bag"
        WRITERS[name](bag, count)
        (path,) = [item for item in bag.iterdir() if item.name != "metadata.yaml"]
        data, truth = path.read_bytes(), read(bag)[0]
        places = extents(data, truth)
        intact = kept = raw = 0
        for _ in range(tries):
            content, first, last = damaged(data, kind, rng)
            path.write_bytes(content)
            try:
                found, _ = read(bag)
            except Exception:  # counted as a raw error
                found, raw = {}, raw + 1
            untouched = [item for item, (start, end) in places.items() if end <= first or start >= last]
            intact += len(untouched)
            kept += sum(found.get(item) == truth[item] for item in untouched)
    fraction = f"{100 * kept / intact:.2f} %" if intact else "-"
    return [name, kind, str(tries), str(intact), str(kept), fraction, str(raw)]


def main(arguments: Arguments) -> None:
    """Print the table."""
    rng = np.random.default_rng(arguments.seed)
    kinds = ("cut", "bit", "byte", "page")
    heading("Frames read of damaged bags")
    rows = [row(name, kind, arguments.tries // len(kinds), arguments.frames, rng) for name in WRITERS for kind in kinds]
    table(["bag", "damage", "tries", "intact frames", "of these read", "fraction", "raw errors"], rows)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
