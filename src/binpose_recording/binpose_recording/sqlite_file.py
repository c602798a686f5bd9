"""Reading an SQLite file of a bag as far as it is whole."""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from binpose_recording.bag_file import BagFile, Described, Loss, Source, StoredMessage, StoredTopic
from binpose_recording.lost_topics import is_possible
from binpose_recording.sqlite_pages import MAGIC, RESERVED
from binpose_recording.sqlite_salvage import SalvagedRows

SIDE_SUFFIXES = ("-wal", "-journal")
_COUNTS = "SELECT topic_id, count(*), min(timestamp), max(timestamp) FROM messages NOT INDEXED GROUP BY topic_id"
_FAILURES = (sqlite3.Error, ValueError, OverflowError, TypeError)
_COLUMNS = "id, topic_id, timestamp, data FROM messages NOT INDEXED"


class SqliteFile(BagFile):
    """An SQLite file of a bag: by SQLite as long as that reads it, and by its pages from where it does not.

    The messages come by their row numbers, the order in which they were written. The index of their times, which SQLite
    would believe without a check, is not used. SQLite keeps no checksums: a changed pixel goes unnoticed.
    """

    def __init__(self, path: Path, described: Sequence[Described] | None = None) -> None:
        super().__init__(path, described)
        self._rows: SalvagedRows | None = None
        self._database: sqlite3.Connection | None = None
        self._times: list[int] = []
        source = Source(path)
        head = source.read(0, 100)
        source.close()
        try:
            if not head.startswith(MAGIC) or head[20:21] not in RESERVED:
                raise ValueError("the header is damaged")
            self._load(self._connection)
        except _FAILURES:
            self._salvage()

    @property
    def side_files(self) -> list[Path]:
        """What a recorder that was killed left beside the file, which SQLite needs to read all of it."""
        found = [self.path.with_name(self.path.name + suffix) for suffix in SIDE_SUFFIXES]
        return [path for path in found if path.is_file() and path.stat().st_size]

    @property
    def times_ns(self) -> tuple[int, int] | None:
        """When the first and the last message were received; None for a file without messages."""
        return (min(self._times), max(self._times)) if self._times else None

    @property
    def is_whole(self) -> bool:
        """Whether SQLite reads it."""
        return self._rows is None

    @property
    def loss(self) -> Loss:
        """What was found damaged so far; complete after `check`."""
        return Loss() if self._rows is None else self._rows.loss

    def messages(self, topic_ids: Collection[int]) -> Iterator[StoredMessage]:
        """The messages of some topics in the order of their rows; damaged ones are left out."""
        last = -(1 << 63)
        if self._rows is None:
            query = f"SELECT {_COLUMNS} WHERE topic_id IN ({','.join('?' * len(topic_ids))}) ORDER BY id"
            try:
                for row in self._connection.execute(query, tuple(topic_ids)):
                    yield _message(*row)
                    last = row[0]
                return
            except _FAILURES:
                rows = self._salvage()
        else:
            rows = self._rows
        yield from rows.messages(topic_ids, last)

    def at(self, position: tuple[int, int]) -> StoredMessage | None:
        """The message at a position; None where it cannot be read."""
        if self._rows is None:
            try:
                row = self._connection.execute(f"SELECT {_COLUMNS} WHERE id = ?", (position[1],)).fetchone()
                return None if row is None else _message(*row)
            except _FAILURES:
                self._salvage()
        return None if self._rows is None else self._rows.at(position)

    def check(self) -> None:
        """Read all there is, so that `loss` is complete."""
        if self._rows is None:
            try:
                found = self._connection.execute("PRAGMA integrity_check(1)").fetchall()
            except sqlite3.Error:
                found = []
            if found != [("ok",)]:
                self._salvage()
        if self._rows is not None:
            self._rows.check()

    def close(self) -> None:
        """Close the file until it is read again."""
        if self._database is not None:
            self._database.close()
            self._database = None
        if self._rows is not None:
            self._rows.close()

    def _load(self, database: sqlite3.Connection) -> None:
        self.topics = _topics(database)
        if not all(is_possible(topic) for topic in self.topics.values()):
            raise ValueError("a topic has no possible name or type")
        for topic, count, first, last in database.execute(_COUNTS):
            if topic not in self.topics:
                raise ValueError("a message has no topic")
            self.counts[int(topic)] = int(count)
            self._times += [int(first), int(last)]
        # Rows are numbered without a gap, so that a damaged tree, which SQLite may follow without a word, shows.
        found, first, last = database.execute("SELECT count(*), min(id), max(id) FROM messages NOT INDEXED").fetchone()
        if found and last - first + 1 != found:
            raise ValueError("rows are missing")

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._database is None:
            self._database = _opened(self.path)
        return self._database

    def _salvage(self) -> SalvagedRows:
        self.close()
        self._rows = rows = SalvagedRows(self.path, self.described)
        self.topics, self.counts, self._times = rows.topics, rows.counts, rows.times_ns
        return rows


def _opened(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing; with what a killed recorder left beside the file where SQLite permits it."""
    uri = path.resolve().as_uri()
    if any(path.with_name(path.name + suffix).is_file() for suffix in SIDE_SUFFIXES):
        database = sqlite3.connect(f"{uri}?mode=ro", uri=True, check_same_thread=False)
        try:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return database
        except sqlite3.Error:
            database.close()
    return sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True, check_same_thread=False)


def _topics(database: sqlite3.Connection) -> dict[int, StoredTopic]:
    definitions: dict[str, tuple[str, str]] = {}
    if _columns(database, "message_definitions"):
        query = "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
        definitions = {str(kind): (str(text), str(format)) for kind, format, text in database.execute(query)}
    optional = [
        name for name in ("offered_qos_profiles", "type_description_hash") if name in _columns(database, "topics")
    ]
    found = {}
    for row in database.execute(
        f"SELECT {', '.join(['id', 'name', 'type', 'serialization_format', *optional])} FROM topics"
    ):
        more = dict(zip(optional, row[4:], strict=True))
        found[int(row[0])] = StoredTopic(
            str(row[1]),
            str(row[2]),
            *definitions.get(str(row[2]), ("", "")),
            str(row[3]),
            str(more.get("offered_qos_profiles", "")),
            str(more.get("type_description_hash", "")),
        )
    return found


def _columns(database: sqlite3.Connection, table: str) -> list[str]:
    return [str(row[1]) for row in database.execute(f"PRAGMA table_info({table})")]


def _message(row: int, topic: int, stamp_ns: int, data: bytes) -> StoredMessage:
    if not isinstance(data, bytes) or not isinstance(stamp_ns, int):
        raise TypeError("a row is no message")
    return StoredMessage(topic, stamp_ns, data, (0, row), stamp_ns)
