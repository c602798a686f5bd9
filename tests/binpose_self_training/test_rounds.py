"""The rounds with a teacher that knows the truth and a student that changes one weight."""

import re
import resource
import socket
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason
from binpose_core.datasets.bop import BopDataset
from binpose_core.frames.types import UNKNOWN
from binpose_core.learning.model_store import ModelStore
from binpose_pipeline.bundle import load_bundle, save_bundle
from binpose_self_training.bin_teacher import TaughtFrame
from binpose_self_training.config import FramesConfig, ReplayConfig, SelfTrainingConfig
from binpose_self_training.recorded_frames import NamedFrames
from binpose_self_training.rounds import Rounds
from binpose_self_training.selection.evidence import LabelEvidence
from binpose_self_training.self_training import SelfTraining
from binpose_self_training.student import joined_views, mixed_views

from .conftest import as_known

CONFIG = SelfTrainingConfig(
    rounds=4, fewest_labels=1, least_growth=0.0, anchors=0, frames=FramesConfig(held_out=0.34),
    replay=ReplayConfig(simulated=0),
)  # fmt: skip
GOOD = LabelEvidence("step", 0.95, 0.01, 0.1, 0.01, depth_agreement=1.0, returned=1.0)


class KnowingTeacher:
    """Reports as many true poses of each frame as its model has weight; a student adds one."""

    def __init__(self, scenes: list[Any], unexplained: float = 0.5) -> None:
        self.scenes, self.unexplained = scenes, unexplained

    def __call__(self, bundle: Any, config: Any) -> "KnowingTeacher":
        found = KnowingTeacher(self.scenes, self.unexplained)
        found.count = skill(bundle)
        return found

    def teach(self, frames: Any, track: Callable[..., Any] = iter) -> list[TaughtFrame]:
        taught = []
        for index in track(range(len(frames))):
            frame = frames.store[index].frame
            scene = min(self.scenes, key=lambda s: np.abs(s.frame.depth_m - frame.depth_m).mean())
            known = as_known(scene)
            poses = known.poses[: self.count]
            evidence = [replace(GOOD, object_id=pose.object_id) for pose in poses]
            taught.append(TaughtFrame(known.detections, poses, evidence, self.unexplained))
        return taught


def skill(bundle: Any) -> int:
    bias = next(p for name, p in bundle.estimator.network.named_parameters() if name.endswith("match.bias"))
    return round(float(bias.detach()[0]))


def raise_skill(bundle: Any, by: int, most: int = 3) -> None:
    bias = next(p for name, p in bundle.estimator.network.named_parameters() if name.endswith("match.bias"))
    with torch.no_grad():
        bias[0] = min(most, round(float(bias[0])) + by)


@pytest.fixture
def store(tmp_path: Path, networks: Any) -> Path:
    raise_skill(networks, 1 - skill(networks))
    save_bundle(networks, tmp_path / "model", header={"training": {"views": 7}})
    return tmp_path / "model"


@pytest.fixture
def recordings(dataset: Path) -> list[NamedFrames]:
    frames = BopDataset(dataset).frames("test")
    return [NamedFrames(dataset, list(frames))]


@pytest.fixture
def run(store: Path, tmp_path: Path, scenes: list[Any]) -> Callable[..., SelfTraining]:
    """Makes a self-training with the knowing teacher."""
    seen: list[Any] = []
    made: dict[str, float] = {}

    def learn(teacher: Any, views: Any, *arguments: Any, **options: Any) -> Any:
        seen.append(list(views))
        student = load_bundle(store, version=teacher.version)
        raise_skill(student, 1)
        return student

    def rounds(*arguments: Any, **options: Any) -> Rounds:
        knowing = KnowingTeacher(scenes, **made)
        return Rounds(*arguments, **options, teach=lambda b, c: knowing(b, c).teach, learn=learn)

    def make(config: SelfTrainingConfig = CONFIG, unexplained: float = 0.5, **options: Any) -> SelfTraining:
        made["unexplained"] = unexplained
        machine = SelfTraining(store, tmp_path / "run", config, rounds=rounds, **options)
        object.__setattr__(machine, "seen", seen)
        return machine

    return make


def test_each_student_is_the_next_teacher_until_the_labels_no_longer_grow(run, recordings, store):
    before = ModelStore(store).current()
    result = run()(recordings)
    labels = [record.labels for record in result.records]
    assert labels == [2, 4, 6, 6]
    assert "no longer grow" in result.records[-1].ended and not result.records[-1].student
    for one, other in zip(result.records, result.records[1:], strict=False):
        assert other.teacher == one.student != one.teacher
        assert ModelStore(store).header(other.teacher)["parent"] == one.teacher
        assert ModelStore(store).header(other.teacher)["training"] == {"views": 7}
    assert result.candidate.version == result.records[-1].teacher
    assert ModelStore(store).current() == before


def test_students_learn_accepted_poses_and_nothing_of_the_rest(run, recordings):
    machine = run(replace(CONFIG, rounds=1))
    machine(recordings)
    (views,) = machine.seen
    assert len(views) == 2  # a third of the frames is held out
    for view in views:
        assert len(view.object_ids) == 1
        assert set(np.unique(view.instance_ids)) >= {UNKNOWN, 0}


def test_too_few_labels_train_no_student(run, recordings):
    result = run(replace(CONFIG, fewest_labels=5))(recordings)
    assert not result.has_candidate and result.verdict is None
    assert result.records[0].ended == "only 2 pseudo labels in 2 frames; expected at least 5"


def test_parts_that_the_model_does_not_know_are_suspected_where_it_explains_little(run, recordings):
    result = run(replace(CONFIG, fewest_labels=5), unexplained=0.9)(recordings)
    assert result.records[0].ended.endswith(
        "expected at least 5; it explains 10 % of what is in the bins: are these the parts that the model knows?"
    )


def test_a_disk_that_is_full_at_any_time_ends_the_run_in_one_sentence_and_it_resumes(run, recordings, store):
    """Every file is cut off from some report on, as on a full disk; the next start has room for one report more."""
    champion = ModelStore(store).current()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    full = 0
    while True:
        left = [full + 1]

        def report(stage, fraction, message, left=left):
            left[0] -= 1
            if left[0] == 0:
                resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))

        try:
            result = run(report=report)(recordings)
            break
        except BinposeError as error:
            assert "no space is left" in str(error) and "free some space" in str(error)
            full += 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert ModelStore(store).current() == champion and not ModelStore(store).damages()
        assert full < 60
    assert full > 2
    assert [record.labels for record in result.records] == [2, 4, 6, 6]


def test_a_second_self_training_in_a_store_is_refused(run, recordings, store, tmp_path):
    refused = []

    def report(stage, fraction, message):
        with pytest.raises(BinposeError, match=r"is locked by process \d+ .*self-training.*; expected one") as caught:
            SelfTraining(store, tmp_path / "other")(recordings)
        refused.append(caught.value.reason)

    result = run(replace(CONFIG, rounds=1), report=report)(recordings)
    assert refused and set(refused) == {Reason.BUSY} and result.has_candidate
    assert not (tmp_path / "other").exists()


def test_the_gate_does_not_promote_what_two_frames_cannot_prove(run, recordings, store):
    machine = run()
    result = machine(recordings)
    assert result.verdict is not None and not result.verdict.promoted
    with pytest.raises(BinposeError, match="did not promote"):
        machine.promote(result)


class Killed(BaseException):
    pass


def test_a_run_that_was_killed_anywhere_ends_as_one_that_was_not(run, recordings, tmp_path, store):
    """Killed at each report in turn, one later after each start: the last start ends as if nothing had happened."""
    champion = ModelStore(store).current()
    kills = 0
    while True:
        left = [kills + 1]

        def report(stage, fraction, message, left=left):
            left[0] -= 1
            if left[0] == 0:
                raise Killed

        try:
            result = run(report=report)(recordings)
            break
        except Killed:
            kills += 1
            assert ModelStore(store).current() == champion and not ModelStore(store).damages()
            assert kills < 60
    assert kills > 2
    assert [record.labels for record in result.records] == [2, 4, 6, 6]
    assert len({record.student for record in result.records if record.student}) == 3


def test_what_a_killed_run_left_is_removed_by_the_next_start(run, recordings, store, tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    host = re.sub(r"[^A-Za-z0-9]", "_", socket.gethostname())
    run(replace(CONFIG, fewest_labels=100))(recordings)
    left = [folder / f".x.{host}-{ended.pid}-0123abcd.tmp.json" for folder in (store, tmp_path / "run" / "round_1")]
    for file in left:
        file.write_text("half")
    run(replace(CONFIG, fewest_labels=100))(recordings)
    assert not any(file.exists() for file in left)


def test_a_folder_of_another_run_is_refused(run, recordings):
    run()(recordings)
    with pytest.raises(BinposeError, match="holds a self-training with other settings; expected the same ones"):
        run(replace(CONFIG, seed=5))(recordings)


def test_a_run_that_is_repeated_when_it_is_done_changes_nothing(run, recordings, store):
    first, versions = run()(recordings), ModelStore(store).versions()
    again = run()(recordings)
    assert again.candidate.version == first.candidate.version and ModelStore(store).versions() == versions


def test_recordings_without_a_usable_frame_are_refused(run, tmp_path):
    with pytest.raises(BinposeError, match=r"No frame of .* can be learnt from"):
        run()([NamedFrames(tmp_path / "empty", [])])


def test_mixed_views_have_about_the_wanted_share():
    new, old = joined_views([1, 2, 3]), joined_views(list(range(10, 40)))
    for share in (0.25, 0.5, 0.8):
        views = list(mixed_views(new, old, share))
        assert sum(view >= 10 for view in views) / len(views) == pytest.approx(share, abs=0.1)
        assert {1, 2, 3} <= set(views)
    assert list(mixed_views(new, joined_views([]), 0.5)) == [1, 2, 3] == list(mixed_views(new, old, 0.0))


def test_a_folder_without_a_model_is_refused_and_stays_empty(tmp_path, recordings):
    with pytest.raises(BinposeError, match=r"no model in the folder .*demo; expected one of your own"):
        SelfTraining(tmp_path / "demo", tmp_path / "run")(recordings)
    assert not (tmp_path / "demo").exists()


def test_views_are_replayed_only_where_a_student_is_trained(run, recordings, tmp_path):
    run(replace(CONFIG, fewest_labels=100, replay=ReplayConfig(simulated=50)))(recordings)
    assert not (tmp_path / "run" / "replay").exists()
