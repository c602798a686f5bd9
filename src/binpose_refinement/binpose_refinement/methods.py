"""The ways of refining behind one interface, by their names in `RefinerConfig.method`."""

from binpose_core.errors import BinposeError
from binpose_core.geometry import FloatArray
from binpose_refinement.batch import Batch, Workshop
from binpose_refinement.config import Method
from binpose_refinement.improvement import Mover
from binpose_refinement.observation import Observation
from binpose_refinement.render_and_compare import Descent


class RenderAndCompare:
    """The descent as a mover."""

    def __init__(self, descent: Descent) -> None:
        self.descent = descent

    def __call__(self, observation: Observation, batch: Batch) -> tuple[FloatArray, FloatArray]:
        """Poses (B, 4, 4) and information (B, 6, 6)."""
        found = self.descent(observation, batch)
        return found.T_cam_obj, found.information


def make_mover(method: Method, workshop: Workshop) -> Mover | None:
    """What follows ICP; None for nothing.

    Raises:
        BinposeError: for the network, whose weights a name does not tell.
    """
    if method == "icp":
        return None
    if method == "render_and_compare":
        return RenderAndCompare(Descent(workshop))
    raise BinposeError(
        f"RefinerConfig.method is {method!r}, which needs trained weights; expected icp or render_and_compare, or the "
        "network itself as `IcpRefiner(mover=...)`."
    )
