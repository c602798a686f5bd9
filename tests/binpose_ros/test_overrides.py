"""A misspelled parameter is found, and one of another node in a shared section is not taken for one."""

from pathlib import Path

import pytest

from binpose_core.base.reasons import Reason
from binpose_ros.overrides import shared_parameters, unknown_parameters

KNOWN = ("threshold", "objects", "refiner.keep_best", "tf_prefix", "use_sim_time", "qos_overrides./tf.publisher.depth")


@pytest.mark.parametrize(
    ("given", "nearest"),
    [
        ("treshold", "threshold"),
        ("refiner.keep_bests", "refiner.keep_best"),
        ("tfprefix", "tf_prefix"),
        ("obj", "objects"),
    ],
)
def test_the_nearest_name_is_offered(given: str, nearest: str) -> None:
    (problem,) = unknown_parameters(["threshold", given], KNOWN)
    assert problem.reason is Reason.UNKNOWN_PARAMETER and problem.subject == given
    assert repr(given) in problem.message and f"did you mean {nearest!r}?" in problem.message


def test_known_names_and_qos_are_right() -> None:
    assert unknown_parameters([*KNOWN, "qos_overrides./color/image_raw.subscription.reliability"], KNOWN) == []


def test_in_a_shared_section_only_what_looks_misspelled_counts() -> None:
    given = ["planner.down", "treshold", "rate_hz"]
    assert [problem.subject for problem in unknown_parameters(given, KNOWN, shared=given)] == ["treshold"]


def test_shared_sections_are_those_with_a_wildcard(tmp_path: Path) -> None:
    path = tmp_path / "cell.yaml"
    path.write_text(
        "/**:\n  ros__parameters: {threshold: 0.5, refiner: {keep_best: 2}}\n"
        "cell:\n  bin_picking:\n    ros__parameters: {own: 1}\n  '*':\n    ros__parameters: {device: cpu}\n"
        "/left/refinement:\n  ros__parameters: {tf: true}\n"
    )
    arguments = ["node", "--ros-args", "-p", "own:=1", "--params-file", str(path)]
    assert shared_parameters(arguments) == {"threshold", "refiner.keep_best", "device"}
    assert shared_parameters(["node"]) == set()


@pytest.mark.parametrize("content", ["", "[1, 2]", "a: {b", "/**: 5", "/**:\n  ros__parameters: 3"])
def test_a_file_without_parameters_has_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "cell.yaml"
    path.write_text(content)
    assert shared_parameters(["--params-file", str(path)]) == set()
    assert shared_parameters(["--params-file", str(tmp_path / "missing.yaml")]) == set()
