"""Every mistake in the input is one exception type."""

import pytest

from binpose_core.base.errors import BinposeError


def test_the_message_is_what_the_user_reads() -> None:
    with pytest.raises(BinposeError) as caught:
        raise BinposeError("what arrived; what was expected; what to do.")
    assert str(caught.value) == "what arrived; what was expected; what to do."


def test_a_mistake_in_the_input_is_no_programming_error() -> None:
    assert not issubclass(BinposeError, ValueError | OSError | RuntimeError)
