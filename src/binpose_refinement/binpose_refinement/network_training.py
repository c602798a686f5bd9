"""Training the refinement network without a pose label: by the annotation resolver first, then by the joint loss.

Paper 003: the iterative annotation resolver turns each prediction into a better, inaccurate target by 20 ICP-like
steps, on the fly and for the whole batch; it is fast and takes the network most of the way. The joint loss of a
rendering (eqs. 6 to 11) then makes it exact.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import torch

from binpose_core.differentiable import DifferentiableRenderer
from binpose_core.errors import BinposeError
from binpose_core.geometry import FloatArray, exp_so3, from_rotation_translation
from binpose_core.training_loop import LoopConfig, train
from binpose_core.types import Detection, LabelledView
from binpose_refinement.batch import Batch, Workshop
from binpose_refinement.descent_config import COARSE
from binpose_refinement.icp import Schedule, align
from binpose_refinement.joint_loss import JointLoss
from binpose_refinement.network import SURFACE_POINTS, RefinementNetwork, RefinementNetworkConfig
from binpose_refinement.network_mover import network_inputs
from binpose_refinement.observation import Observation, observe
from binpose_refinement.observed import look
from binpose_refinement.render_and_compare import Descent, View

RESOLVER = Schedule(48, 0, 10, 0.1, 0.0, 0.0015, 0.2, 0.0015)
"""Ten renderings of two steps each: the 20 iterations of paper 003."""


@dataclass(frozen=True)
class RefinementTraining:
    """resolver: how long the annotation resolver teaches; joint: how long the joint loss does after it.

    signals: those that teach, in this order.
    starts: poses drawn around each part, up to degrees and shift (a share of the diameter) off.
    fewest_px: smaller masks are left out. loss: weights of the joint loss.
    """

    resolver: LoopConfig = field(
        default_factory=lambda: LoopConfig(minutes=4.0, learning_rate=5e-3, low_precision=False)
    )
    joint: LoopConfig = field(default_factory=lambda: LoopConfig(minutes=2.0, learning_rate=3e-4, low_precision=False))
    signals: tuple[Literal["resolver", "joint"], ...] = ("resolver", "joint")
    starts: int = 3
    degrees: float = 15.0
    shift: float = 0.1
    fewest_px: int = 100
    loss: JointLoss = field(default_factory=JointLoss)

    def __post_init__(self) -> None:
        if not self.signals or any(name not in ("resolver", "joint") for name in self.signals):
            raise BinposeError(f"RefinementTraining.signals is {self.signals}; expected resolver, joint or both.")
        if self.starts < 1 or not 0 < self.degrees <= 180 or not 0 < self.shift <= 1 or self.fewest_px < 1:
            raise BinposeError(
                f"RefinementTraining: starts {self.starts}, degrees {self.degrees}, shift {self.shift}, fewest_px "
                f"{self.fewest_px}; expected at least one start, an angle up to 180 and a share of the diameter."
            )


@dataclass(frozen=True, eq=False)
class Sample:
    """All starts in one frame: the observation, the hypotheses, and the network's other inputs."""

    observation: Observation
    batch: Batch
    inputs: tuple[torch.Tensor, ...]


class Signals:
    """The two training signals, (B,) losses of poses (B, 4, 4) that carry gradients."""

    def __init__(self, workshop: Workshop, loss: JointLoss | None = None) -> None:
        self.workshop, self.loss = workshop, loss or JointLoss()
        self._descent = Descent(workshop)
        self._renderer = DifferentiableRenderer(self._descent.renderer)
        self._points = torch.from_numpy(np.stack([part.points[:128] for part in workshop.objects])).float()
        self._diameter = torch.from_numpy(workshop.diameter_m).float()

    def resolver(self, sample: Sample, poses: torch.Tensor) -> torch.Tensor:
        """Mean distance in diameters of the model's points to where the resolver has them (paper 003, eq. 3)."""
        current = sample.batch.moved(poses.detach().double().numpy())
        found = align(self.workshop, sample.observation, current, RESOLVER)
        target = torch.from_numpy(found.T_cam_obj).float()
        part = torch.from_numpy(sample.batch.part)
        points = self._points[part]
        difference = points @ (poses - target)[:, :3, :3].transpose(1, 2) + (poses - target)[:, None, :3, 3]
        return difference.norm(dim=-1).mean(1) / self._diameter[part]

    def joint(self, sample: Sample, poses: torch.Tensor) -> torch.Tensor:
        """The joint loss of the renderings (paper 003, eq. 11)."""
        current = sample.batch.moved(poses.detach().double().numpy())
        view = View(self._descent, sample.observation, current, COARSE)
        drawn = self._renderer(view.mesh_ids, poses, view.intrinsics, view.size_px, view.size_px)
        seen = look(sample.observation, view.windows, sample.batch.owner, view.size_px)
        return self.loss(drawn, seen)


def make_network(config: RefinementNetworkConfig, workshop: Workshop) -> RefinementNetwork:
    """An untrained network that knows the surfaces of its parts."""
    parts = [workshop.objects[workshop.ids.index(name)] for name in config.objects]
    surfaces = [(part.points[:SURFACE_POINTS] - part.center_m) / part.diameter_m for part in parts]
    return RefinementNetwork(config, torch.from_numpy(np.stack(surfaces)).float())


def train_refinement_network(
    network: RefinementNetwork,
    workshop: Workshop,
    views: Sequence[LabelledView],
    config: RefinementTraining,
    seed: int,
    on_step: Callable[[str, float, dict[str, float]], None] | None = None,
) -> RefinementNetwork:
    """The trained network, in evaluation mode.

    Args:
        network: conditioned on the workshop's parts.
        workshop: of the parts.
        views: frames with masks; their poses are only where starts are drawn around, as an estimator's would be.
        config: how long each signal teaches.
        seed: of all that is drawn.
        on_step: called with the signal's name, the share done and the losses.
    """
    signals = Signals(workshop, config.loss)
    classes = np.array([network.config.objects.index(name) for name in workshop.ids], np.int64)

    def make(step: int) -> Sample:
        return sample_of(views[step % len(views)], workshop, classes, network.config.points, config, (seed, step))

    for name in config.signals:
        loop: LoopConfig = getattr(config, name)
        report = None if on_step is None else partial(on_step, name)
        taught = train(network, make, partial(_losses, name, getattr(signals, name)), loop, on_step=report)
        assert isinstance(taught, RefinementNetwork)
        network = taught
    return network


def _losses(
    name: str,
    signal: Callable[[Sample, torch.Tensor], torch.Tensor],
    network: torch.nn.Module,
    sample: Sample,
) -> dict[str, torch.Tensor]:
    """The signal's mean over all starts and all steps of the network."""
    assert isinstance(network, RefinementNetwork)
    start = torch.from_numpy(sample.batch.T_cam_obj).float()
    poses = network.refine(start, *sample.inputs)
    return {name: torch.stack([signal(sample, pose).mean() for pose in poses]).mean()}


def sample_of(
    view: LabelledView,
    workshop: Workshop,
    classes: np.ndarray,
    points: int,
    config: RefinementTraining,
    seed: tuple[int, ...],
) -> Sample:
    """Starts around the parts of a view that show enough of themselves."""
    rng, known = np.random.default_rng(seed), list(workshop.ids)
    sizes = np.bincount(view.instance_ids[view.instance_ids >= 0], minlength=len(view.object_ids))
    shown = [i for i, name in enumerate(view.object_ids) if sizes[i] >= config.fewest_px and name in known]
    detections = [_detection(view.object_ids[i], view.instance_ids == i) for i in shown]
    observation = observe(view.frame, detections, 2e-4)
    owner = np.repeat(np.arange(len(shown)), config.starts)
    part = np.array([known.index(view.object_ids[i]) for i in shown], np.int64)[owner]
    truth = view.T_cam_obj[np.array(shown, int)][owner] if shown else np.zeros((0, 4, 4))
    batch = Batch(owner, part, _off(rng, workshop, part, truth, config), np.ones(len(owner)))
    batch = batch.take(workshop.unusable(batch, observation.camera) == "")
    inputs, seen = network_inputs(workshop, observation, batch, classes, points)
    return Sample(observation, batch.take(seen), tuple(tensor[torch.from_numpy(seen)] for tensor in inputs))


def _off(
    rng: np.random.Generator, workshop: Workshop, part: np.ndarray, T: FloatArray, config: RefinementTraining
) -> FloatArray:
    """Poses (B, 4, 4) turned about the parts' centres and shifted, by up to what the config says."""
    turn, shift = rng.normal(size=(2, len(part), 3))
    turn *= np.deg2rad(config.degrees) * rng.random((len(part), 1)) / np.linalg.norm(turn, axis=1, keepdims=True)
    shift *= config.shift * rng.random((len(part), 1)) / np.linalg.norm(shift, axis=1, keepdims=True)
    R = exp_so3(turn) @ T[:, :3, :3]
    center = workshop.center_m[part][..., None]
    middle = (T[:, :3, :3] @ center)[..., 0] + T[:, :3, 3] + shift * workshop.diameter_m[part, None]
    return from_rotation_translation(R, middle - (R @ center)[..., 0])


def _detection(object_id: str, mask: np.ndarray) -> Detection:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    return Detection(object_id, 1.0, (x0, y0, x1, y1), mask[y0:y1, x0:x1], ((x0 + x1) / 2, (y0 + y1) / 2))
