"""The one exception type that users see."""


class BinposeError(Exception):
    """A mistake in the input, told in one sentence: what arrived, what was expected, what to do.

    The command line prints the message without a traceback and exits with 2; a batch reports it
    for the frame concerned and goes on with the next one.
    """
