"""Reading an MCAP file as far as it is whole."""

import heapq
from bisect import bisect
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from mcap.writer import MCAP0_MAGIC

from binpose_recording.bag_file import BagFile, Damage, Described, Loss, Source, StoredMessage, StoredTopic, loss_of
from binpose_recording.lost_topics import topic_by_content, topic_score
from binpose_recording.mcap_blocks import Block, Definitions, entries
from binpose_recording.mcap_index import in_order, missing, scanned_index, stored_index


class McapFile(BagFile):
    """An MCAP file. Where its index is damaged or missing, all of it is read once to make a new one."""

    def __init__(self, path: Path, described: Sequence[Described] | None = None) -> None:
        super().__init__(path, described)
        self._source = Source(path)
        self._index = stored_index(self._source) or scanned_index(self._source)
        self._damages: dict[int, Damage] = {}
        self._checked: set[int] = set()
        self._last: tuple[int, list[StoredMessage]] = (-1, [])
        for block in self._index.blocks:
            for channel, count in block.counts.items():
                self.counts[channel] = self.counts.get(channel, 0) + count
        self.topics = self._index.definitions.topics(topic_score(self.described))
        self._name_unknown(self.described)
        for lost in self._index.lost:
            self._damages[lost.offset] = self._damage(lost.offset, lost.end - lost.offset, lost.counts)

    @property
    def times_ns(self) -> tuple[int, int] | None:
        """When the first and the last message were received; None for a file without messages."""
        blocks = self._index.blocks
        return (min(item.start_ns for item in blocks), max(item.end_ns for item in blocks)) if blocks else None

    @property
    def is_whole(self) -> bool:
        """Whether the index is that of the file and nothing was found damaged so far."""
        begins = self._source.read(0, len(MCAP0_MAGIC)) == MCAP0_MAGIC
        return begins and self._index.is_stored and not self._damages

    @property
    def loss(self) -> Loss:
        """What was found damaged so far; complete after `check`."""
        return loss_of(self._damages.values(), self._index.is_cut)

    def messages(self, topic_ids: Collection[int]) -> Iterator[StoredMessage]:
        """The messages of some topics by the times at which they were received; damaged ones are left out."""
        waiting: list[tuple[int, int, StoredMessage]] = []
        count = 0
        for number, block in in_order(self._index.blocks):
            if not any(channel in topic_ids for channel in block.counts):
                continue
            while waiting and waiting[0][0] < block.start_ns:
                yield heapq.heappop(waiting)[2]
            for message in self._read(number):
                if message.topic_id in topic_ids:
                    heapq.heappush(waiting, (message.stamp_ns, count, message))
                    count += 1
        while waiting:
            yield heapq.heappop(waiting)[2]

    def at(self, position: tuple[int, int]) -> StoredMessage | None:
        """The message at a position; None where it cannot be read."""
        return next((message for message in self._read(position[0]) if message.position == position), None)

    def check(self) -> None:
        """Read all there is, so that `loss` is complete."""
        for number in range(len(self._index.blocks)):
            if number not in self._checked:
                self._read(number)

    def close(self) -> None:
        """Close the file until it is read again."""
        self._source.close()

    def _read(self, number: int) -> list[StoredMessage]:
        """The messages of a block, also those of unknown channels; what is damaged in it is noted."""
        if self._last[0] == number:
            return self._last[1]
        block = self._index.blocks[number]
        content = block.read(self._source)
        found: list[StoredMessage] = []
        counts: dict[int, int] = {}
        if content is not None:
            for entry in entries(content, block, self._index.definitions.channels, Definitions()):
                data = content.data[entry.start : entry.end]
                position = (number, entry.start)
                found.append(
                    StoredMessage(entry.channel_id, entry.stamp_ns, data, position, entry.publish_ns, entry.sequence)
                )
                counts[entry.channel_id] = counts.get(entry.channel_id, 0) + 1
        if number not in self._checked and (lost := missing(block, counts)):
            for channel, count in lost.items():
                self.counts[channel] -= count
            size = block.end - block.offset if content is None else _lost_bytes(content.data, found)
            self._damages[block.offset] = self._damage(block.offset, size, lost)
        self._last = (number, found)
        self._checked.add(number)
        return found

    def _damage(self, offset: int, size: int, counts: dict[int, int]) -> Damage:
        blocks: list[Block] = self._index.blocks
        after = bisect([block.offset for block in blocks], offset)
        before = after - 1
        while before >= 0 and blocks[before].offset >= offset:
            before -= 1
        start = blocks[before].end_ns if before >= 0 else None
        end = blocks[after].start_ns if after < len(blocks) else None
        named: dict[str, int] = {}
        for channel, count in counts.items():
            topic = self.topics.get(channel, StoredTopic("", "")).name
            named[topic] = named.get(topic, 0) + count
        return Damage(size, start, end, named)

    def _name_unknown(self, described: list[Described]) -> None:
        """Topics whose definitions are lost are known by their messages."""
        used = {topic.name for topic in self.topics.values()}
        free = [item for item in described if item[0] not in used]
        unknown = set(self.counts) - set(self.topics)
        for number, block in enumerate(self._index.blocks):
            if not unknown:
                return
            for message in self._read(number) if unknown & set(block.counts) else ():
                if message.topic_id in unknown:
                    self.topics[message.topic_id] = topic_by_content(message.topic_id, message.data, free)
                    unknown.discard(message.topic_id)


def _lost_bytes(data: bytes, found: list[StoredMessage]) -> int:
    return max(len(data) - sum(len(message.data) + 31 for message in found), 0)
