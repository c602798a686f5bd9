"""What the gate decided about a candidate, and on what grounds."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

from binpose_core.base.errors import BinposeError
from binpose_self_training.gate.anchors import PartComparison, ScoreComparison
from binpose_self_training.gate.latency import LatencyComparison
from binpose_self_training.gate.outcomes import OutcomeComparison


class Decision(str, Enum):
    """Whether the candidate may replace the champion."""

    PROMOTED = "promoted"
    REFUSED = "refused"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class FramePoint:
    """The evidence after one more frame.

    champion, candidate: credit of both models on this frame, in [0, 1].
    lower, upper: bounds of the mean advantage after this frame, in [-1, 1]; 1 means that each frame is won.
    """

    name: str
    champion: float
    candidate: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Verdict:
    """What the gate decided.

    decision: "promoted", "refused" or "undecided"; only a promoted candidate may replace the champion.
    reasons: one sentence each.
    champion, candidate: versions.
    curve: the evidence, one point per frame.
    parts: each part on the anchor frames, all parts as the last one. scores: of both models on these.
    latency: of both models. outcomes: of recorded picks.
    seconds: wall-clock time of the comparison.
    notes: what was left out.
    """

    decision: Decision
    reasons: tuple[str, ...]
    champion: str = ""
    candidate: str = ""
    curve: tuple[FramePoint, ...] = ()
    parts: tuple[PartComparison, ...] = ()
    scores: ScoreComparison | None = None
    latency: LatencyComparison | None = None
    outcomes: OutcomeComparison | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = field(default=())

    @property
    def promoted(self) -> bool:
        """Whether the candidate may replace the champion."""
        return self.decision is Decision.PROMOTED

    def to_json(self) -> dict[str, Any]:
        """Plain JSON data."""
        content = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        content |= {name: [vars(one) for one in content[name]] for name in ("curve", "parts")}
        for name in ("scores", "latency", "outcomes"):
            content[name] = None if content[name] is None else vars(content[name])
        return {**content, "decision": self.decision.value, "reasons": list(self.reasons), "notes": list(self.notes)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Verdict":
        """The verdict that `to_json` returned.

        Raises:
            BinposeError: for other data.
        """
        try:
            values = dict(content)
            values["decision"] = Decision(values["decision"])
            values["curve"] = tuple(FramePoint(**one) for one in values["curve"])
            values["parts"] = tuple(PartComparison(**one) for one in values["parts"])
            kinds = {"scores": ScoreComparison, "latency": LatencyComparison, "outcomes": OutcomeComparison}
            for name, kind in kinds.items():
                values[name] = None if values[name] is None else kind(**values[name])
            values |= {name: tuple(values[name]) for name in ("reasons", "notes")}
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise BinposeError(
                f"This is no verdict of the gate ({error}); expected what Verdict.to_json returns; run the gate again."
            ) from error
