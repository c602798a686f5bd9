"""The compiled colour term is the readable one, and both tell a turn that the shape does not."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import trimesh

from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.symmetries import ContinuousSymmetry
from binpose_core.rendering.differentiable import DifferentiableRenderer
from binpose_core.rendering.renderer import Renderer
from binpose_refinement.chroma import face_chroma, vertex_chroma
from binpose_refinement.config import RefinerConfig
from binpose_refinement.descent_config import COARSE, DescentConfig
from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer
from binpose_refinement.joint_loss import JointLoss, color_loss
from binpose_refinement.kernels.color import compare_colors
from binpose_refinement.kernels.descent import NOBODY, OWN
from binpose_refinement.network_training import Sample, Supervision
from binpose_refinement.observation import observe
from binpose_refinement.observed_pixels import observed_crops
from binpose_refinement.refiner import IcpRefiner
from binpose_refinement.render_and_compare import Descent, View

from .conftest import CAMERA, FLOOR_M, detection, guesses, part

AXIS = np.array([0, 0, 1.0])
TRUTH = from_rotation_translation(exp_so3(np.array([0.3, 1.2, 0.2])), np.array([0.01, -0.01, 0.5]))


@pytest.fixture(scope="module")
def can():
    """A cylinder that is round to the eye of the depth camera and of another hue all round."""
    mesh = trimesh.creation.cylinder(radius=0.02, height=0.07, sections=96).subdivide()
    angle = np.arctan2(mesh.vertices[:, 1], mesh.vertices[:, 0])
    colors = 130 + 90 * np.stack([np.cos(angle), np.sin(angle), np.cos(angle + 2)], -1)
    shape = part(mesh, "can", continuous=[ContinuousSymmetry(AXIS, np.zeros(3))])
    painted = Mesh(shape.mesh.vertices, shape.mesh.faces, colors.astype(np.uint8))
    return replace(shape, mesh=painted)


@pytest.fixture(scope="module")
def seen(can):
    """The can in its colours above a gray floor."""
    scene = Renderer([can.mesh]).scene(np.zeros(1, np.int64), TRUTH[None], CAMERA)
    mask = scene.depth_m > 0
    colors = can.mesh.colors[can.mesh.faces].mean(1)[np.maximum(scene.face_ids, 0)]
    color = np.where(mask[..., None], colors, 60).astype(np.uint8)
    depth = np.where(mask, scene.depth_m, FLOOR_M).astype(np.float32)
    return observe(RgbdFrame(color, depth, CAMERA), [detection("can", mask)], 2e-4)


def rolled(degrees: float) -> np.ndarray:
    return TRUTH @ from_rotation_translation(exp_so3(np.deg2rad(degrees) * AXIS), np.zeros(3))


def one(T) -> HypothesisBatch:
    return HypothesisBatch(np.zeros(1, np.int64), np.zeros(1, np.int64), T[None], np.ones(1))


def compared(can, seen, T, reach):
    """Loss, gradient (6,), and the images that it is of: shown, seen (h, w, 2), and where they are compared (h, w)."""
    descent = Descent(PartRenderer({"can": can}, ()))
    view = View(descent, seen, one(TRUTH), descent.config.fine)
    drawn = view.draw(np.zeros(1, np.int64), T[None])
    chroma = face_chroma(can.mesh)
    u0, v0, step = view.windows[0].astype(int)
    crop = np.s_[v0 : v0 + step * view.size_px : step, u0 : u0 + step * view.size_px : step]
    pixels = np.where(seen.labels[crop] == 0, OWN, NOBODY).astype(np.uint8)
    gradient, curvature = np.zeros(6), np.zeros((6, 6))
    center, lever = T[:3, :3] @ can.center_m + T[:3, 3], 0.5 * can.diameter_m
    loss = compare_colors(
        drawn.depth_m[0], drawn.face_ids[0], chroma, 0, center, lever, view.windows[0], CAMERA.intrinsics, seen.chroma,
        pixels, OWN, reach, 40.0, 1.0, gradient, curvature,
    )  # fmt: skip
    covered = drawn.depth_m[0] > 0
    shown = np.where(covered[..., None], chroma[drawn.face_ids[0]], 4e4)  # no pixel is like what is not drawn
    assert np.linalg.eigvalsh(np.tril(curvature) + np.tril(curvature, -1).T).min() > -1e-9
    return loss, gradient, (shown, seen.chroma[crop], covered & (pixels == OWN))


@pytest.mark.parametrize("reach", [0, 1, 2])
@pytest.mark.parametrize("degrees", [0.0, 7.0, 40.0])
def test_it_is_the_readable_loss(can, seen, reach, degrees) -> None:
    loss, _, images = compared(can, seen, rolled(degrees), reach)
    shown, camera, where = (torch.from_numpy(np.asarray(x, np.float32))[None] for x in images)
    assert loss == pytest.approx(float(color_loss(shown / 40.0, camera / 40.0, where, reach)), rel=1e-4)


@pytest.mark.parametrize("degrees", [0.0, 10.0, 40.0, 90.0, 180.0])
def test_the_descent_goes_down_the_joint_loss(can, seen, degrees) -> None:
    """With its default weights. Colours are constant over a face here and interpolated there."""
    descent, batch = Descent(PartRenderer({"can": can}, ())), one(rolled(degrees))
    view = View(descent, seen, batch, COARSE)
    renderer = DifferentiableRenderer(descent.renderer, [vertex_chroma(mesh) for mesh in descent.ladders.meshes])
    drawn = renderer(
        view.mesh_ids, torch.from_numpy(batch.T_cam_obj), view.intrinsics, view.size_px, view.size_px
    )  # fmt: skip
    camera = observed_crops(seen, view.windows, batch.owner, view.size_px)
    readable = JointLoss()(drawn, camera, torch.from_numpy(view.colored)).item()
    compiled = view.compare(np.zeros(1, np.int64), batch.T_cam_obj).loss[0]
    assert compiled == pytest.approx(readable, rel=0.05, abs=2e-3)


def test_the_joint_loss_teaches_the_turn(can, seen) -> None:
    """The signal that trains the refinement network, and its slope about the axis."""
    signals, losses = Supervision(PartRenderer({"can": can}, (300,))), []
    for degrees in (0.0, 5.0, 12.0, 40.0):
        sample = Sample(seen, one(rolled(degrees)), (), torch.ones(1))
        losses.append(signals.joint(sample, torch.from_numpy(sample.batch.T_cam_obj).float()).item())
    assert all(later > 1.5 * earlier for earlier, later in pairwise(losses))
    turned = torch.zeros(1, requires_grad=True)
    start = torch.from_numpy(rolled(25.0)).float()
    cos, sin, zero, unit = turned.cos()[0], turned.sin()[0], torch.zeros(()), torch.ones(())
    rows = [[cos, -sin, zero, zero], [sin, cos, zero, zero], [zero, zero, unit, zero], [zero, zero, zero, unit]]
    pose = start @ torch.stack([torch.stack(row) for row in rows])
    signals.joint(Sample(seen, one(rolled(25.0)), (), torch.ones(1)), pose[None]).sum().backward()
    assert turned.grad.item() > 0.05, "back is where the roll came from"


def test_its_gradient_is_the_slope_of_the_loss(can, seen) -> None:
    """For a turn about the axis and a shift across it, over several pixels: the rendering is stepwise."""
    descent, T = Descent(PartRenderer({"can": can}, ())), rolled(12.0)
    _, gradient, _ = compared(can, seen, T, 0)
    turn = np.concatenate([np.zeros(3), T[:3, :3] @ AXIS])
    across = np.concatenate([np.cross(T[:3, :3] @ AXIS, [0, 0, 1.0]), np.zeros(3)])
    for direction, step in ((turn, 1.5e-3), (across / np.linalg.norm(across), 1.5e-3)):
        ends = [descent._moved(np.zeros(1, np.int64), T[None], s * step * direction[None])[0] for s in (-1, 1)]
        low, high = (compared(can, seen, end, 0)[0] for end in ends)
        assert gradient @ direction == pytest.approx((high - low) / (2 * step), rel=0.2)
    assert abs(gradient @ turn) > 1.0


def test_colour_tells_the_turn_that_the_shape_leaves_open(can, seen) -> None:
    plain = replace(can, mesh=Mesh(can.mesh.vertices, can.mesh.faces))
    for degrees in (-150.0, -25.0, 10.0, 60.0):
        start = rolled(degrees)
        start[:3, 3] += [0.002, -0.001, 0.002]
        painted, bare = (
            Descent(PartRenderer({"can": model}, ()))(seen, one(start)).T_cam_obj[0] for model in (can, plain)
        )
        with_color, without = (
            np.rad2deg(np.arccos(np.clip((T[:3, 0] @ TRUTH[:3, 0]), -1, 1))) for T in (painted, bare)
        )
        assert with_color < 4.0, "the hue is back in its place, but for the pixel that is always allowed"
        assert without > 0.7 * abs(degrees), "nothing else brings it there"
        np.testing.assert_allclose(painted[:3, 3], TRUTH[:3, 3], atol=3e-4)


def test_the_refiner_keeps_the_turn_that_colour_tells(can, seen) -> None:
    """Verification, which does not look at colours, does not take it back."""
    frame = RgbdFrame(seen.rgb, seen.depth_m, CAMERA)
    found = detection("can", seen.labels == 0)
    refiner = IcpRefiner({"can": can}, RefinerConfig(method="render_and_compare"))
    (pose,) = refiner(frame, [found], [guesses(("can", rolled(70.0), 0.9), index=0)])
    assert np.rad2deg(np.arccos(pose.T_cam_obj[:3, 0] @ TRUTH[:3, 0])) < 4.0


def test_parts_without_colours_pay_nothing(parts, pile) -> None:
    """The image is not even looked at."""
    observation = observe(pile.frame, pile.detections, 2e-4)
    descent = Descent(PartRenderer(parts, ()))
    batch = HypothesisBatch(np.arange(2), np.zeros(2, np.int64), pile.T_cam_obj[[0, 3]], np.ones(2))
    plain = descent(observation, batch)
    assert "chroma" not in vars(observation)
    weighed = Descent(PartRenderer(parts, ()), DescentConfig(color=5.0))(observation, batch)
    np.testing.assert_array_equal(weighed.loss, plain.loss)
