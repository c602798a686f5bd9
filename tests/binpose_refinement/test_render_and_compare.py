"""Poses that are off come back, what the view does not tell stays, and nothing gets worse by its own measure."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.tensor_rotations import exp_so3 as rotations
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation, rotation_angle_rad
from binpose_core.rendering.differentiable import DifferentiableRenderer
from binpose_refinement.descent_config import COARSE, FINE, DescentConfig
from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer
from binpose_refinement.joint_loss import JointLoss
from binpose_refinement.observation import observe
from binpose_refinement.observed_pixels import observed_crops
from binpose_refinement.render_and_compare import Descent, View

from .conftest import CAMERA, distance_m, draw, perturbed


@pytest.fixture(scope="module")
def descent(parts) -> Descent:
    return Descent(PartRenderer(parts, (300,)))


def batch_of(parts, scene, T_cam_obj) -> HypothesisBatch:
    names = list(parts)
    count = len(scene.ids)
    part = np.array([names.index(name) for name in scene.ids], np.int64)
    return HypothesisBatch(np.arange(count), part, np.asarray(T_cam_obj), np.ones(count))


def errors_m(parts, scene, poses) -> np.ndarray:
    return np.array([distance_m(parts[n], a, b) for n, a, b in zip(scene.ids, poses, scene.T_cam_obj, strict=True)])


def alone(parts, name, turn, noise_m=0.0):
    truth = from_rotation_translation(exp_so3(np.array(turn)), np.array([0.01, -0.02, 0.6]))
    return draw(parts, [name], [truth], noise_m=noise_m, dropout=0.0)


def test_poses_that_are_off_come_back(parts, pile, descent: Descent) -> None:
    rng = np.random.default_rng(0)
    off = [perturbed(rng, parts[n], T, 10.0, 0.15) for n, T in zip(pile.ids, pile.T_cam_obj, strict=True)]
    observation = observe(pile.frame, pile.detections, 2e-4)
    found = descent(observation, batch_of(parts, pile, off))
    before, after = errors_m(parts, pile, off), errors_m(parts, pile, found.T_cam_obj)
    assert np.median(after) < 0.2e-3 < 5e-3 < np.median(before)
    again = descent.descend(observation, batch_of(parts, pile, found.T_cam_obj), FINE)
    assert (again.loss <= found.loss + 1e-6).all()


@pytest.mark.parametrize("turn", [(0.4, 0.3, -0.8), (2.0, -0.5, 0.3), (-1.0, 1.2, 0.1)])
def test_without_noise_the_truth_is_met(parts, descent: Descent, turn) -> None:
    scene = alone(parts, "cleat", turn)
    off = perturbed(np.random.default_rng(1), parts["cleat"], scene.T_cam_obj[0], 10.0, 0.15)
    found = descent(observe(scene.frame, scene.detections, 1e-4), batch_of(parts, scene, [off]))
    assert errors_m(parts, scene, found.T_cam_obj)[0] < 0.05e-3


def test_what_the_view_does_not_tell_stays(parts, descent: Descent) -> None:
    """A rod may turn about its axis as it likes; its guess says by how much it does."""
    scene = alone(parts, "rod", (np.pi / 2 - 0.3, 0.2, 0.0), noise_m=0.001)
    off = perturbed(np.random.default_rng(2), parts["rod"], scene.T_cam_obj[0], 6.0, 0.1)
    found = descent(observe(scene.frame, scene.detections, 2e-4), batch_of(parts, scene, [off]))
    assert errors_m(parts, scene, found.T_cam_obj)[0] < 0.3e-3
    assert rotation_angle_rad(off[:3, :3], found.T_cam_obj[0, :3, :3]) < np.deg2rad(12)


def test_the_kernel_and_the_readable_loss_agree(parts, pile, descent: Descent) -> None:
    """The compiled loss is `JointLoss` without colour, on the same renderings, wrong poses included."""
    rng = np.random.default_rng(3)
    off = [perturbed(rng, parts[n], T, 4.0, 0.04) for n, T in zip(pile.ids, pile.T_cam_obj, strict=True)]
    observation, rows = observe(pile.frame, pile.detections, 2e-4), np.arange(len(off))
    batch = batch_of(parts, pile, off)
    view = View(descent, observation, batch, COARSE)
    found = view.compare(rows, batch.T_cam_obj)
    renderer = DifferentiableRenderer(descent.renderer)
    drawn = renderer(
        view.mesh_ids, torch.from_numpy(batch.T_cam_obj), view.intrinsics, view.size_px, view.size_px
    )  # fmt: skip
    readable = JointLoss(
        color=0.0, overlap=COARSE.overlap, tolerance_m=view.tolerance_m, truncation_m=view.truncation_m
    )
    seen = observed_crops(observation, view.windows, batch.owner, view.size_px)
    np.testing.assert_allclose(found.loss, readable(drawn, seen).numpy(), rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_the_gradient_is_that_of_the_readable_loss(parts, pile, descent: Descent, seed: int) -> None:
    """In its direction, and mostly a tenth longer; without the contour, the lengths are 3 % apart at most.

    Covered anew, a pixel whose depth agrees is taken to agree exactly, and free space costs at both pixels of a pair,
    where the readable loss has the neighbour's distance, and only the covered pixel. Borders within the part, where it
    hides itself, the kernel does not move.
    """
    rng = np.random.default_rng(seed)
    off = np.array([perturbed(rng, parts[n], T, 4.0, 0.04) for n, T in zip(pile.ids, pile.T_cam_obj, strict=True)])
    observation, batch = observe(pile.frame, pile.detections, 2e-4), batch_of(parts, pile, off)
    view = View(descent, observation, batch, COARSE)
    found = view.compare(np.arange(len(off)), off).gradient
    move = torch.zeros(len(off), 6, dtype=torch.float64, requires_grad=True)
    render = DifferentiableRenderer(descent.renderer, dtype=torch.float64)
    drawn = render(view.mesh_ids, moved(descent, batch, move), view.intrinsics, view.size_px, view.size_px)
    seen = observed_crops(observation, view.windows, batch.owner, view.size_px)
    seen = replace(seen, **{name: value.double() for name, value in vars(seen).items()})
    loss = JointLoss(color=0.0, tolerance_m=view.tolerance_m, truncation_m=view.truncation_m)
    loss(drawn, seen).sum().backward()
    readable = move.grad.numpy()
    lengths = np.linalg.norm(found, axis=1), np.linalg.norm(readable, axis=1)
    cosines = (found * readable).sum(1) / lengths[0] / lengths[1]
    assert cosines.min() > 0.95 and np.median(cosines) > 0.99
    ratios = lengths[0] / lengths[1]
    assert ratios.min() > 0.8 and ratios.max() < 1.35 and np.median(ratios) < 1.2


def moved(descent: Descent, batch: HypothesisBatch, move: torch.Tensor) -> torch.Tensor:
    """The poses (B, 4, 4) after moves (B, 6) as `Descent` makes them, with their gradients."""
    part, T = batch.part, torch.from_numpy(batch.T_cam_obj)
    turn = rotations(move[:, 3:] / torch.from_numpy(0.5 * descent.part_renderer.diameter_m[part, None]))
    center = T[:, :3, :3] @ torch.from_numpy(descent.part_renderer.center_m[part])[..., None]
    shift = T[:, :3, 3:] + move[:, :3, None] + center - turn @ center
    return torch.cat([torch.cat([turn @ T[:, :3, :3], shift], -1), T[:, 3:]], 1)


def test_the_equations_point_downhill(parts, pile, descent: Descent) -> None:
    rng = np.random.default_rng(4)
    off = [perturbed(rng, parts[n], T, 3.0, 0.03) for n, T in zip(pile.ids, pile.T_cam_obj, strict=True)]
    observation, rows = observe(pile.frame, pile.detections, 2e-4), np.arange(len(off))
    batch = batch_of(parts, pile, off)
    view = View(descent, observation, batch, COARSE)
    found = view.compare(rows, batch.T_cam_obj)
    step = -np.linalg.solve(found.curvature + 1e-3 * np.eye(6) * found.curvature.max(), found.gradient[..., None])
    after = view.compare(rows, descent._moved(batch.part, batch.T_cam_obj, step[..., 0]))
    assert np.mean(after.loss < found.loss) > 0.8
    np.testing.assert_allclose(found.curvature, np.swapaxes(found.curvature, 1, 2))
    assert (np.linalg.eigvalsh(found.curvature) > -1e-6 * found.curvature.max()).all()


def test_a_neighbour_in_front_does_not_pull(parts, descent: Descent) -> None:
    """A rod lies over a third of a plate: its pose is found to a third of a pixel all the same."""
    flat = from_rotation_translation(np.diag([1.0, -1.0, -1.0]), np.array([0.0, 0.0, 0.62]))
    across = from_rotation_translation(exp_so3(np.array([np.pi / 2, 0, 0])), np.array([-0.015, 0.0, 0.595]))
    scene = draw(parts, ["plate", "rod"], [flat, across], noise_m=0.0, dropout=0.0)
    rng = np.random.default_rng(5)
    off = [perturbed(rng, parts[n], T, 5.0, 0.08) for n, T in zip(scene.ids, scene.T_cam_obj, strict=True)]
    found = descent(observe(scene.frame, scene.detections, 2e-4), batch_of(parts, scene, off))
    assert errors_m(parts, scene, found.T_cam_obj).max() < 0.4e-3


@pytest.mark.parametrize("case", ["one pixel", "no depth", "elsewhere", "empty"])
def test_what_cannot_be_refined_stays_finite(parts, pile, descent: Descent, case: str) -> None:
    frame, detections, start = pile.frame, list(pile.detections), pile.T_cam_obj.copy()
    if case == "one pixel":
        detections[0] = replace(detections[0], mask=np.zeros_like(detections[0].mask))
        detections[0].mask[0, 0] = True
    elif case == "no depth":
        frame = replace(frame, depth_m=None)
    elif case == "elsewhere":
        start[0, 0, 3] += 0.3
    batch = batch_of(parts, pile, start)
    batch = batch.take(np.zeros(0, np.int64)) if case == "empty" else batch
    found = descent(observe(frame, detections, 2e-4), batch)
    assert all(np.isfinite(array).all() for array in found)
    if case != "empty":
        others = errors_m(parts, pile, found.T_cam_obj)[1:]
        assert np.median(others) < (1e-3 if case != "no depth" else 5e-3)


def test_small_parts_are_seen_at_the_frames_own_pixels(parts, pile, descent: Descent) -> None:
    observation = observe(pile.frame, pile.detections, 2e-4)
    batch = batch_of(parts, pile, pile.T_cam_obj)
    view = View(descent, observation, batch, FINE)
    assert (view.windows[:, 2] == 1).all() and view.size_px < FINE.size_px
    assert view.size_px == descent.part_renderer.largest_px(batch, CAMERA)


@pytest.mark.parametrize(
    "wrong",
    [{"longest_step": 0.0}, {"stay": -1.0}, {"shortest_step": float("nan")}, {"farthest_start": 2.0}],
)
def test_settings_that_make_no_sense_are_refused(wrong) -> None:
    with pytest.raises(BinposeError, match=f"DescentConfig.{next(iter(wrong))} is"):
        DescentConfig(**wrong)
    for field, value in (("size_px", 4), ("steps", 0), ("tolerance_m", 0.0), ("overlap", -1.0), ("detail_px", 0.0)):
        with pytest.raises(BinposeError, match=f"Phase.{field} is"):
            replace(COARSE, **{field: value})
