"""All defaults of the refinement."""

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
    """How hypotheses are expanded, aligned, verified and selected.

    method: what follows ICP: nothing (icp), gradient descent on the joint loss (render_and_compare), or the refinement
        network of the model (network).
    keep_moved: number of best hypotheses per detection that the method refines; the others keep their ICP pose.
    expand_limit: largest number of near-symmetries of a part under which the best pose of a detection is tried.
    coarse_px: size in pixels of the crops of the first alignment.
    coarse_faces: largest number of mesh faces in the first alignment.
    coarse_rounds: renderings of each hypothesis in the first alignment.
    keep_coarse: number of best hypotheses per detection that the first alignment continues with.
    narrow_rounds: further renderings of each hypothesis that the first alignment continues with.
    keep_best: number of hypotheses per detection that are polished, all distinct modulo the part's symmetries.
    keep_of_object: hypotheses of each object that are always kept until the end, so that similar parts are compared.
    polish_px: size in pixels of the crops of the second alignment, the polish.
    polish_faces: largest number of mesh faces in the polish.
    polish_rounds: renderings of each hypothesis in the polish.
    finish_rounds: renderings of each hypothesis in the last alignment, after the near-symmetries.
    verify_px: size in pixels of the largest crops of the verification.
    verify_faces: largest number of mesh faces in the verification.
    gate_start: largest distance between paired points at the start of the alignment, as a fraction of the part's
        diameter.
    gate_end_m: largest distance between paired points at the end of the alignment, in metres; at least three times the
        depth noise.
    tolerance_m: depth difference in metres that counts as agreement; a multiple of the depth noise is added to it.
    tolerance_sigmas: multiple of the depth noise that is added to tolerance_m.
    noise_floor_m: least standard deviation in metres that is assumed for the depth noise.
    same_pose: aligned poses are duplicates when the mean distance of their surfaces is less than this fraction of the
        part's diameter.
    same_start: poses are duplicates before the alignment when the mean distance of their surfaces is less than this
        fraction of the part's diameter.
    rival_pose: at most one of two poses can be right when the mean distance of their surfaces is more than this
        fraction of the part's diameter, the error limit of the evaluation.
    free_overlap: fraction of their agreeing pixels that two parts may have in common without a cost in the joint
        choice.
    claimed_share: two poses exclude each other when they have more than this fraction of the agreeing pixels of one in
        common.
    intrusion_share: two poses exclude each other when more than this fraction of the surface of one lies inside the
        other.
    explained_m: depth difference in metres up to which a selected pose explains a pixel; at least three times the depth
        noise. A later look at the frame leaves out what is explained.
    explained_score: least score of a pose that explains pixels.
    min_score: estimates with a lower score are dropped.
    """

    method: Method = "icp"
    keep_moved: int = setting(2, bounds=KEPT)
    expand_limit: int = setting(24, bounds=(0, 1000))
    coarse_px: int = setting(36, bounds=PIXELS)
    coarse_faces: int = setting(300, bounds=FACES)
    coarse_rounds: int = setting(2, bounds=ROUNDS)
    keep_coarse: int = setting(12, bounds=KEPT)
    narrow_rounds: int = setting(4, bounds=ROUNDS)
    keep_best: int = setting(8, bounds=KEPT)
    keep_of_object: int = setting(4, bounds=KEPT)
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
    free_overlap: float = setting(0.15, bounds=FRACTION)
    claimed_share: float = setting(0.6, bounds=FRACTION)
    intrusion_share: float = setting(0.2, bounds=FRACTION)
    explained_m: float = setting(0.003, bounds=LENGTH_M)
    explained_score: float = setting(0.5, bounds=FRACTION)
    min_score: float = setting(0.0, bounds=FRACTION)

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.method not in METHODS:
            raise BinposeError(f"RefinerConfig.method is {self.method!r}; expected one of {', '.join(METHODS)}.")
