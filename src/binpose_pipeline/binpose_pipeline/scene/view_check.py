"""Whether views show the same resting bin, from sure parts of one view in the depth of the other."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from binpose_core.base.settings import FRACTION, check_bounds, setting
from binpose_core.frames.camera_view import CameraView
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_pipeline.scene.alike_poses import in_camera
from binpose_pipeline.scene.camera_residuals import CameraResiduals
from binpose_pipeline.scene.view_agreement import ViewMeasurer


@dataclass(frozen=True)
class ViewCheckConfig:
    """When views contradict each other, and which camera errors are reported.

    sure: least score of a single view's pose that is looked for in the other views.
    seen: least visible fraction at which a part is looked for.
    agrees, free: fractions of agreeing depth from which a part is confirmed, and below which it is missing.
    missing: fraction of missing parts from which two views contradict each other.
    fewest: missing parts from which they do.
    notable_m: camera error from which the verdict names it.
    fewest_parts: parts in two views from which a camera error is corrected.
    """

    sure: float = setting(0.7, bounds=FRACTION)
    seen: float = setting(0.3, bounds=FRACTION)
    agrees: float = setting(0.6, bounds=FRACTION)
    free: float = setting(0.4, bounds=FRACTION)
    missing: float = setting(0.4, bounds=FRACTION)
    fewest: int = setting(2, bounds=(1, 1000))
    notable_m: float = setting(0.002, bounds=(0.0, 1.0))
    fewest_parts: int = setting(3, bounds=(1, 1000))

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class PairCheck:
    """Sure parts of either view in the other's depth: confirmed, and missing because there is free space."""

    first: int
    second: int
    confirmed: int
    missing: int


def check_pairs(
    measurer: ViewMeasurer,
    views: Sequence[CameraView],
    T_world_cam: Sequence[FloatArray],
    poses: Sequence[Sequence[PoseEstimate]],
    config: ViewCheckConfig,
) -> list[PairCheck]:
    """Look for the sure parts of each view in each other one.

    Args:
        measurer: predicts what a view shows of a pose.
        views: of the bin.
        T_world_cam: (4, 4) of each view, corrected.
        poses: of each view, in its camera.
        config: settings.
    """
    counts: dict[tuple[int, int], list[int]] = {}
    for a, b in permutations(range(len(views)), 2):
        sure = [pose for pose in poses[a] if pose.score >= config.sure]
        T_world_obj = np.reshape([T_world_cam[a] @ pose.T_cam_obj for pose in sure], (-1, 4, 4))
        names = [pose.object_id for pose in sure]
        found = measurer.predict(views[b].frame, names, in_camera(T_world_cam[b], T_world_obj))
        shown = [p.agreement for p in found if p.visible >= config.seen]
        count = counts.setdefault((min(a, b), max(a, b)), [0, 0])
        count[0] += sum(value >= config.agrees for value in shown)
        count[1] += sum(value < config.free for value in shown)
    return [PairCheck(*pair, *count) for pair, count in sorted(counts.items())]


def missing_parts(checks: Sequence[PairCheck]) -> int:
    """Sure parts that are missing in other views."""
    return sum(check.missing for check in checks)


def agreeing_views(checks: Sequence[PairCheck], count: int, config: ViewCheckConfig) -> tuple[int, ...]:
    """The views that are used together, by index: all, where none contradict each other.

    Else the largest group whose members are linked by parts that two views confirm. Silence is then no agreement: two
    cameras that see no part in common may both be wrong. Of members that contradict each other those with the most
    contradictions are left out, and of these the ones that the fewest parts confirm. Empty for fewer than two views.
    """
    if not any(contradictions(checks, view, config) for view in range(count)):
        return tuple(range(count))
    groups = [_without_contradictions(checks, group, config) for group in _linked(checks, range(count), config)]
    best = max(groups, key=lambda group: (len(group), -min(group, default=count)))
    return tuple(sorted(best)) if len(best) > 1 else ()


def contradictions(checks: Sequence[PairCheck], view: int, config: ViewCheckConfig) -> list[PairCheck]:
    """The pairs with a view in which the two contradict each other."""
    return [
        check
        for check in checks
        if view in (check.first, check.second)
        and check.missing >= max(config.fewest, config.missing * (check.missing + check.confirmed))
    ]


def _linked(checks: Sequence[PairCheck], views: Iterable[int], config: ViewCheckConfig) -> list[set[int]]:
    """The views in groups that are linked by pairs with enough confirmed parts, and without a contradiction."""
    groups = {view: {view} for view in views}
    for check in checks:
        pair = {check.first, check.second}
        if (
            pair <= groups.keys()
            and check.confirmed >= config.fewest
            and not contradictions([check], check.first, config)
        ):
            joined = groups[check.first] | groups[check.second]
            groups |= dict.fromkeys(joined, joined)
    return [group for view, group in groups.items() if view == min(group)]


def _without_contradictions(checks: Sequence[PairCheck], group: set[int], config: ViewCheckConfig) -> set[int]:
    """A group without the views that contradict others of it."""
    own = [check for check in checks if {check.first, check.second} <= group]
    worst = {
        view: (len(contradictions(own, view, config)), -sum(c.confirmed for c in own if view in (c.first, c.second)))
        for view in group
    }
    most = max(worst.values())
    if most[0] == 0:
        return group
    rest = {view for view, value in worst.items() if value != most}
    parts = [_without_contradictions(checks, part, config) for part in _linked(own, rest, config)]
    return max(parts, key=lambda part: (len(part), -min(part, default=0)), default=set())


def contradiction_sentence(view: int, checks: Sequence[PairCheck], names: Sequence[str]) -> str:
    """Why a view is used alone."""
    worst = max(checks, key=lambda check: (check.missing, -check.confirmed))
    other = worst.second if worst.first == view else worst.first
    return (
        f"View {names[view]} is used alone: in view {names[other]}, free space is measured at {worst.missing} of "
        f"{worst.missing + worst.confirmed} sure parts; it shows another bin, the bin moved between the views, or a "
        "camera pose is wrong."
    )


def silence_sentence(view: int, names: Sequence[str]) -> str:
    """Why a view is used alone that no other one contradicts."""
    return (
        f"View {names[view]} is used alone: other views contradict each other, and too few of their parts are seen in "
        "it."
    )


def residual_sentence(residuals: CameraResiduals, names: Sequence[str], config: ViewCheckConfig) -> str:
    """The verdict on the camera poses, in one sentence."""
    pairs = [pair for pair in residuals.pairs if pair.parts >= config.fewest_parts]
    if not pairs:
        return "The camera poses were not checked, as too few parts are seen in two views."
    parts, after = sum(pair.parts for pair in pairs), max(pair.after_m for pair in pairs)
    worst = max(pairs, key=lambda pair: pair.shift_m)
    if worst.shift_m < config.notable_m:
        return f"The camera poses agree within {worst.shift_m * 1e3:.1f} mm ({parts} parts in two views)."
    camera = int(np.argmax(residuals.shift_m))
    alone = np.sort(residuals.shift_m)[-2] < 0.5 * residuals.shift_m[camera] if len(residuals.shift_m) > 2 else False
    who = f"The camera pose of view {names[camera]} is" if alone else "The camera poses are"
    size = residuals.shift_m[camera] if alone else worst.shift_m
    return (
        f"{who} off by {size * 1e3:.1f} mm ({parts} parts in two views), a hand-eye error or a motion of the bin; it "
        f"was corrected with these parts, {after * 1e3:.1f} mm remain."
    )
