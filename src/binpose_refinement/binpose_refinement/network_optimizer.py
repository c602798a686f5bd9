"""The refinement network behind the refiner's interface."""

import numpy as np
import numpy.typing as npt
import torch

from binpose_core.base.errors import UnknownObject
from binpose_core.geometry.transforms import FloatArray
from binpose_refinement.clouds import clouds
from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer
from binpose_refinement.network import RefinementNetwork
from binpose_refinement.observation import Observation
from binpose_refinement.render_and_compare import Descent


class NetworkOptimizer:
    """Moves poses by the network's K residual steps; detections without depth stay.

    Args:
        network: trained.
        part_renderer: of the parts, all of which the network must know.

    Raises:
        BinposeError: for a part that it does not.
    """

    def __init__(self, network: RefinementNetwork, part_renderer: PartRenderer) -> None:
        known = network.config.objects
        strangers = [name for name in part_renderer.ids if name not in known]
        if strangers:
            raise UnknownObject(
                f"The refinement network knows {', '.join(known)} and not {', '.join(strangers)}; train it for the "
                "parts of this model.",
                strangers,
                known,
            )
        self.network, self.part_renderer = network.eval(), part_renderer
        self.classes = np.array([known.index(name) for name in part_renderer.ids], np.int64)
        self._descent = Descent(part_renderer)

    @torch.no_grad()
    def __call__(self, observation: Observation, batch: HypothesisBatch) -> tuple[FloatArray, FloatArray]:
        """Poses (B, 4, 4), and their information (B, 6, 6) from the same equations as render-and-compare's."""
        inputs, seen = network_inputs(self.part_renderer, observation, batch, self.classes, self.network.config.points)
        start = torch.from_numpy(np.array(batch.T_cam_obj, np.float64)).float()
        last = self.network.refine(start, *inputs)[-1].double().numpy()
        poses = np.where(seen[:, None, None] & np.isfinite(last).all((1, 2))[:, None, None], last, batch.T_cam_obj)
        moved = batch.moved(poses)
        drawable = np.flatnonzero(self.part_renderer.unusable(moved, observation.camera) == "")
        information = np.zeros((len(batch), 6, 6))
        if len(drawable):
            information[drawable] = self._descent.information(observation, moved.take(drawable))
        return poses, information


def network_inputs(
    part_renderer: PartRenderer,
    observation: Observation,
    batch: HypothesisBatch,
    classes: npt.NDArray[np.int64],
    points: int,
) -> tuple[tuple[torch.Tensor, ...], npt.NDArray[np.bool_]]:
    """What `RefinementNetwork.refine` takes after the poses, and which hypotheses (B,) have points at all."""
    cloud, chroma, seen = clouds(observation, batch.owner, points)
    arrays = (
        cloud,
        chroma,
        classes[batch.part],
        part_renderer.center_m[batch.part],
        part_renderer.diameter_m[batch.part],
    )
    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
    return tuple(t.float() if t.is_floating_point() else t for t in tensors), seen
