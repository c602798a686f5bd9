"""Requests for self-trainings: one at a time, from a sound model, confirmed by the running nodes."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError, NoModel
from binpose_core.base.reasons import Reason
from binpose_core.learning.model_store import ModelStore
from binpose_self_training import trainer
from binpose_self_training.trainer import SelfTrainer, TrainingSettings
from binpose_self_training.training_job import TrainingJob, TrainingOutcome
from binpose_self_training.training_process import Stop


@pytest.fixture
def model(tmp_path: Path) -> Path:
    store = ModelStore(tmp_path / "model")
    store.save({"a": np.zeros(3)}, {})
    return store.directory


@pytest.fixture
def job(model: Path, tmp_path: Path) -> TrainingJob:
    (tmp_path / "bag").mkdir()
    return TrainingSettings(rounds=3, threads=2).job(model, [tmp_path / "bag"])


def test_a_job_has_the_settings_of_the_node_unless_the_request_has_others(job: TrainingJob, model: Path) -> None:
    assert (job.rounds, job.threads, job.promote) == (3, 2, False)
    assert job.directory.parent == model / "self_training"
    other = TrainingSettings(rounds=3, directory=str(model / "runs")).job(model, job.recordings, 4, promote=True)
    assert (other.rounds, other.promote) == (4, True) and other.directory.parent == model / "runs"
    assert other.directory.name != job.directory.name


def test_a_request_without_model_or_recording_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(NoModel, match="No model at"):
        TrainingSettings().job(tmp_path / "nowhere", [tmp_path])
    with pytest.raises(BinposeError, match=r"Could not read .*nowhere"):
        TrainingSettings().job(model, [tmp_path / "nowhere"])
    with pytest.raises(BinposeError, match="rounds is 101"):
        TrainingSettings().job(model, [tmp_path], 101)
    next(model.glob("*.safetensors")).write_bytes(b"damaged")
    with pytest.raises(BinposeError, match="truncated"):
        TrainingSettings().job(model, [tmp_path])


def with_outcome(monkeypatch: pytest.MonkeyPatch, outcome: Any) -> None:
    """Runs end with an outcome."""
    monkeypatch.setattr(trainer, "TrainingProcess", lambda job, follow, stop: lambda: outcome(stop))


def test_a_second_request_is_refused_and_the_first_one_can_be_paused(
    job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, seen = threading.Event(), []

    def run(stop: Any) -> TrainingOutcome:
        begun.set()
        while (why := stop()) is None:
            pass
        seen.append(why)
        return TrainingOutcome(Reason.CANCELLED, "")

    with_outcome(monkeypatch, run)
    train = SelfTrainer()
    thread = threading.Thread(target=train, args=(lambda: job,))
    thread.start()
    assert begun.wait(10) and train.progress is not None
    with pytest.raises(BinposeError, match="one at a time") as caught:
        train(lambda: job)
    assert caught.value.reason is Reason.BUSY
    train.pause()
    thread.join(10)
    assert seen == [Stop.PAUSE] and train.progress is None
    assert train(lambda: job, is_cancelled=lambda: True).reason is Reason.CANCELLED and seen[-1] is Stop.CANCEL


def test_a_promotion_that_a_running_node_does_not_take_is_no_promotion(
    job: TrainingJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    promoted = TrainingOutcome(Reason.OK, "Model is in use.", "new", "promoted", promoted=True)
    with_outcome(monkeypatch, lambda stop: promoted)
    assert SelfTrainer()(lambda: job) == promoted
    outcome = SelfTrainer(lambda version: f"bin_picking refuses {version}.")(lambda: job)
    assert not outcome.promoted and outcome.message == "bin_picking refuses new." and outcome.decision == "promoted"
