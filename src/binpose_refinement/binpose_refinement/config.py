"""All defaults of the refinement in one place."""

from dataclasses import dataclass
from typing import Literal, get_args

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import FRACTION, check_bounds, setting
from binpose_core.evaluation.matching import EvaluationConfig

Method = Literal["icp", "render_and_compare", "network"]
METHODS: tuple[Method, ...] = get_args(Method)

PIXELS, FACES, ROUNDS, KEPT = (16, 1024), (1, 10**7), (1, 100), (1, 1000)
LENGTH_M, OF_DIAMETER = (1e-6, 0.1), (1e-3, 1.0)


@dataclass(frozen=True)
class RefinerConfig:
    """How hypotheses are expanded, aligned, verified and made consistent.

    method: what follows ICP: nothing (icp), the descent on the joint loss (render_and_compare), or the refinement
        network of the model (network).
    keep_moved: hypotheses of a detection, the best ones, that the method moves; the others stay as ICP left them.
    expand_limit: near-symmetries of a part, at most, under which the best pose of a detection is tried too.
    coarse_px: size in pixels of the crops of the first alignment.
    coarse_faces: faces at most of the meshes in the first alignment.
    coarse_rounds: renderings of each hypothesis in the first alignment.
    keep_coarse: hypotheses of a detection, the best ones, that the first alignment goes on with for longer.
    narrow_rounds: renderings of each hypothesis that the first alignment goes on with.
    keep_best: hypotheses of a detection that are polished, all different modulo the part's symmetries.
    keep_of_object: hypotheses of each object that stay to the end in any case, so that look-alikes are compared.
    polish_px: size in pixels of the crops of the second alignment, the polish.
    polish_faces: faces at most of the meshes in the polish.
    polish_rounds: renderings of each hypothesis in the polish.
    finish_rounds: renderings of each hypothesis in the last alignment, after the near-symmetries.
    verify_px: size in pixels of the largest crops of the verification.
    verify_faces: faces at most of the meshes in the verification.
    gate_start: farthest observed point that a surface point is paired with at the start of the alignment, as a share of
        the part's diameter.
    gate_end_m: farthest observed point at the end of the alignment, in metres; never below three times the depth noise.
    tolerance_m: depth difference in metres that still counts as agreement, to which a multiple of the noise is added.
    tolerance_sigmas: multiple of the depth noise that is added to the depth difference which still counts as agreement.
    noise_floor_m: standard deviation in metres of the depth noise that is assumed where a frame looks smoother.
    same_pose: two aligned poses are one when their surfaces are closer than this on average, as a share of the part's
        diameter.
    same_start: two poses are one before the alignment, which takes both to one place, when their surfaces are closer
        than this on average, as a share of the part's diameter.
    rival_pose: two poses of one part cannot both be right when their surfaces are farther apart than this on average,
        as a share of the diameter: the error that evaluation allows.
    claimed_share: a part is a duplicate when better parts claimed more than this share of its agreeing pixels.
    intrusion_share: a part is a duplicate when more than this share of its surface lies inside a better part.
    min_score: estimates with a lower score are dropped.
    """

    method: Method = "icp"
    keep_moved: int = setting(2, bounds=KEPT)
    expand_limit: int = setting(24, bounds=(0, 1000))
    coarse_px: int = setting(36, bounds=PIXELS)
    coarse_faces: int = setting(300, bounds=FACES)
    coarse_rounds: int = setting(2, bounds=ROUNDS)
    keep_coarse: int = setting(6, bounds=KEPT)
    narrow_rounds: int = setting(4, bounds=ROUNDS)
    keep_best: int = setting(4, bounds=KEPT)
    keep_of_object: int = setting(2, bounds=KEPT)
    polish_px: int = setting(48, bounds=PIXELS)
    polish_faces: int = setting(1000, bounds=FACES)
    polish_rounds: int = setting(4, bounds=ROUNDS)
    finish_rounds: int = setting(3, bounds=ROUNDS)
    verify_px: int = setting(96, bounds=PIXELS)
    verify_faces: int = setting(5000, bounds=FACES)
    gate_start: float = setting(0.12, bounds=OF_DIAMETER)
    gate_end_m: float = setting(0.0015, bounds=LENGTH_M)
    tolerance_m: float = setting(0.001, bounds=LENGTH_M)
    tolerance_sigmas: float = setting(2.0, bounds=(0.0, 1000.0))
    noise_floor_m: float = setting(0.0002, bounds=LENGTH_M)
    same_pose: float = setting(0.04, bounds=OF_DIAMETER)
    same_start: float = setting(0.05, bounds=OF_DIAMETER)
    rival_pose: float = setting(EvaluationConfig.max_error, bounds=OF_DIAMETER)
    claimed_share: float = setting(0.6, bounds=FRACTION)
    intrusion_share: float = setting(0.2, bounds=FRACTION)
    min_score: float = setting(0.0, bounds=FRACTION)

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.method not in METHODS:
            raise BinposeError(f"RefinerConfig.method is {self.method!r}; expected one of {', '.join(METHODS)}.")
