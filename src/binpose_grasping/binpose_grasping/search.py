"""All grasps of a part from its CAD file: candidates, collisions, symmetric copies, robust quality."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BadFile
from binpose_core.parts.grasps import PARALLEL, GraspSet
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.antipodal import ContactPairs, balance, contact_pairs, hands_at
from binpose_grasping.folding import fold
from binpose_grasping.grasp_file import read_grasps
from binpose_grasping.gripper import GripperConfig
from binpose_grasping.robustness import robustness
from binpose_grasping.search_config import SearchConfig, SuctionConfig
from binpose_grasping.suction import suction_grasps
from binpose_grasping.turning import free_of_part

SEARCHED = "search"
"""Key of the info of grasps from a search, whose hands may be turned about their closing lines."""


@dataclass(frozen=True, eq=False)
class SearchResult:
    """Grasps, best first, and the sentence that says why there are none (else empty)."""

    grasps: GraspSet
    reason: str = ""


def find_grasps(
    part: ObjectModel,
    gripper: GripperConfig | None = None,
    config: SearchConfig | None = None,
    suction: SuctionConfig | None = None,
    report: Callable[[str], None] = lambda step: None,
) -> SearchResult:
    """Grasps of a part, the same for the same arguments; seconds.

    Args:
        part: with a closed mesh.
        gripper: the parallel hand.
        config: of the search.
        suction: the cup.
        report: called with the name of each step before it starts.
    """
    gripper, config, suction = gripper or GripperConfig(), config or SearchConfig(), suction or SuctionConfig()
    info = {"part": part.digest, "gripper": asdict(gripper), "suction": asdict(suction), SEARCHED: asdict(config)}
    report("pairing contacts")
    pairs = contact_pairs(part, gripper, config.contact.cone_rad, config.points, config.tilts)
    report(f"testing hands at {len(pairs.margin)} pairs of contacts")
    parallel, refused = _parallel(part, gripper, config, pairs, report)
    report("searching places for suction")
    cups = suction_grasps(part, suction, config.errors, config.points)
    cups = cups.take(cups.success >= config.least_success)
    cups = fold(cups, part.symmetries, config.apart * part.diameter_m, config.apart_rad, config.kept)
    found = replace(parallel.joined(cups), info=info)
    return SearchResult(found, "" if len(found) else _reason(part, gripper, pairs, refused))


def _parallel(
    part: ObjectModel,
    gripper: GripperConfig,
    config: SearchConfig,
    pairs: ContactPairs,
    report: Callable[[str], None],
) -> tuple[GraspSet, int]:
    """The grasps of the parallel hand, and the number of candidates that do not collide."""
    free = _free_hands(part, gripper, config, pairs)
    tested = fold(free, part.symmetries, config.apart * part.diameter_m, config.apart_rad, config.tested)
    report(f"testing {len(tested)} grasps for errors of the pose")
    found = robustness(part, tested.T_obj_hand, tested.width_m, gripper, config.contact, config.errors)
    tested = replace(tested, quality=np.clip(found.quality, 0, 1), success=found.success)
    chosen = (found.success >= max(config.least_success, 1e-9)) & (found.nominal > 0)
    return tested.take(chosen).best_first().take(np.arange(config.kept)[: int(chosen.sum())]), len(free)


def _free_hands(part: ObjectModel, gripper: GripperConfig, config: SearchConfig, pairs: ContactPairs) -> GraspSet:
    """One hand at each pair that it can reach without touching the part, by descending margin and balance."""
    rank = _rank(part, pairs)[: config.pairs]
    contacts, margin, width_m = pairs.contacts_m[rank], pairs.margin[rank], pairs.width_m[rank]
    T_obj_hand = hands_at(contacts, gripper, config.rotations, config.depths)
    each = np.repeat(width_m, config.rotations * config.depths)
    free = free_of_part(part, gripper, T_obj_hand.reshape(-1, 4, 4), each).reshape(T_obj_hand.shape[:3])
    chosen = np.flatnonzero(free.any(axis=(1, 2)))
    rotation, depth = roomiest(free[chosen])
    tool = np.full(len(chosen), PARALLEL, np.uint8)
    T_obj_hand, none = T_obj_hand[chosen, rotation, depth], np.zeros(len(chosen))
    return GraspSet(T_obj_hand, width_m[chosen], margin[chosen], none, contacts[chosen], tool)


def roomiest(free: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rotation (P,) and depth (P,) of the hand: in the middle of the widest free range of rotations.

    The first depth with a free hand counts: it holds most firmly. The planner tries the others where it needs them.

    Args:
        free: (P, R, D) whether the hand is free at R rotations around the closing line and D depths.
    """
    inner, room = free.copy(), np.zeros(free.shape, np.int64)
    for _ in range(1 + free.shape[1] // 2):
        room += inner
        inner &= np.roll(inner, 1, axis=1) & np.roll(inner, -1, axis=1)
    depth = room.any(axis=1).argmax(axis=1)
    return np.take_along_axis(room, depth[:, None, None], axis=2)[..., 0].argmax(axis=1), depth


def _rank(part: ObjectModel, pairs: ContactPairs) -> npt.NDArray[np.intp]:
    directions = (pairs.contacts_m[:, 1] - pairs.contacts_m[:, 0]) / pairs.width_m[:, None]
    score = pairs.margin * balance(part, pairs.contacts_m[:, 0], directions)
    return np.argsort(-score, kind="stable")


def _reason(part: ObjectModel, gripper: GripperConfig, pairs: ContactPairs, free: int) -> str:
    """Why a part has no grasps."""
    if not part.watertight:
        return f"The mesh of {part.id!r} is not closed; expected a solid; export it as one."
    thin_mm, room_mm = 1e3 * gripper.least_width_m, 1e3 * (gripper.opening_m - 2 * gripper.clearance_m)
    if not len(pairs.margin):
        return (
            f"{part.id!r} has no two opposite surfaces between {thin_mm:g} and {room_mm:g} mm apart; "
            "expected a part that fits between the fingers; use a gripper that opens wider, or suction."
        )
    if not free:
        return (
            f"The hand collides with {part.id!r} in every grasp; expected room for fingers and palm; use longer or "
            "thinner fingers, or suction."
        )
    return (
        f"No grasp of {part.id!r} holds under the assumed pose errors; expected one that does; lower them, or raise "
        "the friction if it is higher in your cell."
    )


def own_grasps(part: ObjectModel, path: Path, gripper: GripperConfig, suction: SuctionConfig) -> GraspSet:
    """A user's own grasps of a part from a JSON file, best first, for one gripper and cup.

    Raises:
        BinposeError: for a damaged file, or a grasp that is wider than the gripper opens.
    """
    grasps = read_grasps(path, part.id)
    if (wide := grasps.width_m > gripper.opening_m).any():
        number = int(np.argmax(wide))
        raise BadFile(
            f"Grasp {number} in {path} has the width {grasps.width_m[number]:g} m; expected at most the gripper's "
            f"opening of {gripper.opening_m:g} m; correct the file, or give --gripper.opening-m.",
            path,
        )
    info = {"part": part.digest, "gripper": asdict(gripper), "suction": asdict(suction), "own": path.name}
    return replace(grasps.best_first(), info=info)
