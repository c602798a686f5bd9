"""Render-and-compare: descent on the joint loss of a rendering and what the camera saw, all instances at once."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt
import torch

from binpose_core.camera import Camera
from binpose_core.catalogue import ObjectModel
from binpose_core.differentiable import DifferentiableRenderer, DifferentiableRendering
from binpose_core.frames import RgbdFrame
from binpose_core.geometry import FloatArray, exp_so3
from binpose_refinement.batch import Batch, Workshop, window_intrinsics
from binpose_refinement.joint_loss import JointLoss, Observed
from binpose_refinement.observation import Observation


@dataclass(frozen=True)
class DescentConfig:
    """How the poses descend.

    size_px, faces: crops and level of detail that are rendered. steps: at most so many renderings.
    longest_step, shortest_step: shares of the diameter; a longer step is cut, a shorter one ends the descent.
    """

    size_px: int = 64
    faces: int = 2000
    steps: int = 14
    longest_step: float = 0.08
    shortest_step: float = 2e-5
    loss: JointLoss = field(default_factory=JointLoss)
    tolerance_sigmas: float = 1.5
    noise_floor_m: float = 0.0002
    contour_curvature: float = 0.3


class Descent:
    """Poses (B, 4, 4) down the joint loss; the best of all steps, the start included, comes back.

    The gradient is that of the differentiable rendering; it is divided by the curvature that Gauss and Newton give the
    geometry and the contour (Levenberg-Marquardt), so that ten renderings do what fifty steps of Adam would.
    """

    def __init__(self, objects: Mapping[str, ObjectModel], config: DescentConfig | None = None) -> None:
        self.config = config or DescentConfig()
        self.workshop = Workshop(objects, (self.config.faces,))
        self.renderer = DifferentiableRenderer(self.workshop.renderer)

    def __call__(self, frame: RgbdFrame, observation: Observation, batch: Batch) -> tuple[FloatArray, FloatArray]:
        """Refined poses (B, 4, 4) and their losses (B,)."""
        c = self.config
        windows = self.workshop.windows(batch, frame.camera, c.size_px, whole_steps=True)
        intrinsics = torch.from_numpy(window_intrinsics(windows, frame.camera)).float()
        observed = look(frame, observation, windows, batch.owner, c.size_px)
        tolerance = max(c.tolerance_sigmas * observation.noise_m, c.noise_floor_m)
        loss = replace(c.loss, tolerance_m=tolerance, truncation_m=max(c.loss.truncation_m, 4 * tolerance))
        diameter = self.workshop.diameter_m[batch.part]
        pose, best = (np.array(batch.T_cam_obj, np.float64) for _ in range(2))
        best_loss = np.full(len(batch), np.inf)
        gradient, curvature = np.zeros((len(batch), 6)), np.zeros((len(batch), 6, 6))
        damping, active = np.full(len(batch), 1e-2), np.arange(len(batch))
        for _ in range(c.steps):
            value, g, H = self._expand(
                batch.part[active], pose[active], intrinsics[active], observed.take(active), loss
            )
            better = value < best_loss[active]
            up = active[better]
            best[up], best_loss[up], gradient[up], curvature[up] = pose[up], value[better], g[better], H[better]
            damping[active] = np.clip(damping[active] * np.where(better, 0.3, 6.0), 1e-4, 1e4)
            move = _damped(gradient[active], curvature[active], damping[active])
            length = np.linalg.norm(move, axis=1) / diameter[active]
            move *= np.minimum(1.0, c.longest_step / np.maximum(length, 1e-12))[:, None]
            active, move = active[length > c.shortest_step], move[length > c.shortest_step]
            if not len(active):
                break
            pose[active] = self._moved(batch.part[active], best[active], move)
        return best, best_loss

    def _expand(
        self,
        part: npt.NDArray[np.int64],
        pose: FloatArray,
        intrinsics: torch.Tensor,
        observed: Observed,
        loss: JointLoss,
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Losses (B,), gradients (B, 6) and curvatures (B, 6, 6) to (shift, turn about the centre x radius), in m."""
        twist = torch.zeros((len(part), 6), requires_grad=True)
        T = torch.from_numpy(pose).float()
        lever = torch.from_numpy(0.5 * self.workshop.diameter_m[part]).float()
        center = torch.from_numpy((pose[:, :3, :3] @ self.workshop.center_m[part][..., None])[..., 0]).float()
        turn = _skew(twist[:, 3:] / lever[:, None])
        R = T[:, :3, :3] + turn @ T[:, :3, :3]
        t = T[:, :3, 3] + twist[:, :3] - (turn @ center[..., None])[..., 0]
        moved = torch.cat([torch.cat([R, t[..., None]], -1), T[:, 3:]], 1)
        drawn = self.renderer(part, moved, intrinsics, self.config.size_px, self.config.size_px)
        value = loss(drawn, observed)
        value.sum().backward()
        assert twist.grad is not None
        with torch.no_grad():
            H = self._curvature(drawn, observed, loss, center + T[:, :3, 3], lever, intrinsics)
        return tuple(a.detach().double().numpy() for a in (value, twist.grad, H))  # type: ignore[return-value]

    def _curvature(
        self,
        drawn: DifferentiableRendering,
        observed: Observed,
        loss: JointLoss,
        center_cam: torch.Tensor,
        lever: torch.Tensor,
        intrinsics: torch.Tensor,
    ) -> torch.Tensor:
        """(B, 6, 6) Gauss-Newton curvature of the geometry's distances and of the contour's motion in the image."""
        tolerance, limit = loss.tolerance_m, loss.truncation_m / loss.tolerance_m
        points = drawn.depth_m[..., None] * observed.rays
        arm = (points - center_cam[:, None, None]) / lever[:, None, None, None]
        n = drawn.normals_cam
        jacobian = torch.cat([n, torch.linalg.cross(arm, n)], -1)
        distance = ((observed.depth_m - drawn.depth_m) * (n * observed.rays).sum(-1)).abs() / tolerance
        counted = (observed.depth_m > 0) & (observed.mask > 0)
        weight = (counted & (drawn.coverage > 0) & (distance < limit)) / distance.clamp(min=1.0)
        weight = weight / (counted.sum((1, 2)).clamp(min=1)[:, None, None] * limit * tolerance**2)
        H = loss.geometry * torch.einsum("bhwi,bhw,bhwj->bij", jacobian, weight, jacobian)
        # A contour pixel that moves by one covers or uncovers one pixel.
        inside = drawn.coverage > 0
        border = inside & ~_eroded(inside)
        toward = n[..., :2] / n[..., :2].norm(dim=-1, keepdim=True).clamp(min=1e-6)
        z = drawn.depth_m.clamp(min=1e-6)[..., None]
        f = intrinsics[:, None, None, :2]
        across = (toward * f).sum(-1, keepdim=True) / z
        direction = torch.cat([toward * f / z, -across * (toward * observed.rays[..., :2]).sum(-1, keepdim=True)], -1)
        jacobian = torch.cat([direction, torch.linalg.cross(arm, direction)], -1)
        weight = border / inside.sum((1, 2)).clamp(min=1)[:, None, None]
        scale = self.config.contour_curvature * (loss.overlap + loss.color)
        return H + scale * torch.einsum("bhwi,bhw,bhwj->bij", jacobian, weight, jacobian)

    def _moved(self, part: npt.NDArray[np.int64], pose: FloatArray, move: FloatArray) -> FloatArray:
        center = (pose[:, :3, :3] @ self.workshop.center_m[part][..., None])[..., 0]
        turn = exp_so3(move[:, 3:] / (0.5 * self.workshop.diameter_m[part, None]))
        moved = pose.copy()
        moved[:, :3, :3] = turn @ pose[:, :3, :3]
        moved[:, :3, 3] = pose[:, :3, 3] + move[:, :3] + center - (turn @ center[..., None])[..., 0]
        return moved


def _damped(gradient: FloatArray, curvature: FloatArray, damping: FloatArray) -> FloatArray:
    """(B, 6) Levenberg-Marquardt steps."""
    gradient = np.nan_to_num(gradient)
    diagonal = np.einsum("bii->bi", curvature)
    floor = 1e-3 * diagonal.max(1, keepdims=True) + 1e-9
    H = curvature + (damping[:, None] * diagonal + floor)[..., None] * np.eye(6)
    return -np.linalg.solve(H, gradient[..., None])[..., 0]


def look(
    frame: RgbdFrame, observation: Observation, windows: FloatArray, owner: npt.NDArray[np.int64], size_px: int
) -> Observed:
    """What the camera saw in windows (B, 3) with whole steps, of the detections owner (B,)."""
    lab = cv2.cvtColor(frame.rgb.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
    steps = np.arange(size_px)
    columns = (windows[:, :1] + steps * windows[:, 2:]).astype(np.int64)
    rows = (windows[:, 1:2] + steps * windows[:, 2:]).astype(np.int64)
    camera = frame.camera
    inside = ((rows >= 0) & (rows < camera.height))[:, :, None] & ((columns >= 0) & (columns < camera.width))[:, None]
    index = np.clip(rows, 0, camera.height - 1)[:, :, None], np.clip(columns, 0, camera.width - 1)[:, None]
    labels = np.where(inside, observation.labels[index], -1)
    mine = labels == owner[:, None, None]
    return Observed(
        depth_m=torch.from_numpy(np.where(inside, observation.depth_m[index], 0).astype(np.float32)),
        mask=torch.from_numpy(mine.astype(np.float32)),
        other=torch.from_numpy(((labels >= 0) & ~mine).astype(np.float32)),
        chroma=torch.from_numpy(lab[index][..., 1:].astype(np.float32)),
        rays=torch.from_numpy(_rays(camera, columns, rows)),
    )


def _rays(camera: Camera, columns: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    x, y = np.broadcast_arrays(
        ((columns - camera.cx) / camera.fx)[:, None], ((rows - camera.cy) / camera.fy)[:, :, None]
    )
    return np.stack([x, y, np.ones_like(x)], -1).astype(np.float32)


def _eroded(mask: torch.Tensor) -> torch.Tensor:
    """Pixels (B, h, w) whose four neighbours are all in the mask."""
    padded = torch.nn.functional.pad(mask, (1, 1, 1, 1))
    return padded[:, :-2, 1:-1] & padded[:, 2:, 1:-1] & padded[:, 1:-1, :-2] & padded[:, 1:-1, 2:]


def _skew(v: torch.Tensor) -> torch.Tensor:
    x, y, z = v.T
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(-1, 3, 3)
