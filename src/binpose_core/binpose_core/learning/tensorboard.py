"""Event files of a training for TensorBoard."""

from pathlib import Path
from typing import TYPE_CHECKING

from binpose_core.base.errors import BinposeError
from binpose_core.learning.hooks import Hook, LoopState

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoard(Hook):
    """Writes losses, learning rate, budget and validation metrics as scalars over the steps.

    Args:
        directory: of the event files. A resumed run adds to them, from its last checkpoint on.

    Raises:
        BinposeError: if the library is not installed.
    """

    def __init__(self, directory: Path) -> None:
        self._directory, self._make_writer = directory, import_summary_writer()
        self._writer: SummaryWriter | None = None
        self._validated: dict[str, float] = {}

    def before_training(self, state: LoopState) -> None:
        """Open a file; what an interrupted run wrote after its last checkpoint is replaced.

        Raises:
            BinposeError: if the place cannot be written to.
        """
        try:
            self._writer = self._make_writer(str(self._directory), purge_step=state.progress.steps + 1)
        except OSError as error:
            raise BinposeError(
                f"TensorBoard cannot write to {self._directory}: {error.strerror}; expected a folder; choose another "
                "one."
            ) from error

    def after_step(self, state: LoopState) -> None:
        """Write the scalars of the step."""
        assert self._writer is not None
        step = state.progress.steps
        for name, value in state.losses.items():
            self._writer.add_scalar(f"loss/{name}", value, step)
        self._writer.add_scalar("learning_rate", state.rate, step)
        self._writer.add_scalar("budget", state.progress.fraction, step)
        if state.metrics is not self._validated:
            self._validated = state.metrics
            for name, value in state.metrics.items():
                self._writer.add_scalar(f"validation/{name}", value, step)

    def after_training(self, state: LoopState) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()


def import_summary_writer() -> "type[SummaryWriter]":
    """Torch's writer of event files.

    Raises:
        BinposeError: if the library `tensorboard` is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise BinposeError(
            "Event files need the library tensorboard, which is not installed; expected it for --tensorboard; "
            "`pip install 'binpose[tensorboard]'`, or leave the option out."
        ) from error
    return SummaryWriter
