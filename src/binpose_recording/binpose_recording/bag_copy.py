"""Copies the readable messages of a file to a new one of the same storage, with a complete index."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from binpose_recording.bag_file import BagFile, StoredMessage, StoredTopic, plain_data
from binpose_recording.segment import SUFFIX, mcap_writer

# As written by rosbag2 since Iron; Humble reads it too.
_SQLITE_TABLES = """
CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL);
CREATE TABLE metadata(id INTEGER PRIMARY KEY, metadata_version INTEGER NOT NULL, metadata TEXT NOT NULL);
CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, serialization_format TEXT NOT NULL,
    offered_qos_profiles TEXT NOT NULL, type_description_hash TEXT NOT NULL);
CREATE TABLE message_definitions(id INTEGER PRIMARY KEY, topic_type TEXT NOT NULL, encoding TEXT NOT NULL,
    encoded_message_definition TEXT NOT NULL, type_description_hash TEXT NOT NULL);
CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, timestamp INTEGER NOT NULL,
    data BLOB NOT NULL);
CREATE INDEX timestamp_idx ON messages (timestamp ASC);
INSERT INTO schema(schema_version, ros_distro) VALUES (4, 'jazzy');
"""


def copy_messages(file: BagFile, target: Path) -> int:
    """Write every readable message to `target`, whose suffix must match the storage; returns their number.

    Raises:
        OSError: if writing fails.
    """
    return _to_mcap(file, target) if SUFFIX in target.name else _to_sqlite(file, target)


def _plain_messages(file: BagFile) -> Iterator[StoredMessage]:
    """The messages; those that the recorder compressed one by one are decompressed."""
    for message in file.messages(file.topics):
        data = plain_data(message.data)
        if data is not None:
            yield message._replace(data=data)


def _to_mcap(file: BagFile, target: Path) -> int:
    count = 0
    with target.open("wb") as out:
        writer = mcap_writer(out, "zstd")
        schemas: dict[tuple[str, str, str], int] = {}
        channels: dict[int, int] = {}
        for message in _plain_messages(file):
            if message.topic_id not in channels:
                topic = file.topics[message.topic_id]
                schema = (topic.type, topic.definition_format, topic.definition)
                if schema not in schemas:
                    schemas[schema] = writer.register_schema(*schema[:2], schema[2].encode()) if any(schema) else 0
                channels[message.topic_id] = writer.register_channel(
                    topic.name, topic.serialization, schemas[schema], _channel_metadata(topic)
                )
            channel = channels[message.topic_id]
            writer.add_message(channel, message.stamp_ns, message.data, message.publish_ns, message.sequence)
            count += 1
        writer.finish()
    return count


def _channel_metadata(topic: StoredTopic) -> dict[str, str]:
    metadata = {"offered_qos_profiles": topic.qos_text, "topic_type_hash": topic.digest}
    return {key: value for key, value in metadata.items() if value}


def _to_sqlite(file: BagFile, target: Path) -> int:
    count = 0
    database = sqlite3.connect(target)
    try:
        database.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;" + _SQLITE_TABLES)
        for number, topic in file.topics.items():
            values = (number, topic.name, topic.type, topic.serialization, topic.qos_text, topic.digest)
            database.execute("INSERT INTO topics VALUES(?, ?, ?, ?, ?, ?)", values)
        for definition in {
            (topic.type, topic.definition_format, topic.definition, topic.digest) for topic in file.topics.values()
        }:
            if definition[2]:
                database.execute("INSERT INTO message_definitions VALUES(NULL, ?, ?, ?, ?)", definition)
        for message in _plain_messages(file):
            row = (message.topic_id, message.stamp_ns, message.data)
            database.execute("INSERT INTO messages(topic_id, timestamp, data) VALUES(?, ?, ?)", row)
            count += 1
        database.commit()
    except sqlite3.OperationalError as error:  # errors of writing; the reader handles its own
        raise OSError(f"SQLite: {error}") from error
    finally:
        database.close()
    return count
