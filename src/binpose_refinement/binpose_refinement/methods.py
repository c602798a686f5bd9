"""The refinement methods behind one interface, by their names in `RefinerConfig.method`."""

from typing import TYPE_CHECKING

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import FloatArray
from binpose_refinement.config import Method
from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer
from binpose_refinement.observation import Observation
from binpose_refinement.pose_optimizer import PoseOptimizer
from binpose_refinement.render_and_compare import Descent

if TYPE_CHECKING:
    from binpose_refinement.network import RefinementNetwork


class RenderAndCompare:
    """Render-and-compare as an optimizer."""

    def __init__(self, descent: Descent) -> None:
        self.descent = descent

    def __call__(self, observation: Observation, batch: HypothesisBatch) -> tuple[FloatArray, FloatArray]:
        """Poses (B, 4, 4) and information (B, 6, 6)."""
        found = self.descent(observation, batch)
        return found.T_cam_obj, found.information


def make_optimizer(
    method: Method, part_renderer: PartRenderer, network: "RefinementNetwork | None" = None
) -> PoseOptimizer | None:
    """The optimizer that follows ICP; None for ICP alone.

    Raises:
        BinposeError: for the method "network" without a network, or with one that was not trained on all parts.
    """
    if method == "icp":
        return None
    if method == "render_and_compare":
        return RenderAndCompare(Descent(part_renderer))
    if network is None:
        raise BinposeError(
            "The refiner is to be 'network', and the model has no refinement network; expected one; train it with "
            "`binpose train --refinement-network`, or choose icp or render_and_compare."
        )
    from binpose_refinement.network_optimizer import NetworkOptimizer  # needs torch

    return NetworkOptimizer(network, part_renderer)
