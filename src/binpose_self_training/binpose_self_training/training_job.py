"""A self-training as a job for another process: its arguments, its folder, its progress and its outcome."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason
from binpose_core.base.settings import check_bounds, setting

DIGITS = 12


@dataclass(frozen=True)
class TrainingJob:
    """One self-training.

    model: folder of the model store. recordings: bags, folders of bags, data sets. directory: of the run.
    rounds, frames: largest numbers; 0 = those of the settings. promote: use what the gate promotes.
    threads: of each library, and number of processes that simulate. config: YAML file with settings, or None.
    keep_runs: finished runs that stay in the folder beside this one; 0 = all.
    """

    model: Path
    recordings: tuple[Path, ...]
    directory: Path
    rounds: int = setting(0, bounds=(0, 100))
    frames: int = setting(0, bounds=(0, 1_000_000))
    promote: bool = True
    threads: int = setting(1, bounds=(1, 1024))
    config: Path | None = None
    keep_runs: int = setting(0, bounds=(0, 100_000))

    def __post_init__(self) -> None:
        check_bounds(self)
        if not self.recordings:
            raise BinposeError("No recording was named; expected at least one bag or folder; name one.")

    def arguments(self) -> list[str]:
        """Of the command `binpose`."""
        options: dict[str, Any] = {"model": self.model, "out": self.directory, "workers": self.threads}
        options |= {name: value for name in ("rounds", "frames", "config") if (value := getattr(self, name))}
        flags = ["--json-lines", *([] if self.promote else ["--no-promote"])]
        named = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        return ["self-train", *map(str, self.recordings), *named, *flags]


def run_name(champion: str, recordings: tuple[Path, ...], rounds: int, frames: int, config: Path | None) -> str:
    """Name of a run's folder: equal for the same model, recordings and settings, so that a killed run is resumed.

    Raises:
        BinposeError: for a recording or a file of settings that is not there.
    """
    settings = "" if config is None else _text(config)
    content = [champion, [[str(path), _bytes(path)] for path in recordings], rounds, frames, settings]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:DIGITS]


@dataclass(frozen=True)
class TrainingProgress:
    """Where a run is.

    stage: such as "round 1, teaching". fraction: of it that is done. round: 0 outside the rounds.
    losses: by name. kept, seen: pseudo labels of the newest round, and poses of which they were selected.
    """

    stage: str = ""
    fraction: float = 0.0
    round: int = 0
    losses: Mapping[str, float] = field(default_factory=dict)
    kept: int = 0
    seen: int = 0

    def feedback(self) -> dict[str, Any]:
        """The fields of the action's feedback."""
        loss = float(sum(value for value in self.losses.values() if value == value))
        return {
            "stage": self.stage, "fraction": self.fraction, "round": self.round, "loss": loss,
            "labels_kept": self.kept, "labels_seen": self.seen, "metrics": json.dumps(dict(self.losses)),
        }  # fmt: skip


@dataclass(frozen=True)
class TrainingOutcome:
    """How a run ended.

    reason: OK when a candidate was compared. message: one sentence. version: of the candidate.
    decision: of the gate. promoted: whether the version is in use. verdict: of the gate, as plain data.
    """

    reason: Reason
    message: str
    version: str = ""
    decision: str = ""
    promoted: bool = False
    verdict: Mapping[str, Any] = field(default_factory=dict)

    @property
    def success(self) -> bool:
        """Whether a candidate was trained and compared."""
        return self.reason is Reason.OK

    def result(self) -> dict[str, Any]:
        """The fields of the action's result."""
        return {
            "success": self.success, "code": self.reason.code, "message": self.message, "version": self.version,
            "decision": self.decision, "promoted": self.promoted, "metrics": json.dumps(dict(self.verdict)),
        }  # fmt: skip


def _bytes(path: Path) -> int:
    """Bytes of a file, or of all complete files in a folder; a recorder's open file grows."""
    try:
        files = path.rglob("*") if path.is_dir() else [path]
        return sum(file.stat().st_size for file in files if file.suffix != ".active" and not file.is_dir())
    except OSError as error:
        raise BinposeError(f"Could not read {path}: {error.strerror}; expected a recording; check the path.") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BinposeError(
            f"Could not read {path} ({error}); expected a YAML file with settings; write one with `binpose self-train "
            "--write-config`."
        ) from error
