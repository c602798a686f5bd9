"""Every mistake in the input is one exception type, below which each kind carries what a program needs."""

import copy
import inspect
import pickle
from pathlib import Path

import numpy as np
import pytest

from binpose_core.base import errors
from binpose_core.base.errors import (
    BadFile,
    BinposeError,
    Cancelled,
    CannotWrite,
    DamagedModel,
    DiskFull,
    Diverged,
    ModelMismatch,
    ModelRefused,
    NoDepth,
    NoModel,
    UnknownObject,
    UnknownTopic,
    UnknownVersion,
)
from binpose_core.base.files import read_json, write_text
from binpose_core.base.reasons import Reason
from binpose_core.frames.camera import Camera
from binpose_core.frames.image_files import read_picture
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.learning.model_store import ModelStore

SENTENCE = "What arrived; what was expected; what to do."
PATH = Path("models/cell")
KINDS = [
    (NoDepth(SENTENCE, "000014"), Reason.NO_DEPTH, {"frame": "000014"}),
    (UnknownObject(SENTENCE, ["cog"], {"rod": 1}), Reason.BAD_INPUT, {"object_ids": ("cog",), "known": ("rod",)}),
    (UnknownTopic(SENTENCE, "/a", ["/b"]), Reason.BAD_INPUT, {"topic": "/a", "known": ("/b",)}),
    (NoModel(SENTENCE, str(PATH)), Reason.BAD_INPUT, {"path": PATH}),
    (UnknownVersion(SENTENCE, "3f", ["ab"]), Reason.BAD_INPUT, {"version": "3f", "known": ("ab",)}),
    (ModelMismatch(SENTENCE, "3f", ["ab"]), Reason.MODEL_MISMATCH, {"version": "3f", "known": ("ab",)}),
    (ModelRefused(SENTENCE, "3f"), Reason.MODEL_REFUSED, {"version": "3f"}),
    (BadFile(SENTENCE, str(PATH)), Reason.BAD_INPUT, {"path": PATH}),
    (DamagedModel(SENTENCE, PATH), Reason.BAD_INPUT, {"path": PATH}),
    (CannotWrite(SENTENCE, PATH), Reason.BAD_INPUT, {"path": PATH}),
    (DiskFull(SENTENCE, PATH), Reason.BAD_INPUT, {"path": PATH}),
    (Diverged(SENTENCE, 50, {"mask": 0.5}), Reason.BAD_INPUT, {"steps": 50, "losses": {"mask": 0.5}}),
    (Cancelled(SENTENCE), Reason.CANCELLED, {}),
]


def test_the_message_is_what_the_user_reads() -> None:
    with pytest.raises(BinposeError) as caught:
        raise BinposeError("what arrived; what was expected; what to do.")
    assert str(caught.value) == "what arrived; what was expected; what to do."


def test_a_mistake_in_the_input_is_no_programming_error() -> None:
    assert not issubclass(BinposeError, ValueError | OSError | RuntimeError)


@pytest.mark.parametrize(("error", "reason", "data"), KINDS, ids=lambda value: type(value).__name__)
def test_each_kind_has_its_sentence_its_reason_and_its_data(
    error: BinposeError, reason: Reason, data: dict[str, object]
) -> None:
    """Also after it was copied, or sent to another process."""
    for same in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert isinstance(same, BinposeError) and type(same) is type(error)
        assert str(same) == SENTENCE and vars(same) == {"reason": reason, **data}


def test_no_kind_is_left_out_above() -> None:
    defined = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__}
    assert {type(error) for error, *_ in KINDS} == defined - {BinposeError}


def test_a_reason_that_is_given_goes_before_that_of_the_kind() -> None:
    assert UnknownObject(SENTENCE, (), (), Reason.BAD_REQUEST).reason is Reason.BAD_REQUEST


def test_a_note_keeps_the_kind_and_its_data() -> None:
    error = ModelRefused(SENTENCE, "3f")
    noted = error.with_note("Note: an old one.")
    assert type(noted) is ModelRefused and noted.version == "3f" and noted.reason is Reason.MODEL_REFUSED
    assert str(noted) == f"{SENTENCE} Note: an old one." and str(error) == SENTENCE


def test_a_frame_without_depth_is_named() -> None:
    color = np.zeros((4, 6), np.uint8)
    with pytest.raises(NoDepth, match="no valid pixel") as caught:
        RgbdFrame(color, np.zeros((4, 6), np.float32), Camera(5.0, 5.0, 2.5, 1.5, 6, 4), name="000014")
    assert caught.value.frame == "000014" and caught.value.reason is Reason.NO_DEPTH


@pytest.mark.parametrize("content", [None, b"{"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    for read in (read_json, read_picture):
        with pytest.raises(BadFile) as caught:
            read(path)
        assert caught.value.path == path


def test_a_place_that_takes_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite) as caught:
        write_text(tmp_path / "file" / "a.txt", "")
    assert caught.value.path == tmp_path / "file" / "a.txt" and not isinstance(caught.value, DiskFull)


def test_a_store_says_what_it_lacks(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    with pytest.raises(NoModel) as missing:
        store.load()
    assert missing.value.path == tmp_path / "models"
    version = store.save({"w": np.zeros(2, np.float32)}, {})
    with pytest.raises(UnknownVersion) as unknown:
        store.load("zzz")
    assert (unknown.value.version, unknown.value.known) == ("zzz", (version,))
    weights = tmp_path / "models" / f"weights-{version[:12]}.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(DamagedModel) as damaged:
        store.load()
    assert damaged.value.path == weights
