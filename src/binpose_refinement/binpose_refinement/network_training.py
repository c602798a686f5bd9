"""Trains the refinement network without pose labels: with the annotation resolver first, then with the joint loss.

Mu et al.: the iterative annotation resolver turns each prediction into a better, approximate target by 20 ICP-like
steps, on the fly and for the whole batch. It is fast and provides most of the accuracy. The joint loss of a rendering
(eqs. 6 to 11) provides the rest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.frames.types import UNKNOWN, Detection, LabelledView
from binpose_core.geometry.transforms import FloatArray, exp_so3, from_rotation_translation
from binpose_core.learning.hooks import Hook
from binpose_core.learning.loop_config import LoopConfig
from binpose_core.learning.training_loop import train
from binpose_core.learning.weights import inherit, to_arrays
from binpose_core.rendering.differentiable import DifferentiableRenderer
from binpose_refinement.chroma import vertex_chroma
from binpose_refinement.config import RefinerConfig
from binpose_refinement.descent_config import COARSE
from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer
from binpose_refinement.icp import Schedule, align
from binpose_refinement.joint_loss import JointLoss
from binpose_refinement.network import PART_ROWS, SURFACE_POINTS, SURFACES, RefinementNetwork, RefinementNetworkConfig
from binpose_refinement.network_optimizer import network_inputs
from binpose_refinement.observation import Observation, observe
from binpose_refinement.observed_pixels import observed_crops
from binpose_refinement.render_and_compare import Descent, View

RESOLVER = Schedule(48, 0, 10, 0.1, 0.0, 0.0015, 0.2, 0.0015)
"""Ten renderings of two steps each: the 20 iterations of Mu et al."""
TEACHING_FACES = (300,)
"""Levels of detail in which the resolver renders the parts."""


@dataclass(frozen=True)
class RefinementTraining:
    """resolver: duration of the training with the annotation resolver; joint: with the joint loss, after it.

    signals: the supervision signals in use, in this order.
    starts: poses drawn around each part, at most `degrees` and `shift` (fraction of the diameter) off.
    most: number of starts of a view that are used per step, drawn at random.
    fewest_px: smaller masks are skipped. loss: weights of the joint loss.
    """

    resolver: LoopConfig = field(
        default_factory=lambda: LoopConfig(minutes=4.0, learning_rate=5e-3, low_precision=False)
    )
    joint: LoopConfig = field(default_factory=lambda: LoopConfig(minutes=2.0, learning_rate=3e-4, low_precision=False))
    signals: tuple[Literal["resolver", "joint"], ...] = ("resolver", "joint")
    starts: int = 3
    most: int = 64
    degrees: float = 15.0
    shift: float = 0.1
    fewest_px: int = 100
    loss: JointLoss = field(default_factory=JointLoss)

    def __post_init__(self) -> None:
        if not self.signals or any(name not in ("resolver", "joint") for name in self.signals):
            raise BinposeError(f"RefinementTraining.signals is {self.signals}; expected resolver, joint or both.")
        fewest = min(self.starts, self.most, self.fewest_px)
        if fewest < 1 or not 0 < self.degrees <= 180 or not 0 < self.shift <= 1:
            raise BinposeError(
                f"RefinementTraining: starts {self.starts}, most {self.most}, fewest_px {self.fewest_px}, degrees "
                f"{self.degrees}, shift {self.shift}; expected at least one start, an angle up to 180 and a fraction "
                "of the diameter."
            )

    def with_budget(self, minutes: float) -> "RefinementTraining":
        """The same settings for a total duration in minutes, split between the signals as before."""
        total = sum(getattr(self, name).minutes for name in self.signals)
        loops = {name: getattr(self, name) for name in self.signals}
        return replace(self, **{k: replace(v, minutes=minutes * v.minutes / total) for k, v in loops.items()})


@dataclass(frozen=True, eq=False)
class Sample:
    """All starts in one frame: the observation, the hypotheses, the network's other inputs, and weights (B,)."""

    observation: Observation
    batch: HypothesisBatch
    inputs: tuple[torch.Tensor, ...]
    weight: torch.Tensor

    def __len__(self) -> int:
        return len(self.batch)

    def some(self, most: int, rng: np.random.Generator) -> "Sample":
        """At most `most` of the starts, drawn at random."""
        if len(self.batch) <= most:
            return self
        rows = np.sort(rng.choice(len(self.batch), most, replace=False))
        inputs = tuple(tensor[torch.from_numpy(rows)] for tensor in self.inputs)
        return Sample(self.observation, self.batch.take(rows), inputs, self.weight[torch.from_numpy(rows)])


class Supervision:
    """The two training signals, (B,) losses of poses (B, 4, 4) that carry gradients."""

    def __init__(self, part_renderer: PartRenderer, loss: JointLoss | None = None) -> None:
        self.part_renderer, self.loss = part_renderer, loss or JointLoss()
        self._descent = Descent(part_renderer)
        chroma = [vertex_chroma(mesh) for mesh in self._descent.renderer.meshes]
        self._renderer = DifferentiableRenderer(self._descent.renderer, chroma)
        self._points = torch.from_numpy(np.stack([part.points[:128] for part in part_renderer.objects])).float()
        self._diameter = torch.from_numpy(part_renderer.diameter_m).float()

    def resolver(self, sample: Sample, poses: torch.Tensor) -> torch.Tensor:
        """Mean distance in diameters of the model's points to the resolver's target (Mu et al., eq. 3)."""
        current = sample.batch.moved(poses.detach().double().numpy())
        found = align(self.part_renderer, sample.observation, current, RESOLVER)
        target = torch.from_numpy(found.T_cam_obj).float()
        part = torch.from_numpy(sample.batch.part)
        points = self._points[part]
        difference = points @ (poses - target)[:, :3, :3].transpose(1, 2) + (poses - target)[:, None, :3, 3]
        return difference.norm(dim=-1).mean(1) / self._diameter[part]

    def joint(self, sample: Sample, poses: torch.Tensor) -> torch.Tensor:
        """The joint loss of the renderings (Mu et al., eq. 11)."""
        current = sample.batch.moved(poses.detach().double().numpy())
        view = View(self._descent, sample.observation, current, COARSE)
        drawn = self._renderer(view.mesh_ids, poses, view.intrinsics, view.size_px, view.size_px)
        seen = observed_crops(sample.observation, view.windows, sample.batch.owner, view.size_px)
        return self.loss(drawn, seen, torch.from_numpy(view.colored))


def make_network(config: RefinementNetworkConfig, part_renderer: PartRenderer) -> RefinementNetwork:
    """An untrained network with the surfaces of its parts."""
    parts = [part_renderer.objects[part_renderer.ids.index(name)] for name in config.objects]
    surfaces = [(part.points[:SURFACE_POINTS] - part.center_m) / part.diameter_m for part in parts]
    return RefinementNetwork(config, torch.from_numpy(np.stack(surfaces)).float())


def init_network(
    config: RefinementNetworkConfig, part_renderer: PartRenderer, start: RefinementNetwork | None = None
) -> RefinementNetwork:
    """An untrained network, or one initialised with the weights of another network of the same or other parts.

    Raises:
        BinposeError: if the other network has another architecture.
    """
    network = make_network(config, part_renderer)
    if start is not None:
        known, wanted = ({PART_ROWS: names} for names in (start.config.objects, config.objects))
        weights = to_arrays(start) | {SURFACES: network.surfaces.numpy()}
        inherit(network, weights, known, wanted)
    return network


def train_refinement_network(
    network: RefinementNetwork,
    part_renderer: PartRenderer,
    views: Sequence[LabelledView],
    config: RefinementTraining,
    seed: int,
    checkpoint: Path | None = None,
    hooks_of: Callable[[str], Sequence[Hook]] = lambda signal: (),
) -> RefinementNetwork:
    """The trained network, in evaluation mode.

    Args:
        network: conditioned on the part_renderer's parts.
        part_renderer: of the parts.
        views: frames with masks; their poses are used only to draw starts around them, like an estimator's output.
        config: duration of each signal.
        seed: of all random numbers.
        checkpoint: file for the state of the run, one per signal with its name before the suffix; existing files are
            resumed.
        hooks_of: the hooks of the training loop of a signal, by its name.

    Raises:
        BinposeError: if no view shows a part with depth, or a checkpoint is damaged or cannot be written.
    """
    signals = Supervision(part_renderer, config.loss)
    classes = np.array([network.config.objects.index(name) for name in part_renderer.ids], np.int64)

    def make(step: int) -> Sample:
        for k in range(len(views)):
            view, drawn = views[(step + k) % len(views)], (seed, step)
            sample = sample_of(view, part_renderer, classes, network.config.points, config, drawn)
            if len(sample.batch):
                return sample.some(config.most, np.random.default_rng(drawn))
        raise BinposeError(
            f"None of the {len(views)} views shows a part in {config.fewest_px} pixels with depth; expected one; "
            "simulate more of them, or nearer ones."
        )

    for name in config.signals:
        kept = None if checkpoint is None else checkpoint.with_name(f"{checkpoint.stem}_{name}{checkpoint.suffix}")
        losses = partial(_losses, name, getattr(signals, name))
        network = train(network, make, losses, getattr(config, name), kept, hooks_of(name))
    return network


def _losses(
    name: str,
    signal: Callable[[Sample, torch.Tensor], torch.Tensor],
    network: torch.nn.Module,
    sample: Sample,
) -> dict[str, torch.Tensor]:
    """The signal's weighted mean over all starts and all steps of the network; weights scale it linearly."""
    assert isinstance(network, RefinementNetwork)
    start = torch.from_numpy(sample.batch.T_cam_obj).float()
    poses = network.refine(start, *sample.inputs)
    return {name: torch.stack([(sample.weight * signal(sample, pose)).mean() for pose in poses]).mean()}


def sample_of(
    view: LabelledView,
    part_renderer: PartRenderer,
    classes: np.ndarray,
    points: int,
    config: RefinementTraining,
    seed: tuple[int, ...],
) -> Sample:
    """Starts around the parts of a view that are sufficiently visible and have a known pose."""
    rng, known = np.random.default_rng(seed), list(part_renderer.ids)
    sizes = np.bincount(view.instance_ids[view.instance_ids >= 0], minlength=len(view.object_ids))
    usable = view.pose_known & (sizes >= config.fewest_px)
    shown = [i for i, name in enumerate(view.object_ids) if usable[i] and name in known]
    detections = [Detection.from_mask(view.object_ids[i], 1.0, view.instance_ids == i) for i in shown]
    observation = observe(view.frame, detections, RefinerConfig.noise_floor_m, view.known_ids == UNKNOWN)
    owner = np.repeat(np.arange(len(shown)), config.starts)
    part = np.array([known.index(view.object_ids[i]) for i in shown], np.int64)[owner]
    truth = view.T_cam_obj[np.array(shown, int)][owner] if shown else np.zeros((0, 4, 4))
    batch = HypothesisBatch(owner, part, _off(rng, part_renderer, part, truth, config), np.ones(len(owner)))
    batch = batch.take(part_renderer.unusable(batch, observation.camera) == "")
    inputs, seen = network_inputs(part_renderer, observation, batch, classes, points)
    batch, weight = batch.take(seen), view.known_weight[np.array(shown, int)]
    inputs = tuple(tensor[torch.from_numpy(seen)] for tensor in inputs)
    return Sample(observation, batch, inputs, torch.from_numpy(weight[batch.owner]).float())


def _off(
    rng: np.random.Generator, part_renderer: PartRenderer, part: np.ndarray, T: FloatArray, config: RefinementTraining
) -> FloatArray:
    """Poses (B, 4, 4) rotated about the parts' centres and shifted at random, within the limits of the config."""
    turn, shift = rng.normal(size=(2, len(part), 3))
    turn *= np.deg2rad(config.degrees) * rng.random((len(part), 1)) / np.linalg.norm(turn, axis=1, keepdims=True)
    shift *= config.shift * rng.random((len(part), 1)) / np.linalg.norm(shift, axis=1, keepdims=True)
    R = exp_so3(turn) @ T[:, :3, :3]
    center = part_renderer.center_m[part][..., None]
    middle = (T[:, :3, :3] @ center)[..., 0] + T[:, :3, 3] + shift * part_renderer.diameter_m[part, None]
    return from_rotation_translation(R, middle - (R @ center)[..., 0])
