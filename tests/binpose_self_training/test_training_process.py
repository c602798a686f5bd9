"""A self-training in a process of its own: followed, cancelled, killed. A small program stands in for `binpose`."""

import ast
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.base.reasons import Reason
from binpose_core.learning.model_store import ModelStore
from binpose_self_training.training_job import TrainingJob, TrainingProgress, run_name
from binpose_self_training.training_process import LOG, Stop, TrainingProcess

BEGIN = """
import json, os, signal, sys, time
from pathlib import Path
options = dict(zip(sys.argv[3::2], sys.argv[4::2]))
run = Path(options["--out"])
def say(event, **values):
    print(json.dumps({"event": event, **values}), flush=True)
(run / "run.json").write_text("{}")
say("progress", stage="round 1, teaching", round=1, fraction=0.5, message="")
"""
RESULT = """
verdict = {"decision": "refused", "reasons": ["It finds less."]}
say("result", message="Candidate abc.", champion="a", candidate="b", promoted=False, verdict=verdict)
"""
STUDENT = """
import numpy as np
from binpose_core.learning.model_store import ModelStore
store = ModelStore(options["--model"])
student = store.save({"a": np.ones(3)}, {"self_training": {}}, parent=store.current())
store.nominate(student)
say("round", number=1, labels=3, poses=5)
"""
WAIT = "\ntime.sleep(60)\n"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    store = ModelStore(tmp_path / "model")
    store.save({"a": np.zeros(3)}, {"name": "first"})
    store.nominate(store.save({"a": np.full(3, 2.0)}, {"name": "of another program"}))
    return store.directory


@pytest.fixture
def process(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TrainingProcess]:
    """A run of a program in the place of `binpose`."""
    package = tmp_path / "stand_in" / "binpose"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")]))

    def make(program: str, **options: Any) -> TrainingProcess:
        (package / "cli.py").write_text(BEGIN + program)
        job = TrainingJob(model, (tmp_path / "bag",), tmp_path / "run", rounds=2, threads=3, promote=False)
        return TrainingProcess(job, grace_s=2.0, **options)

    return make


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.suffix != ".lock"}


def after_a_student(progress: list[TrainingProgress], how: Stop) -> dict[str, Any]:
    """Options that stop a run once it has saved a student."""
    return {"on_progress": progress.append, "stop": lambda: how if progress and progress[-1].kept else None}


def test_progress_and_result_are_passed_on(process: Callable[..., TrainingProcess]) -> None:
    heard: list[TrainingProgress] = []
    lines = 'print("a library writes this")\nsay("losses", round=1, stage="pose", losses={"pose": 0.5, "bad": None})\n'
    outcome = process(STUDENT + lines + RESULT, on_progress=heard.append)()
    assert (outcome.reason, outcome.decision, outcome.version) == (Reason.OK, "refused", "b")
    assert outcome.result()["message"] == "Candidate abc. It finds less." and not outcome.promoted
    assert json.loads(outcome.result()["metrics"])["reasons"] == ["It finds less."]
    fields = heard[-1].feedback()
    assert (fields["stage"], fields["round"], fields["fraction"]) == ("round 1, teaching", 1, 0.5)
    assert (fields["labels_kept"], fields["labels_seen"], fields["loss"]) == (3, 5, 0.5)


def test_it_has_the_lowest_priority_few_threads_and_the_options_of_the_job(
    process: Callable[..., TrainingProcess], tmp_path: Path
) -> None:
    text = 'str([os.nice(0), os.environ["OMP_NUM_THREADS"], os.environ["OMP_WAIT_POLICY"], sys.argv[1:]])'
    # The priority is set right after the start.
    outcome = process(f'time.sleep(0.5)\nsay("error", code="NO_DEPTH", message={text})')()
    assert outcome.reason is Reason.NO_DEPTH
    nice, threads, policy, arguments = ast.literal_eval(outcome.message)
    assert (nice, threads, policy) == (19, "3", "PASSIVE")
    assert arguments[:2] == ["self-train", str(tmp_path / "bag")] and "--json-lines" in arguments
    assert {"--no-promote", "--rounds"} <= set(arguments) and "--frames" not in arguments
    assert arguments[-2:] == ["--parent", str(os.getpid())]


def test_a_cancelled_run_leaves_everything_as_it_was(process: Callable[..., TrainingProcess], model: Path) -> None:
    before = content(model)
    progress: list[TrainingProgress] = []
    run = process(STUDENT + WAIT, **after_a_student(progress, Stop.CANCEL))
    outcome = run()
    assert outcome.reason is Reason.CANCELLED and "as it was" in outcome.message
    assert content(model) == before and not run.job.directory.exists()


def test_a_run_that_ignores_sigterm_is_killed(process: Callable[..., TrainingProcess], model: Path) -> None:
    before = content(model)
    stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    progress: list[TrainingProgress] = []
    outcome = process(stubborn + STUDENT + WAIT, **after_a_student(progress, Stop.CANCEL))()
    assert outcome.reason is Reason.CANCELLED and content(model) == before


def test_a_paused_run_keeps_what_resumes_it(process: Callable[..., TrainingProcess], model: Path) -> None:
    progress: list[TrainingProgress] = []
    run = process(STUDENT + WAIT, **after_a_student(progress, Stop.PAUSE))
    assert "resumes" in run().message
    assert (run.job.directory / "run.json").is_file() and len(ModelStore(model).versions()) == 3


def test_a_version_that_was_promoted_meanwhile_survives_a_cancellation(
    process: Callable[..., TrainingProcess], model: Path
) -> None:
    progress: list[TrainingProgress] = []
    promote = 'store.promote(student)\nsay("round", number=1, labels=4, poses=5)\n'
    options = after_a_student(progress, Stop.CANCEL)
    options["stop"] = lambda: Stop.CANCEL if progress and progress[-1].kept == 4 else None
    process(STUDENT + promote + WAIT, **options)()
    store = ModelStore(model)
    assert store.header(store.current() or "")["self_training"] == {}


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "was killed by SIGKILL"),
        ('raise OSError(28, "No space left on device")', "ended with status 1 .*No space left on device"),
        ("", "ended with status 0"),
    ],
)
def test_a_process_that_ends_without_a_result_is_explained(
    process: Callable[..., TrainingProcess], model: Path, program: str, sentence: str
) -> None:
    before = content(model)
    run = process(program)
    outcome = run()
    assert not outcome.success and outcome.reason is Reason.INTERNAL_ERROR
    assert re.search(sentence, outcome.message) and "send the same goal to resume it" in outcome.message
    assert content(model) == before and (run.job.directory / LOG).is_file()


def test_a_run_that_has_not_begun_leaves_no_folder(process: Callable[..., TrainingProcess]) -> None:
    run = process('(run / "run.json").unlink()\nsay("error", code="BAD_INPUT", message="The bag is empty.")')
    assert run().message == "The bag is empty." and not run.job.directory.exists()


def test_what_was_left_out_is_in_the_result(process: Callable[..., TrainingProcess]) -> None:
    outcome = process('say("note", message="bag_2 was left out.")' + RESULT)()
    assert json.loads(outcome.result()["metrics"])["left_out"] == ["bag_2 was left out."]


def test_a_folder_that_cannot_be_written_is_named(process: Callable[..., TrainingProcess]) -> None:
    run = process(RESULT)
    run.job.directory.write_text("no folder")
    with pytest.raises(BinposeError, match=r"Could not write .*log\.txt"):
        run()


def test_a_run_has_the_name_of_what_it_trains_on(tmp_path: Path) -> None:
    bag, settings = tmp_path / "bag", tmp_path / "settings.yaml"
    bag.mkdir()
    (bag / "bag_0.mcap").write_bytes(b"frames")
    settings.write_text("rounds: 2")
    name = run_name("version", (bag,), 0, 0, settings)
    assert name == run_name("version", (bag,), 0, 0, settings)
    (bag / "bag_1.mcap.active").write_bytes(b"still written")
    assert name == run_name("version", (bag,), 0, 0, settings)
    others = [run_name("other", (bag,), 0, 0, settings), run_name("version", (bag,), 3, 0, settings)]
    (bag / "bag_1.mcap").write_bytes(b"more frames")
    others.append(run_name("version", (bag,), 0, 0, settings))
    settings.write_text("rounds: 3")
    others.append(run_name("version", (bag,), 0, 0, settings))
    assert len({name, *others}) == 5
    with pytest.raises(BinposeError, match="nowhere"):
        run_name("version", (tmp_path / "nowhere",), 0, 0, None)
