"""How often the gate promotes bad, equal and good students of a model.

python benchmarks/gate.py [--model demo] [--anchors 60] [--frames 40] [--kinds bad equal good] [--out gate.json]

30 bad students, 6 pairs without a difference and 10 good candidates are compared on unseen simulated bins. The networks
run once per frame and set of weights. With --out, finished rows are kept and a repeated call goes on with the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from binpose_core.base.files import read_json, write_json
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_pipeline.bundle import PipelineBundle, load_bundle
from binpose_pipeline.pipeline import TimedResult
from binpose_self_training.gate.anchors import AnchorFrame
from binpose_self_training.gate.config import GateConfig
from binpose_self_training.gate.gate import Gate
from binpose_self_training.gate.verdict import GateVerdict
from binpose_training.calibration import frame_truth
from common import heading, table
from gate_students import BAD, DEMO, EQUALS, WORSE_CHAMPIONS, Student, networks
from scenes import unseen_views

KINDS = ("bad", "equal", "good")


@dataclass(frozen=True)
class Arguments:
    """model: a store's folder or a shipped model's name. anchors, frames: how many bins of each.

    kinds: of students. out: file of the finished rows.
    """

    model: str = "demo"
    anchors: int = 60
    frames: int = 40
    kinds: tuple[str, ...] = KINDS
    out: Path | None = None


@dataclass(frozen=True)
class ViewSource:
    """A simulated frame as the gate reads it."""

    name: str
    frame: RgbdFrame
    scene_id: int = 0
    image_id: int = 0

    def read(self) -> RgbdFrame:
        """The frame."""
        return self.frame


class Results:
    """The results of students; each set of networks runs once per frame."""

    def __init__(self, model: PipelineBundle) -> None:
        self._model, self._students = model, dict[str, Student]()
        self._networks: dict[str, PipelineBundle] = {}
        self._found: dict[tuple[str, str], TimedResult] = {}

    def bundle(self, student: Student) -> PipelineBundle:
        """The model that stands for a student; its version is the student's name."""
        self._students[student.name] = student
        return replace(self._model, version=student.name)

    def __call__(self, model: PipelineBundle, name: str, frame: RgbdFrame) -> TimedResult:
        """The student's result on a frame."""
        student = self._students[model.version]
        key = student.weights, name
        if key not in self._found:
            if student.weights not in self._networks:
                self._networks[student.weights] = networks(self._model, student.weights)
            self._found[key] = self._networks[student.weights].pipeline.timed(frame)
        result = self._found[key]
        if student.weights != DEMO.weights:  # the time of noisy networks is that of the others, measured once
            base = self._found.get((DEMO.weights, name), result)
            result = replace(result, seconds=base.seconds)
        return student.result(name, result)


def main(arguments: Arguments) -> None:
    """Compare and print the tables."""
    heading(f"The gate on {arguments.frames} unlabelled frames and {arguments.anchors} anchors, one bin each")
    model = load_bundle(arguments.model)
    views = unseen_views(model.objects, arguments.anchors + arguments.frames, workers=1)
    anchors = [AnchorFrame(f"anchor{i}", v.frame, frame_truth(v)) for i, v in enumerate(views[: arguments.anchors])]
    frames = [ViewSource(f"frame{i}", view.frame) for i, view in enumerate(views[arguments.anchors :])]
    results = Results(model)
    gate = Gate(GateConfig(), results)
    rows = read_json(arguments.out) if arguments.out and arguments.out.is_file() else {}

    def decide(kind: str, champion: Student, candidate: Student) -> None:
        name = f"{kind}: {candidate.name} against {champion.name}"
        if name in rows or kind not in arguments.kinds:
            return
        verdict = gate(results.bundle(champion), results.bundle(candidate), frames, anchors)
        rows[name] = row_of(verdict)
        print(
            f"{name}: {verdict.decision.value} ({len(verdict.curve)} frames): {' '.join(verdict.reasons)}", flush=True
        )
        if arguments.out:
            write_json(arguments.out, rows)

    for_all_pairs(decide)
    print_tables(rows)


def for_all_pairs(decide: Callable[[str, Student, Student], None]) -> None:
    """Call a function with kind, champion and candidate of each pair."""
    for candidate in BAD:
        decide("bad", DEMO, candidate)
    for champion, candidate in EQUALS:
        decide("equal", champion, candidate)
    for champion in WORSE_CHAMPIONS:
        decide("good", champion, DEMO)


def row_of(verdict: GateVerdict) -> dict[str, object]:
    """What the tables show of a verdict."""
    last = verdict.curve[-1] if verdict.curve else None
    return {
        "decision": verdict.decision.value,
        "frames": len(verdict.curve),
        "bounds": [last.lower, last.upper] if last else [-1.0, 1.0],
        "reason": verdict.reasons[0],
    }


def print_tables(rows: dict[str, dict[str, object]]) -> None:
    """Counts of each kind, then each pair."""
    decisions = ("promoted", "undecided", "refused")
    counts = []
    for kind in KINDS:
        found = [row["decision"] for name, row in rows.items() if name.startswith(f"{kind}:")]
        counts.append([kind, str(len(found)), *(str(found.count(decision)) for decision in decisions)])
    table(["students", "pairs", *decisions], counts)
    table(["pair", "decision", "frames", "first reason"], [_cells(name, row) for name, row in rows.items()])


def _cells(name: str, row: dict[str, object]) -> Sequence[str]:
    return [name, str(row["decision"]), str(row["frames"]), str(row["reason"])]


if __name__ == "__main__":
    main(tyro.cli(Arguments))
