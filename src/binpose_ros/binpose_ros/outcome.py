"""What became of a frame, as a node publishes it beside its results, and as the next stage takes it."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason
from binpose_core.parts.empty_results import EmptyReason
from binpose_ros.stamps import Header, from_header, to_header

REMEMBERED = 50
PATIENCE_S = 1.0


@dataclass(frozen=True)
class Outcome:
    """What became of a frame.

    reason: why there are no results, or OK.
    message: the same in a sentence; empty when there are results.
    found: parts that were found, also below the threshold.
    reported: entries of the published array.
    version: of the model that was used.
    """

    reason: Reason = Reason.OK
    message: str = ""
    found: int = 0
    reported: int = 0
    version: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether the frame could not be processed."""
        return self.reason.is_failure

    def expect_processed(self) -> "Outcome":
        """This outcome, unless it is a failure.

        Raises:
            BinposeError: with its sentence and reason.
        """
        if self.is_failure:
            raise BinposeError(self.message, self.reason)
        return self


def empty_outcome(reason: EmptyReason) -> Outcome:
    """The outcome of a processed frame without results."""
    return Outcome(reason.code, reason.sentence)


def from_outcome(outcome: Outcome, header: Header, node: str, types: Any) -> Any:
    """A binpose_interfaces/FrameStatus."""
    return types.FrameStatus(
        header=to_header(header, types),
        node=node,
        success=not outcome.is_failure,
        code=outcome.reason.code,
        message=outcome.message,
        found=outcome.found,
        reported=outcome.reported,
        model_version=outcome.version,
    )


def to_outcome(status: Any) -> Outcome:
    """The outcome in a binpose_interfaces/FrameStatus; a code that is not known counts as BAD_INPUT."""
    known = Reason.__members__.get(status.code, Reason.BAD_INPUT)
    reason = known if known.is_failure != status.success else Reason.NO_PARTS if status.success else Reason.BAD_INPUT
    return Outcome(reason, status.message, status.found, status.reported, status.model_version)


class EarlierOutcomes:
    """The outcomes that the stage before has published, by stamp. Threads may share it."""

    def __init__(self) -> None:
        self._by_stamp: OrderedDict[int, Outcome] = OrderedDict()
        self._changed = threading.Condition()

    def put(self, status: Any) -> None:
        """Take a FrameStatus."""
        with self._changed:
            self._by_stamp[from_header(status).stamp_ns] = to_outcome(status)
            while len(self._by_stamp) > REMEMBERED:
                self._by_stamp.popitem(last=False)
            self._changed.notify_all()

    def of(self, stamp_ns: int, patience_s: float = PATIENCE_S) -> Outcome | None:
        """The outcome of a frame, waiting a moment for it; None when the stage before publishes none."""
        with self._changed:
            self._changed.wait_for(lambda: stamp_ns in self._by_stamp, patience_s)
            return self._by_stamp.get(stamp_ns)
