"""Runs the models of a store on live frames: the candidate beside the champion, and each new champion against the band
of the one before it. A new champion that leaves the band is rolled back.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from binpose_core.base.errors import BinposeError
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.learning.model_store import SHORT, ModelStore
from binpose_core.learning.store_records import CANDIDATE, CHAMPION, PREVIOUS
from binpose_pipeline.bundle import PipelineBundle, load_bundle
from binpose_pipeline.pipeline import TimedResult
from binpose_self_training.gate.config import GateConfig
from binpose_self_training.gate.gate import predicted
from binpose_self_training.gate.reasons import decide, forgotten_parts
from binpose_self_training.gate.shadow import Shadow, ShadowConfig, state_path
from binpose_self_training.gate.verdict import Decision, GateVerdict
from binpose_self_training.gate.watch import Band, Watch, WatchConfig, WatchedFrame, watched

HELD = 300
"""Newest frames of the champion from which the band is measured."""

Event = dict[str, Any]
Predict = Callable[[PipelineBundle, str, RgbdFrame], TimedResult]


@dataclass(frozen=True)
class ObserverConfig:
    """gate: evidence of a candidate. watch: when a new champion is rolled back."""

    gate: GateConfig = field(default_factory=GateConfig)
    watch: WatchConfig = field(default_factory=WatchConfig)


class Observer:
    """Looks at one live frame after the other.

    Args:
        directory: of the model store, which is looked at again before each frame.
        config: settings.
        load: gives a version of the store.
        predict: runs a model on a frame.
    """

    def __init__(
        self,
        directory: Path,
        config: ObserverConfig | None = None,
        load: Callable[[Path, str], PipelineBundle] = lambda store, version: load_bundle(store, version=version),
        predict: Predict = predicted,
    ) -> None:
        self.directory, self.config = directory, config or ObserverConfig()
        self._load, self._predict = load, predict
        self._store = ModelStore(directory)
        self._champion: PipelineBundle | None = None
        self._frames: deque[WatchedFrame] = deque(maxlen=HELD)
        self._known: set[str] = set()  # champions that were in use before: going back to one is not watched
        self._watch: Watch | None = None
        self._shadow: Shadow | None = None
        self._shadowed = ""  # the candidate, also one that could not be loaded

    def __call__(
        self, name: str, frame: RgbdFrame, seconds: float = float("nan"), failed: Sequence[bool] = ()
    ) -> list[Event]:
        """Look at a frame; what has happened, as plain data.

        Args:
            name: of the frame.
            frame: live.
            seconds: from its stamp to the poses of the running nodes.
            failed: of each pick since the frame before, whether it failed; those before the first frame of a champion
                belong to the one before it, and do not count.

        Raises:
            BinposeError: for a store without a usable champion, or a frame that cannot be processed.
        """
        before, events = self._champion, self._follow_champion()
        champion = self._champion
        assert champion is not None
        result = self._predict(champion, name, frame)
        reported = self.config.gate.chosen.reported(result.poses)
        seen = watched(reported, result.unexplained, seconds, failed if champion is before else ())
        if self._watch is not None and (reason := self._watch(seen)):
            return [*events, self._roll_back(reason)]
        self._frames.append(seen)
        events += self._follow_candidate(champion)
        if self._shadow is not None and not self._shadow.is_decided and self._shadow(name, frame, result):
            events.append(self._compared(champion, self._shadow))
        return [*events, self._observed(champion)]

    # --- The champion -------------------------------------------------------------------------------------------------

    def _follow_champion(self) -> list[Event]:
        """Load the champion where it is another one, and begin to watch it where it has replaced one that is known."""
        aliases, before = self._store.aliases(), self._champion
        version = aliases.get(CHAMPION, "")
        if before is not None and version == before.version:
            return []
        self._champion = self._load(self.directory, version)
        frames, self._frames = list(self._frames), deque(maxlen=HELD)
        self._watch, self._shadow, self._shadowed = None, None, ""
        is_new = before is not None and aliases.get(PREVIOUS) == before.version and version not in self._known
        self._known.add(version)
        return [self._begin_to_watch(frames)] if is_new else []

    def _begin_to_watch(self, frames: Sequence[WatchedFrame]) -> Event:
        try:
            band = Band.of(frames, self.config.watch)
        except BinposeError as error:
            return {"event": "note", "message": f"The new model is not watched: {error}"}
        self._watch = Watch(band, self.config.watch)
        return {"event": "watching", "band": band.to_json()}

    def _roll_back(self, reason: str) -> Event:
        """Put the version before in use again, and record why, so that the gate's word no longer promotes this one."""
        assert self._champion is not None
        bad = self._champion.version
        if self._store.current() != bad:  # somebody was faster
            return {"event": "note", "message": reason}
        before = self._store.rollback(reason)
        verdict = GateVerdict(Decision.REFUSED, (reason,), before, bad)
        self._store.record_verdict(bad, verdict.to_json())
        message = f"Model {bad[:SHORT]} was rolled back to {before[:SHORT]}. {reason}"
        return {"event": "rolled_back", "version": bad, "champion": before, "message": message}

    # --- The candidate ------------------------------------------------------------------------------------------------

    def _follow_candidate(self, champion: PipelineBundle) -> list[Event]:
        candidate = self._store.aliases().get(CANDIDATE, "")
        if candidate == self._shadowed:
            return []
        self._shadow, self._shadowed = None, candidate
        if not candidate or candidate == champion.version:
            return []
        try:
            bundle = self._load(self.directory, candidate)
            self._shadow = Shadow(
                champion, bundle, state_path(self.directory, candidate), self.config.gate, ShadowConfig(every=1),
                self._predict,
            )  # fmt: skip
            self._candidate = bundle
        except BinposeError as error:
            return [{"event": "note", "message": f"Candidate {candidate[:SHORT]} does not run beside: {error}"}]
        return []

    def _compared(self, champion: PipelineBundle, shadow: Shadow) -> Event:
        """The evidence so far; a decision is recorded in the store with the candidate."""
        comparison = shadow.comparison
        event = {
            "event": "compared", "candidate": self._candidate.version, "frames": len(comparison.compared),
            "lower": comparison.bounds.lower, "upper": comparison.bounds.upper, "decision": "",
        }  # fmt: skip
        if not shadow.is_decided:
            return event
        verdict = self._verdict(champion, self._candidate, shadow)
        self._store.record_verdict(self._candidate.version, verdict.to_json())
        return {**event, "decision": verdict.decision.value, "reasons": list(verdict.reasons)}

    def _verdict(self, champion: PipelineBundle, candidate: PipelineBundle, shadow: Shadow) -> GateVerdict:
        """That of the gate with live frames in the place of held-out ones; the anchors keep their last result."""
        stored = self._store.verdicts(candidate.version)
        last = [one for one in stored if one.get("champion") == champion.version and "parts" in one][-1:]
        gate = GateVerdict.from_json({k: v for k, v in last[0].items() if k != "recorded"}) if last else None
        parts, scores = (gate.parts, gate.scores) if gate else ((), None)
        comparison = shadow.comparison
        latency, picks = comparison.latency(), comparison.outcomes()
        missing = forgotten_parts(champion, candidate)
        decision, reasons = decide(self.config.gate, missing, comparison, parts, scores, latency, picks)
        return GateVerdict(
            decision, reasons, champion.version, candidate.version, tuple(comparison.points), parts, scores, latency,
            picks, notes=("The frames were live ones.",),
        )  # fmt: skip

    def _observed(self, champion: PipelineBundle) -> Event:
        frames = self._watch.frames if self._watch is not None else len(self._frames)
        return {
            "event": "observed", "champion": champion.version, "frames": frames, "watching": self._watch is not None
        }  # fmt: skip
