"""Students are what their names say, and the same in each run."""

from types import ModuleType

import numpy as np
import pytest

from binpose_core.frames.types import PoseEstimate
from binpose_pipeline.pipeline import TimedResult


@pytest.fixture
def students(benchmarks: None) -> ModuleType:
    import gate_students

    return gate_students


@pytest.fixture
def result() -> TimedResult:
    names = ("hex_bolt", "spur_gear") * 20
    poses = [PoseEstimate(name, np.eye(4), 0.1 + 0.02 * i) for i, name in enumerate(names)]
    return TimedResult(poses, {"pose": 0.2}, [])


def test_there_are_30_bad_and_10_good_ones_with_names_of_their_own(students: ModuleType) -> None:
    assert (len(students.BAD), len(students.WORSE_CHAMPIONS)) == (30, 10)
    equals = [one for pair in students.EQUALS for one in pair]
    names = [student.name for student in (*students.BAD, *students.WORSE_CHAMPIONS, *equals)]
    assert len(set(names)) == len(names)


def test_a_student_gives_the_same_result_again(students: ModuleType, result: TimedResult) -> None:
    student = students.Student("x", change=students.fewer(0.5))
    one, again, other = (student.result(name, result) for name in ("a", "a", "b"))
    assert [p.score for p in one.poses] == [p.score for p in again.poses] != [p.score for p in other.poses]


def test_changes_are_what_they_are_called(students: ModuleType, result: TimedResult) -> None:
    rng, poses = np.random.default_rng(0), result.poses
    assert {pose.object_id for pose in students.without("hex_bolt")(poses, rng)} == {"spur_gear"}
    assert len(students.repeated(2, 0.001)(poses, rng)) == 3 * len(poses)
    assert len(students.invented(4)(poses, rng)) == len(poses) + 4
    assert len(students.fewer(1.0)(poses, rng)) == 0 and len(students.fewer(0.0)(poses, rng)) == len(poses)
    scores = np.array([pose.score for pose in students.sharper(3.0)(poses, rng)])
    before = np.array([pose.score for pose in poses])
    assert (np.abs(scores - 0.5) >= np.abs(before - 0.5) - 1e-9).all()
    assert students.Student("slow", slower=2.0).result("a", result).seconds == {"pose": 0.4}
