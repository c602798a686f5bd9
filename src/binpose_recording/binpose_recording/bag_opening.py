"""Opening a file of a bag, whatever its storage."""

import tempfile
import weakref
from pathlib import Path

import zstandard

from binpose_core.base.errors import BadFile
from binpose_recording.bag_file import BagFile, Described, Source
from binpose_recording.mcap_file import McapFile
from binpose_recording.mcap_index import is_sound
from binpose_recording.segment import SUFFIX
from binpose_recording.sqlite_file import SqliteFile
from binpose_recording.sqlite_pages import MAGIC

SQLITE_SUFFIX, COMPRESSED = ".db3", ".zstd"
_STEP = 1 << 20


def open_file(path: Path, described: list[Described] | None = None) -> BagFile:
    """A file of a bag, read as far as it is whole; what it is says its first bytes, or its name where they are damaged.

    Args:
        path: the file.
        described: topics in the metadata of the bag, for those whose description in the file is damaged.

    Raises:
        BinposeError: for a file that cannot be opened, is empty, or holds no message and no sound index.
    """
    try:
        file = _opened(path, described)
    except OSError as error:
        raise BadFile(
            f"{path} cannot be read ({error.strerror or error}); expected a file of a bag; check its permissions.", path
        ) from error
    if not file.counts and not file.is_whole:
        size = path.stat().st_size
        problem = "holds no message that can be read" if size else "is empty"
        raise BadFile(
            f"{path} ({size} bytes) {problem}; expected MCAP or SQLite "
            "as ROS 2 records them; copy it again, or record again.",
            path,
        )
    return file


def has_index(path: Path) -> bool:
    """Whether a file has the index that its storage gives it; only of MCAP this is known without reading all of it."""
    if not path.name.endswith(SUFFIX):
        return True
    source = Source(path)
    try:
        return is_sound(source)
    finally:
        source.close()


def _opened(path: Path, described: list[Described] | None) -> BagFile:
    if path.name.endswith(COMPRESSED):
        return _decompressed(path, described)
    source = Source(path)
    first = source.read(0, len(MAGIC))
    source.close()
    if first == MAGIC or (path.name.endswith(SQLITE_SUFFIX) and not first.startswith(b"\x89MCAP")):
        return SqliteFile(path, described)
    if not first.startswith(b"\x89MCAP") and SUFFIX not in path.name:
        raise BadFile(f"{path} is neither MCAP nor SQLite; expected a file of a bag; check the path.", path)
    return McapFile(path, described)


def _decompressed(path: Path, described: list[Described] | None) -> BagFile:
    """A file that was compressed as a whole, in a temporary folder that goes with it."""
    folder = tempfile.TemporaryDirectory(prefix="binpose_bag_")
    target = Path(folder.name) / path.name.removesuffix(COMPRESSED)
    try:
        with path.open("rb") as stream, target.open("wb") as out:
            reader = zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True)
            while part := reader.read(_STEP):
                out.write(part)
    except zstandard.ZstdError:
        pass  # What was decompressed so far is read like any other damaged file.
    file = _opened(target, described)
    weakref.finalize(file, folder.cleanup)
    return file
