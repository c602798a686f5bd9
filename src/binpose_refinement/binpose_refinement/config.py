"""All defaults of the refinement in one place."""

from dataclasses import dataclass
from typing import Literal, get_args

from binpose_core.errors import BinposeError

Method = Literal["icp", "render_and_compare", "network"]
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True)
class RefinerConfig:
    """How hypotheses are expanded, aligned, verified and made consistent.

    method: what follows ICP: nothing, the descent on the joint loss, or the refinement network.
    keep_moved: hypotheses of a detection that it moves, the best ones; the others stay as ICP left them.
    expand_limit: under at most how many near-symmetries of its part the best pose of a detection is tried too.
    coarse_px, coarse_faces, coarse_rounds: crop size, level of detail and renderings of the first alignment.
    keep_coarse, narrow_rounds: hypotheses of a detection that go through so many more of them.
    polish_px, polish_faces, polish_rounds: the same of the second one; finish_rounds: of the last one, after
        the near-symmetries.
    keep_best: hypotheses of a detection that are polished, all different modulo the part's symmetries.
    verify_px, verify_faces: largest crop and level of detail of the verification.
    gate_start: farthest association at the start, as a share of the diameter.
    gate_end_m: the same at the end; never below three times the depth noise.
    tolerance_m: depth difference that still counts as agreement, to which `tolerance_sigmas` times the
        noise is added.
    noise_floor_m: standard deviation of the depth noise assumed where the frame looks smoother than this.
    same_pose: mean distance of two poses' surfaces below which they count as one, share of the diameter.
    same_start: the same before the alignment, which takes both to one place.
    claimed_share: a part whose agreeing pixels were claimed by better parts beyond this share is a duplicate.
    intrusion_share: the same for the share of its surface that lies inside a better part.
    min_score: estimates below are dropped.
    """

    method: Method = "icp"
    keep_moved: int = 2
    expand_limit: int = 24
    coarse_px: int = 36
    coarse_faces: int = 300
    coarse_rounds: int = 2
    keep_coarse: int = 6
    narrow_rounds: int = 4
    keep_best: int = 4
    polish_px: int = 48
    polish_faces: int = 1000
    polish_rounds: int = 4
    finish_rounds: int = 3
    verify_px: int = 96
    verify_faces: int = 5000
    gate_start: float = 0.12
    gate_end_m: float = 0.0015
    tolerance_m: float = 0.001
    tolerance_sigmas: float = 2.0
    noise_floor_m: float = 0.0002
    same_pose: float = 0.04
    same_start: float = 0.05
    claimed_share: float = 0.6
    intrusion_share: float = 0.2
    min_score: float = 0.0

    def __post_init__(self) -> None:
        for name in ("coarse_px", "polish_px", "verify_px"):
            self._require(name, 16, 1024)
        if self.method not in METHODS:
            raise BinposeError(f"RefinerConfig.method is {self.method!r}; expected one of {', '.join(METHODS)}.")
        for name in ("coarse_rounds", "narrow_rounds", "polish_rounds", "finish_rounds"):
            self._require(name, 1, 100)
        for name in ("keep_coarse", "keep_best", "keep_moved"):
            self._require(name, 1, 1000)
        for name in ("coarse_faces", "polish_faces", "verify_faces"):
            self._require(name, 1, 10**7)
        for name in ("expand_limit", "tolerance_sigmas"):
            self._require(name, 0, 1000)
        for name in ("gate_end_m", "tolerance_m", "noise_floor_m"):
            self._require(name, 1e-6, 0.1)
        for name in ("gate_start", "same_pose", "same_start"):
            self._require(name, 1e-3, 1.0)
        for name in ("claimed_share", "intrusion_share", "min_score"):
            self._require(name, 0.0, 1.0)

    def _require(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if not low <= value <= high:
            raise BinposeError(f"RefinerConfig.{name} is {value}; expected {low:g} to {high:g}.")
