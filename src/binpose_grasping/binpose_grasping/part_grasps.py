"""The grasps of a part that the planner uses: stored ones or those of a quick search, turned, with symmetric copies."""

from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.grasps import PARALLEL, SUCTION, TOOLS, GraspSet
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.config import ANY_TOOL, PlannerConfig
from binpose_grasping.folding import expand
from binpose_grasping.gripper import GripperConfig
from binpose_grasping.search import SEARCHED, SearchResult, find_grasps
from binpose_grasping.search_config import SearchConfig, SuctionConfig
from binpose_grasping.turning import all_turns


@dataclass(frozen=True, eq=False)
class PartGrasps:
    """All grasps of a part, with all directions of approach and symmetric copies, best first.

    grasps: in the part's frame.
    relative: (N,) quality relative to the best grasp with the same tool.
    line: (N,) number of the closing line; hands with the same one differ in their direction of approach.
    missing: why there are none, else empty.
    """

    grasps: GraspSet
    relative: FloatArray
    line: npt.NDArray[np.intp]
    missing: str = ""


def part_grasps(part: ObjectModel, config: PlannerConfig) -> PartGrasps:
    """The stored grasps of a part, or those of a quick search if there are none for this gripper."""
    stored, reason = part.grasps, ""
    if stored is not None and not fits_tool(stored, config):
        stored, reason = None, f"The stored grasps of {part.id!r} are for another gripper"
    if stored is None:
        if not config.search_missing:
            reason = reason or f"The model has no grasps of {part.id!r}"
            return _without(f"{reason}; make them with `binpose grasps {part.id}` and train, or give its catalogue.")
        found = _searched(_Query(part.digest, config.gripper, config.search, config.suction, config.tool, part))
        if not len(found.grasps):
            return _without(found.reason)
        stored = found.grasps
    if config.tool != ANY_TOOL:
        stored = stored.take(stored.tool == TOOLS.index(config.tool))
        if not len(stored):
            return _without(f"{part.id!r} has no grasp for the tool {config.tool!r}; make some with `binpose grasps`.")
    every, line = _every_hand(part, stored.best_first(), config)
    best = np.array([every.quality[every.tool == tool].max(initial=0.0) for tool in range(len(TOOLS))])
    relative = every.quality / np.maximum(best[every.tool], 1e-12)
    order = np.argsort(-relative, kind="stable")
    return PartGrasps(every.take(order), relative[order], line[order])


def _every_hand(part: ObjectModel, stored: GraspSet, config: PlannerConfig) -> tuple[GraspSet, npt.NDArray[np.intp]]:
    """Stored grasps in all directions of approach, with symmetric copies, and their closing lines.

    A user's own grasps are not turned: they say from where the hand comes.
    """
    lines = np.arange(len(stored))
    if SEARCHED in stored.info:
        stored, lines = all_turns(part, stored, config.gripper, config.turns, config.search.depths)
    every, owner, motion = expand(stored, part.symmetries)
    return every, lines[owner] * (motion.max(initial=0) + 1) + motion


def fits_tool(grasps: GraspSet, config: PlannerConfig) -> bool:
    """Whether grasps were made for the gripper or cup of the configuration; a user's own without settings fit."""
    used = [
        name
        for name, tool in (("gripper", TOOLS[PARALLEL]), ("suction", TOOLS[SUCTION]))
        if config.tool in (tool, ANY_TOOL) and name in grasps.info
    ]
    own = {"gripper": asdict(config.gripper), "suction": {**asdict(config.suction), "enabled": True}}
    return all({**grasps.info[name], **({"enabled": True} if name == "suction" else {})} == own[name] for name in used)


def _without(reason: str) -> PartGrasps:
    return PartGrasps(GraspSet.none(), np.zeros(0), np.zeros(0, np.intp), reason)


@dataclass(frozen=True)
class _Query:
    """Cache key: parts with the same digest have the same grasps."""

    digest: str
    gripper: GripperConfig
    search: SearchConfig
    suction: SuctionConfig
    tool: str
    part: ObjectModel = field(compare=False)


@lru_cache(maxsize=256)
def _searched(query: _Query) -> SearchResult:
    suction = query.suction if query.tool != TOOLS[PARALLEL] else replace(query.suction, enabled=False)
    return find_grasps(query.part, query.gripper, query.search, suction)
