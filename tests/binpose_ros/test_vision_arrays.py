"""Arrays of detections are read as far as they are needed, and their ids name model and index."""

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_ros.stamps import Header
from binpose_ros.vision_arrays import Box, Entry, array_length, instance_id, read_array, split_id, write_array

VERSION = "0123456789abcdef" * 4


@pytest.mark.parametrize("box", Box)
def test_entries_come_back_as_they_were_written(box: Box, header: Header, rng: np.random.Generator) -> None:
    names = (["gear"], ["a", "longer name", ""])
    entries = [Entry(f"id {len(n)}", n, rng.normal(size=(len(n), 44)), rng.normal(size=box)) for n in names]
    data = write_array(header, entries)
    assert array_length(data) == 2
    for before, after in zip(entries, read_array(data, box), strict=True):
        assert (after.id, list(after.names)) == (before.id, before.names)
        np.testing.assert_array_equal(after.numbers, before.numbers)
        np.testing.assert_array_equal(after.box, before.box)


def test_a_message_that_ends_early_is_refused(header: Header) -> None:
    data = write_array(header, [Entry("x/0", ["gear"], np.ones((1, 44)), np.ones(Box.SOLID))])
    with pytest.raises(BinposeError, match="ends or is damaged"):
        read_array(data[:-4], Box.SOLID)


@pytest.mark.parametrize("identifier", ["", "7", "abc/", "abc/x", "abc/-1"])
def test_ids_of_others_are_refused(identifier: str) -> None:
    with pytest.raises(BinposeError, match="<version>/<index>"):
        split_id(identifier)


def test_an_id_tells_version_and_index() -> None:
    assert split_id(instance_id(VERSION, 12)) == (VERSION[:12], 12)
