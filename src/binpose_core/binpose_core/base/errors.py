"""The one exception type that users see."""

from binpose_core.base.reasons import Reason


class BinposeError(Exception):
    """A mistake in the input, told in one sentence: what arrived, what was expected, what to do.

    The command line prints the message without a traceback and exits with 2; a batch reports it
    for the frame concerned and goes on with the next one.

    Args:
        message: the sentence.
        reason: its stable code, for programs.
    """

    def __init__(self, message: str = "", reason: Reason = Reason.BAD_INPUT) -> None:
        super().__init__(message)
        self.reason = reason
