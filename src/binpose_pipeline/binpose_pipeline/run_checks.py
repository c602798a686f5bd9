"""What a user of a new camera or part must see first: agreement with the depth, empty frames and remarks."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from binpose_core.base.reasons import Reason
from binpose_core.frames.types import PoseEstimate
from binpose_core.parts.empty_results import EmptyReason
from binpose_pipeline.depth_check import FEWEST, SURE, DepthCheck, check_depth
from binpose_pipeline.runs import FrameOutcome

HIGHER_THRESHOLDS = (0.6, 0.7, 0.8, 0.9, 0.95)
GOOD = 0.95
"""Fraction of agreeing poses that a higher threshold must reach to be advised."""


def reported_poses(outcomes: Iterable[FrameOutcome]) -> list[PoseEstimate]:
    """The poses of all frames."""
    return [pose for outcome in outcomes for pose in outcome.poses]


def agreement_sentence(check: DepthCheck) -> str:
    """How many poses agree with the depth; empty where none could be checked."""
    if not check.checked:
        return ""
    unchecked = check.reported - check.checked
    rest = f" ({unchecked} could not be checked)" if unchecked else ""
    return f"{check.agree} of {check.reported} reported poses agree with the depth{rest}."


def warnings(outcomes: Sequence[FrameOutcome]) -> list[str]:
    """What is wrong with the poses of a run, a paragraph each."""
    poses = reported_poses(outcomes)
    check = check_depth(poses)
    found = [_low_agreement(check, poses)] if check.is_low else _low_objects(poses)
    if check.out_of_distribution:
        found.append(
            f"{check.out_of_distribution} of {check.reported} reported poses are unlike those that the score was "
            "fitted on, so their scores are cautious; check them in the overlays."
        )
    return found


def empty_frames(outcomes: Iterable[FrameOutcome]) -> list[tuple[str, list[str]]]:
    """(reason, names of the frames) for each kind of reason; the sentence is that of the first frame."""
    by_code: dict[Reason, tuple[EmptyReason, list[str]]] = {}
    for outcome in outcomes:
        if outcome.reason is not None:
            by_code.setdefault(outcome.reason.code, (outcome.reason, []))[1].append(outcome.name)
    return [(reason.sentence, names) for reason, names in by_code.values()]


def empty_sentences(outcomes: Sequence[FrameOutcome]) -> list[str]:
    """A sentence for each kind of reason for frames without reported poses."""
    total = sum(outcome.error is None for outcome in outcomes)
    return [
        f"{len(names)} of {counted(total, 'frame')} without a part{', for example' if len(names) > 1 else ','} "
        f"{names[0]}: {sentence}"
        for sentence, names in empty_frames(outcomes)
    ]


def notes_of(outcomes: Iterable[FrameOutcome], others: Iterable[str] = ()) -> list[str]:
    """What the reader ignored or found odd: each note once, with the number of frames where it is not all."""
    outcomes = [outcome for outcome in outcomes if outcome.error is None]
    count = Counter(note for outcome in outcomes for note in outcome.notes)
    return [*others, *(note if n == len(outcomes) else f"{note} ({counted(n, 'frame')})" for note, n in count.items())]


def counted(count: int, noun: str) -> str:
    """The count and the noun in its number."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _low_agreement(check: DepthCheck, poses: Sequence[PoseEstimate]) -> str:
    sure = f" ({check.contradicted_sure} of them with a score of {SURE} or more)" if check.contradicted_sure else ""
    return (
        f"Only {check.agree} of {check.checked} poses agree with the depth: the other {check.contradicted}{sure} stand "
        "where the camera saw empty space, so they are wrong and the scores cannot be trusted here. Check the camera's "
        "intrinsics and depth_scale and the unit and size of the CAD files, look at the overlays (contradicted poses "
        f"are red), and train for this camera. {_advice(poses)}"
    )


def _low_objects(poses: Sequence[PoseEstimate]) -> list[str]:
    checks = {name: check_depth(p for p in poses if p.object_id == name) for name in {p.object_id for p in poses}}
    return [
        f"Only {check.agree} of {check.checked} poses of {name} agree with the depth: look at the overlays "
        "(contradicted poses are red), and check that these parts are in the bin and that their CAD file fits."
        for name, check in sorted(checks.items())
        if check.is_low
    ]


def _advice(poses: Sequence[PoseEstimate]) -> str:
    """Which threshold separates the poses that agree, by this run."""
    checked: Mapping[float, DepthCheck] = {t: check_depth(p for p in poses if p.score >= t) for t in HIGHER_THRESHOLDS}
    for threshold, check in checked.items():
        if check.checked >= FEWEST / 2 and check.agree >= GOOD * check.checked:
            return f"With --threshold {threshold}, {check.agree} of {check.checked} poses agree."
    return "A higher --threshold does not separate them."
