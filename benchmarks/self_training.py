"""Self-training on a target domain: what it gains without a label, between simulation alone and all labels.

python benchmarks/self_training.py TARGET [--model demo] [--rounds 5] [--frames 150] [--out runs/self_training]

TARGET and TARGET_test are BOP data sets; `python benchmarks/target_domain.py` makes them by path tracing. The poses of
TARGET are used for the upper bound and for the figures of the labels alone.

Rows: the model as it is (lower bound), the teacher of each round, and a student that learns the true labels of the same
frames with the same budget (upper bound). A second table compares criteria of the selection on the first round's poses.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from binpose_core.base.errors import BinposeError
from binpose_core.base.files import write_bytes
from binpose_core.datasets.bop import BopFrame
from binpose_core.datasets.labelled_views import labelled_view
from binpose_core.evaluation.matching import FrameTruth
from binpose_core.frames.types import PoseEstimate
from binpose_core.learning.model_store import SHORT, ModelStore
from binpose_pipeline.bundle import PipelineBundle, load_bundle, shipped_or_own
from binpose_recording.inputs import open_inputs
from binpose_self_training.config import SelfTrainingConfig
from binpose_self_training.known_truth import KnownTruth, label_quality, test_figures, truth_of, truths_of
from binpose_self_training.recorded_frames import NamedFrames, RecordedFrames
from binpose_self_training.records import RoundRecord
from binpose_self_training.selection.evidence import LabelEvidence
from binpose_self_training.selection.selector import SelectionConfig, select_labels
from binpose_self_training.self_training import SelfTraining, SelfTrainingResult
from binpose_self_training.student import mixed_views, train_student
from binpose_simulation.view_store import ViewStore
from common import heading, table

PAPER = SelectionConfig(appearance=True, geometry=True, certificate=False, score=0.5)
CRITERIA = {
    "score alone": replace(PAPER, appearance=False, geometry=False),
    "d_a": replace(PAPER, geometry=False),
    "d_g": replace(PAPER, appearance=False),
    "d_a and d_g (paper)": PAPER,
    "certificate": replace(PAPER, appearance=False, geometry=False, certificate=True),
    "certificate, d_a and d_g": replace(PAPER, certificate=True),
    "default": SelectionConfig(),
}


@dataclass(frozen=True)
class Arguments:
    """target: data set to learn from, beside the one to test on. model: the lower bound: a store, or a shipped model.

    rounds, frames: of the self-training. out: folder that is made anew, unless --resume is given.
    detector_samples, pose_samples: budget of a student; 0 = the default. replay: simulated views beside the new ones.
    resume: continue an interrupted run.
    """

    target: tyro.conf.Positional[Path]
    model: Path = Path("demo")
    rounds: int = 5
    frames: int = 150
    out: Path = Path("runs/self_training")
    detector_samples: int = 0
    pose_samples: int = 0
    replay: int = SelfTrainingConfig().replay.simulated
    seed: int = 0
    workers: int = 2
    resume: bool = False


def main(arguments: Arguments) -> None:
    """Train, measure and print the tables."""
    heading(f"Self-training on {arguments.target.name}")
    store = prepared_store(arguments)
    recording = NamedFrames(arguments.target, open_inputs(arguments.target).frames)
    champion = load_bundle(store, version=first_version(store))
    test = arguments.target.with_name(f"{arguments.target.name}_test")
    sources = open_inputs(test).frames
    tests = [(source, known) for source in sources if (known := truth_of(source, champion.objects)) is not None]
    if not tests:
        raise BinposeError(f"{test} has no poses of the model's parts; expected some; make it anew.")
    truths: list[list[FrameTruth | None]] = []

    def truth(frames: RecordedFrames) -> KnownTruth:
        truths.append(truths_of(frames, [recording], champion.objects))
        return KnownTruth(truths[0], tests)

    config = configured(arguments)
    machine = SelfTraining(store, arguments.out / "run", config, arguments.workers, report=progress, truth=truth)
    result = machine([recording])
    students = sum(bool(record.student) for record in result.records)
    upper = upper_bound(arguments, champion, recording, result, config, max(students, 1))
    print_rounds(result, test_figures(upper, tests), test_figures(result.candidate, tests))
    print_criteria(arguments.out / "run", result, truths[0])
    if result.verdict is not None:
        print(f"\nGate: {result.verdict.decision.value}. {' '.join(result.verdict.reasons)}")


def prepared_store(arguments: Arguments) -> Path:
    """A model store of its own with the lower bound."""
    store, source = arguments.out / "model", shipped_or_own(arguments.model)
    if arguments.out.exists() and not arguments.resume:
        shutil.rmtree(arguments.out)
    if not store.exists():
        version = ModelStore(source).current()
        if version is None:
            raise BinposeError(f"No model is in use in {source}; expected one; train it first.")
        adopt_version(source, store, version)
    return store


def adopt_version(source: Path, target: Path, version: str) -> None:
    """Copy a version of a model store into another one, byte by byte, and use it there if nothing is in use yet."""
    own = ModelStore(target)
    if version not in own.versions():
        for suffix in (".safetensors", ".json"):
            name = f"weights-{version[:SHORT]}{suffix}"
            write_bytes(target / name, (source / name).read_bytes())
    if own.current() is None:
        own.promote(version)


def first_version(store: Path) -> str:
    """The version that the store was made with."""
    return ModelStore(store).versions()[0]


def configured(arguments: Arguments) -> SelfTrainingConfig:
    """The settings of the self-training."""
    config = SelfTrainingConfig(rounds=arguments.rounds, seed=arguments.seed)
    student = config.student
    if arguments.detector_samples:
        loop = replace(student.detector.loop, samples=arguments.detector_samples)
        student = replace(student, detector=replace(student.detector, loop=loop))
    if arguments.pose_samples:
        loop = replace(student.pose.loop, samples=arguments.pose_samples)
        student = replace(student, pose=replace(student.pose, loop=loop))
    return replace(
        config, student=student, frames=replace(config.frames, frames=arguments.frames, held_out=0.1),
        replay=replace(config.replay, simulated=arguments.replay),
    )  # fmt: skip


def progress(stage: str, fraction: float, message: str) -> None:
    """Print the end of each stage."""
    if fraction >= 1.0:
        print(f"  {stage}: {message}", flush=True)


def upper_bound(
    arguments: Arguments, champion: PipelineBundle, recording: NamedFrames, result: SelfTrainingResult,
    config: SelfTrainingConfig, rounds: int,
) -> PipelineBundle:  # fmt: skip
    """A model that learns the true labels of the same frames, with the budget of all rounds."""
    by_name = {source.name: source for source in recording.frames if isinstance(source, BopFrame)}
    views = [labelled_view(by_name[info.name]) for info in result.frames.infos]
    mixed = mixed_views(views, ViewStore(arguments.out / "run" / "replay"), config.replay.share)
    model = champion
    for number in range(rounds):
        folder = arguments.out / f"upper_bound_{number + 1}"
        model = train_student(model, mixed, config.student, config.seed + number + 1, folder)
        print(f"  upper bound: {number + 1} of {rounds} rounds", flush=True)
    return model


def print_rounds(result: SelfTrainingResult, upper: dict[str, Any], last: dict[str, Any]) -> None:
    """A row for the lower bound, the teacher of each round, the last student and the upper bound."""
    rows = [figures(name_of(record), record.measured["test"], record) for record in result.records]
    if result.records[-1].student:
        rows.append(figures("last student", last))
    rows.append(figures("upper bound: true labels", upper))
    print()
    table(["", "recall", "precision", "average precision", "labels", "right", "visible parts labelled"], rows)
    first, best = result.records[0].measured["test"]["all"]["recall"], last["all"]["recall"]
    gap = upper["all"]["recall"] - first
    closed = f"{100 * (best - first) / gap:.0f} %" if gap > 0 else "-"
    print(f"\nRecall {100 * first:.1f} -> {100 * best:.1f} % (upper bound {100 * upper['all']['recall']:.1f} %): "
          f"{closed} of the gap.")  # fmt: skip


def name_of(record: RoundRecord) -> str:
    """What the teacher of a round is."""
    return "lower bound" if record.number == 1 else f"after round {record.number - 1}"


def figures(name: str, test: dict[str, Any], record: RoundRecord | None = None) -> list[str]:
    """The cells of a row."""
    overall, labels = test["all"], {} if record is None else record.measured.get("labels", {})
    cells = [name, *(percent(overall[key]) for key in ("recall", "precision", "average_precision"))]
    return [*cells, str(labels.get("labels", "-")), percent(labels.get("precision")), percent(labels.get("yield"))]


def print_criteria(run: Path, result: SelfTrainingResult, truths: Sequence[FrameTruth | None]) -> None:
    """Labels that each set of criteria would accept of the first teacher's poses."""
    entries = json.loads((run / "round_1" / "evidence.json").read_text())
    frames: list[list[tuple[LabelEvidence, PoseEstimate]]] = [[] for _ in range(len(result.frames))]
    for entry in entries:
        pose = PoseEstimate(entry["object_id"], np.array(entry["T_cam_obj"]), entry["score"])
        frames[entry["frame"]].append((evidence_of(entry), pose))
    rows = []
    for name, config in CRITERIA.items():
        selection = select_labels([[evidence for evidence, _ in frame] for frame in frames], config)
        labels = [
            [pose for (_, pose), mark in zip(frame, selection.accepted(index), strict=True) if mark]
            for index, frame in enumerate(frames)
        ]
        quality = label_quality(truths, labels, result.champion.objects)
        rows.append([name, str(quality.labels), percent(quality.precision), percent(quality.label_yield)])
    print("\nCriteria on the poses of the first teacher:\n")
    table(["criteria", "labels", "right", "visible parts labelled"], rows)


def evidence_of(entry: dict[str, Any]) -> LabelEvidence:
    """The stored evidence; what was not finite when it was stored is infinite for d_g, else NaN."""
    names = ("d_mask", "d_image", "d_g", "depth_agreement", "returned", "other_views", "held")
    values = {name: float("nan") if entry[name] is None else entry[name] for name in names}
    values["d_g"] = float("inf") if entry["d_g"] is None else entry["d_g"]
    return LabelEvidence(entry["object_id"], entry["score"], **values)


def percent(value: float | None) -> str:
    """A fraction as text."""
    return "-" if value is None or value != value else f"{100 * value:.1f} %"


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
