"""A candidate beside the champion on live frames: the same evidence as in the gate, on every n-th frame.

The state is a file with one entry per frame, so that the evidence of several days adds up to one test. The file belongs
to one pair of versions and one set of settings; other ones start anew.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from binpose_core.base.errors import BadFile, BinposeError
from binpose_core.base.files import read_json, to_json, write_json
from binpose_core.base.settings import check_bounds, setting
from binpose_core.datasets.pick_outcomes import PickOutcome
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.learning.model_store import SHORT
from binpose_pipeline.bundle import PipelineBundle
from binpose_pipeline.pipeline import TimedResult
from binpose_self_training.gate.comparison import ComparedFrame, Comparison
from binpose_self_training.gate.config import GateConfig
from binpose_self_training.gate.gate import Predict, predicted


@dataclass(frozen=True)
class ShadowConfig:
    """How often a candidate runs beside the champion.

    every: number of live frames of which one is compared.
    save_every: compared frames after which the state is written.
    """

    every: int = setting(10, bounds=(1, 100_000))
    save_every: int = setting(1, bounds=(1, 1000))

    def __post_init__(self) -> None:
        check_bounds(self)


class Shadow:
    """Runs a candidate on every n-th live frame and gathers the evidence.

    Args:
        champion: the model in use.
        candidate: the model that may replace it.
        path: file of the state; an existing one of the same pair is continued.
        gate: settings of the evidence.
        config: how often.
        predict: runs the candidate on a frame.

    Attributes:
        comparison: the evidence so far.

    Raises:
        BinposeError: for a damaged state.
    """

    def __init__(
        self,
        champion: PipelineBundle,
        candidate: PipelineBundle,
        path: Path | str,
        gate: GateConfig | None = None,
        config: ShadowConfig | None = None,
        predict: Predict = predicted,
    ) -> None:
        self.path, self.config = Path(path), config or ShadowConfig()
        self._gate, self._candidate, self._predict = gate or GateConfig(), candidate, predict
        self._pair = {
            "champion": champion.version,
            "candidate": candidate.version,
            "settings": hashlib.sha256(to_json(asdict(self._gate)).encode()).hexdigest(),
        }
        self.comparison = Comparison(champion, candidate, self._gate)
        self.frames = 0
        self._restore()

    def __call__(self, name: str, frame: RgbdFrame, champion: TimedResult, picks: Sequence[PickOutcome] = ()) -> bool:
        """Compare a live frame if it is the turn of one; whether it was compared.

        Args:
            name: of the frame.
            frame: live.
            champion: what the model in use found in it.
            picks: from this frame, if they are known by now.

        Raises:
            BinposeError: when the candidate cannot process the frame, or the state cannot be written.
        """
        self.frames += 1
        if (self.frames - 1) % self.config.every or not self.comparison.is_new(frame):
            return False
        self.comparison.add(name, frame, champion, self._predict(self._candidate, name, frame), picks)
        if len(self.comparison.compared) % self.config.save_every == 0:
            self.save()
        return True

    @property
    def is_decided(self) -> bool:
        """Whether the candidate is proven to be better, or to be worse, on the frames so far."""
        return self.comparison.is_decided

    def save(self) -> None:
        """Write the state, whole or not at all."""
        entries = [asdict(one) for one in self.comparison.compared]
        write_json(self.path, {**self._pair, "frames": self.frames, "compared": entries}, indent=None)

    def _restore(self) -> None:
        if not self.path.is_file():
            return
        content = read_json(self.path)
        if not isinstance(content, Mapping) or not self._pair.keys() <= content.keys():
            raise BadFile(f"{self.path} is no state of a shadow run; expected one; delete it to begin anew.", self.path)
        if any(content[key] != value for key, value in self._pair.items()):
            return  # of another pair: the first frame that is compared replaces it
        try:
            self.frames = int(content["frames"])
            for entry in content["compared"]:
                self.comparison.restore(ComparedFrame(**entry))
        except (KeyError, TypeError, ValueError, BinposeError) as error:
            raise BadFile(
                f"{self.path} holds a damaged entry ({error}); expected what a shadow run wrote; delete it to begin "
                "anew.",
                self.path,
            ) from error


def state_path(store: Path, candidate: str) -> Path:
    """Where the state of a candidate lies, beside the models."""
    return store / f"shadow-{candidate[:SHORT]}.json"
