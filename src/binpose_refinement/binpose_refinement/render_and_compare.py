"""Render-and-compare: minimises the joint loss between renderings and the frame, for all instances at once.

The loss is `JointLoss` (Mu et al., eqs. 6 to 11; colour only for parts that have colours). A kernel computes its
gradient and Gauss-Newton curvature in one pass: inside the silhouette from the distance along the rendered normal,
across it from the best position of the border.
The descent is coarse to fine: small crops, coarse meshes and a wide tolerance first, then the frame's resolution and a
tolerance at the depth noise. The coarse phase starts from several poses. Motions that the view does not determine (the
roll of a round part) stay at the initial pose.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from binpose_core.geometry.transforms import FloatArray, exp_so3, log_so3
from binpose_core.parts.detail import DetailLadders
from binpose_core.rendering.renderer import Renderer, Rendering
from binpose_refinement.chroma import face_chroma
from binpose_refinement.descent_config import DescentConfig, Phase
from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer, in_chunks, window_intrinsics
from binpose_refinement.kernels.descent import compare_all
from binpose_refinement.observation import Observation

CONTOUR_SIGMA_PX = 0.5
"""Standard deviation of a contour's position in the image, for the covariance: half a pixel of quantisation and mask.
"""


class Descended(NamedTuple):
    """Result of a descent: poses (B, 4, 4), losses (B,), and the information (B, 6, 6) about the poses.

    information: J^T J of (shift of the part's centre in m, rotation in rad), scaled to residuals with the depth's
        noise, in metres.
    """

    T_cam_obj: FloatArray
    loss: FloatArray
    information: FloatArray


class Equations(NamedTuple):
    """Loss (B,), gradient (B, 6), curvature and information (B, 6, 6), of (shift, rotation x radius) in metres."""

    loss: FloatArray
    gradient: FloatArray
    curvature: FloatArray
    information: FloatArray


class Descent:
    """Minimises the joint loss by Levenberg-Marquardt; returns the best of all steps, the starts included."""

    def __init__(self, part_renderer: PartRenderer, config: DescentConfig | None = None) -> None:
        self.config = config or DescentConfig()
        self.part_renderer = part_renderer
        self.ladders = DetailLadders(part_renderer.objects)
        self.renderer = Renderer(self.ladders.meshes, part_renderer.backend)
        self.colored = np.array([part.mesh.colors is not None for part in part_renderer.objects]) & (
            self.config.color > 0
        )
        self._chroma = np.concatenate([*map(face_chroma, self.ladders.meshes), np.zeros((1, 2), np.float32)])
        self._normals = np.concatenate([*self.renderer.face_normals, np.zeros((1, 3), np.float32)])
        self._first_face = np.cumsum([0, *(len(n) for n in self.renderer.face_normals)]).astype(np.int64)

    def __call__(self, observation: Observation, batch: HypothesisBatch) -> Descended:
        """The refined poses of all hypotheses; `HypothesisBatch.initial` is an additional start."""
        if not len(batch):
            return Descended(batch.T_cam_obj, np.zeros(0), np.zeros((0, 6, 6)))
        return Descended(*in_chunks(batch, lambda some: self._descend_all(observation, some)))

    def _descend_all(self, observation: Observation, batch: HypothesisBatch) -> Descended:
        best = None
        for start, initial in self._starts(observation, batch):
            found = self.descend(observation, batch.moved(start), self.config.coarse, initial)
            best = found if best is None else _better(found, best)
        assert best is not None
        found = self.descend(observation, batch.moved(best.T_cam_obj), self.config.fine)
        return self._repainted(observation, batch, found)

    def _repainted(self, observation: Observation, batch: HypothesisBatch, found: Descended) -> Descended:
        """Parts with colours under all symmetries of their shape; the colours decide between them."""
        rows = np.flatnonzero(self.colored[batch.part])
        if not len(rows):
            return found
        step = 2 * np.pi / self.config.turns
        view, best = View(self, observation, batch.moved(found.T_cam_obj), self.config.fine), found.T_cam_obj[rows]
        for place, row in enumerate(rows):  # one by one: a part may have hundreds of symmetries
            motions = self.part_renderer.objects[batch.part[row]].symmetries.transforms(step)
            turned = found.T_cam_obj[row] @ motions
            best[place] = turned[view.compare(np.repeat(row, len(turned)), turned).loss.argmin()]
        again = self.descend(observation, batch.take(rows).moved(best), self.config.fine)
        better = again.loss < found.loss[rows]
        for kept, new in zip(found, again, strict=True):
            kept[rows[better]] = new[better]
        return found

    def descend(
        self, observation: Observation, batch: HypothesisBatch, phase: Phase, initial: FloatArray | None = None
    ) -> Descended:
        """One phase; with initial poses (B, 4, 4), `DescentConfig.stay` penalises moves away from them."""
        c, view = self.config, View(self, observation, batch, phase)
        radius = 0.5 * self.part_renderer.diameter_m[batch.part]
        shortest = c.shortest_step * observation.noise_m
        pull = 0.0 if initial is None else 2.0 * c.stay / (2.0 * radius) ** 2
        pose, best = (np.array(batch.T_cam_obj, np.float64) for _ in range(2))
        state = Equations(
            np.full(len(batch), np.inf), np.zeros((len(batch), 6)), *(np.zeros((len(batch), 6, 6)) for _ in range(2))
        )
        damping, active = np.full(len(batch), 1e-3), np.arange(len(batch))
        for _ in range(phase.steps):
            found = view.compare(active, pose[active])
            if initial is not None:
                away = self._difference(batch.part[active], initial[active], pose[active])
                found = _pulled(found, away, np.broadcast_to(pull, len(batch))[active])
            better = found.loss < state.loss[active]
            up = active[better]
            best[up] = pose[up]
            for kept, new in zip(state, found, strict=True):
                kept[up] = new[better]
            damping[active] = np.clip(damping[active] * np.where(better, 0.2, 8.0), 1e-6, 1e4)
            move = _damped(state.gradient[active], state.curvature[active], damping[active])
            length = np.linalg.norm(move, axis=1)
            move *= np.minimum(1.0, 2.0 * radius[active] * c.longest_step / np.maximum(length, 1e-12))[:, None]
            active, move = active[length > shortest], move[length > shortest]
            if not len(active):
                break
            pose[active] = self._moved(batch.part[active], best[active], move)
        return Descended(best, state.loss, self._in_radians(batch, state.information))

    def information(self, observation: Observation, batch: HypothesisBatch) -> FloatArray:
        """(B, 6, 6) about the given poses, see `Descended`."""
        found = View(self, observation, batch, self.config.fine).compare(np.arange(len(batch)), batch.T_cam_obj)
        return self._in_radians(batch, found.information)

    def _in_radians(self, batch: HypothesisBatch, information: FloatArray) -> FloatArray:
        radius = np.repeat(0.5 * self.part_renderer.diameter_m[batch.part, None], 3, 1)
        scale = np.concatenate([np.ones_like(radius), radius], 1)
        scaled: FloatArray = information * scale[:, :, None] * scale[:, None]
        return scaled

    def _starts(self, observation: Observation, batch: HypothesisBatch) -> list[tuple[FloatArray, FloatArray]]:
        """Poses (B, 4, 4) to start from, each with the initial pose that it should stay near."""
        moved = self._onto_points(observation, batch.moved(batch.initial))
        starts = [(batch.T_cam_obj, batch.initial), (moved, moved)]
        return starts if np.array_equal(batch.T_cam_obj, batch.initial) else [*starts, (batch.initial, batch.initial)]

    def _onto_points(self, observation: Observation, batch: HypothesisBatch) -> FloatArray:
        """The poses shifted so that the centre of their visible surface lies on the centre of the observed points."""
        view = View(self, observation, batch, self.config.coarse)
        drawn = view.draw(np.arange(len(batch)), batch.T_cam_obj)
        longest = self.config.farthest_start * self.part_renderer.diameter_m[batch.part]
        seen = {int(owner): _middle_seen(observation, int(owner)) for owner in np.unique(batch.owner)}
        poses = np.array(batch.T_cam_obj, np.float64)
        for i, owner in enumerate(batch.owner):
            v, u = np.nonzero(drawn.depth_m[i])
            there = seen[int(owner)]
            if there is None or not len(v):
                continue
            u0, v0, step = view.windows[i]
            shift = there - _middle(observation, u0 + step * u, v0 + step * v, drawn.depth_m[i, v, u])
            poses[i, :3, 3] += shift * min(1.0, longest[i] / max(float(np.linalg.norm(shift)), 1e-12))
        return poses

    def _difference(self, part: npt.NDArray[np.int64], T_a: FloatArray, T_b: FloatArray) -> FloatArray:
        """(B, 6) from a to b: shift of the centre, and rotation vector times the radius, in metres."""
        center = self.part_renderer.center_m[part][..., None]
        shift = ((T_b[:, :3, :3] - T_a[:, :3, :3]) @ center)[..., 0] + T_b[:, :3, 3] - T_a[:, :3, 3]
        turn = log_so3(T_b[:, :3, :3] @ np.swapaxes(T_a[:, :3, :3], 1, 2))
        return np.concatenate([shift, turn * 0.5 * self.part_renderer.diameter_m[part, None]], 1)

    def _moved(self, part: npt.NDArray[np.int64], pose: FloatArray, move: FloatArray) -> FloatArray:
        center = (pose[:, :3, :3] @ self.part_renderer.center_m[part][..., None])[..., 0]
        turn = exp_so3(move[:, 3:] / (0.5 * self.part_renderer.diameter_m[part, None]))
        moved = pose.copy()
        moved[:, :3, :3] = turn @ pose[:, :3, :3]
        moved[:, :3, 3] = pose[:, :3, 3] + move[:, :3] + center - (turn @ center[..., None])[..., 0]
        return moved


class View:
    """The windows, meshes and scales of one phase, fixed at its start."""

    def __init__(self, descent: Descent, observation: Observation, batch: HypothesisBatch, phase: Phase) -> None:
        self.descent, self.observation, self.batch = descent, observation, batch
        camera, part_renderer = observation.camera, descent.part_renderer
        self.size_px = min(phase.size_px, part_renderer.largest_px(batch, camera))
        self.windows = part_renderer.windows(batch, camera, self.size_px, whole_steps=True)
        self.reach_px = np.ceil(0.5 * part_renderer.extents_px(batch, camera)).astype(np.int64)
        self.intrinsics = window_intrinsics(self.windows, camera)
        self.mesh_ids = descent.ladders.mesh_ids(batch.part, batch.T_cam_obj, self.intrinsics, phase.detail_px)
        # Simplified levels of detail keep the shape but not the colours.
        self.colored = descent.colored[batch.part]
        self.mesh_ids = np.where(self.colored, descent.ladders.first[batch.part], self.mesh_ids)
        self.chroma = observation.chroma if self.colored.any() else np.zeros((1, 1, 2), np.float32)
        self.tolerance_m = max(phase.tolerance_m, phase.tolerance_sigmas * observation.noise_m)
        self.truncation_m = max(phase.truncation_m, phase.truncation_tolerances * self.tolerance_m)
        self.weights = np.array([1.0, phase.overlap, descent.config.color])

    def draw(self, rows: npt.NDArray[np.int64], pose: FloatArray) -> Rendering:
        """Crops of some of the hypotheses at poses (R, 4, 4)."""
        return self.descent.renderer.crops(self.mesh_ids[rows], pose, self.intrinsics[rows], self.size_px, self.size_px)

    def compare(self, rows: npt.NDArray[np.int64], pose: FloatArray) -> Equations:
        """The equations of some of the hypotheses at poses (R, 4, 4)."""
        drawn, seen, descent, count = self.draw(rows, pose), self.observation, self.descent, len(rows)
        parts = descent.part_renderer
        part = self.batch.part[rows]
        found = Equations(np.empty(count), np.empty((count, 6)), np.empty((count, 6, 6)), np.empty((count, 6, 6)))
        compare_all(
            drawn.depth_m, drawn.face_ids, descent._normals, descent._first_face[self.mesh_ids[rows]],
            np.ascontiguousarray(pose), parts.center_m[part], 0.5 * parts.diameter_m[part],
            self.windows[rows], self.reach_px[rows], seen.camera.intrinsics, seen.depth_m, seen.labels,
            self.batch.owner[rows], self.tolerance_m, self.truncation_m, self.weights,
            (seen.noise_m / CONTOUR_SIGMA_PX) ** 2, descent._chroma, self.colored[rows], self.chroma,
            descent.config.chroma_scale, *found,
        )  # fmt: skip
        return found


def _middle_seen(observation: Observation, owner: int) -> FloatArray | None:
    """(3,) median of the points of a detection; None where it has too little depth."""
    rows, columns = np.nonzero((observation.labels == owner) & (observation.depth_m > 0))
    if len(rows) < 5:
        return None
    return _middle(observation, columns, rows, observation.depth_m[rows, columns])


def _middle(
    observation: Observation, columns: npt.NDArray[Any], rows: npt.NDArray[Any], depth_m: FloatArray
) -> FloatArray:
    camera = observation.camera
    x, y = (columns - camera.cx) / camera.fx * depth_m, (rows - camera.cy) / camera.fy * depth_m
    return np.array([np.median(x), np.median(y), np.median(depth_m)])


def _pulled(found: Equations, away: FloatArray, pull: FloatArray) -> Equations:
    """The equations with 0.5 * pull (B,) * |away (B, 6)|^2 added to the loss."""
    return Equations(
        found.loss + 0.5 * pull * np.square(away).sum(1),
        found.gradient + pull[:, None] * away,
        found.curvature + pull[:, None, None] * np.eye(6),
        found.information,
    )


def _better(a: Descended, b: Descended) -> Descended:
    """The one with the lower loss, row by row."""
    first = a.loss < b.loss
    return Descended(*(np.where(first.reshape(-1, *[1] * (x.ndim - 1)), x, y) for x, y in zip(a, b, strict=True)))


def _damped(gradient: FloatArray, curvature: FloatArray, damping: FloatArray) -> FloatArray:
    """(B, 6) Levenberg-Marquardt steps."""
    diagonal = np.einsum("bii->bi", curvature)
    floor = 1e-4 * diagonal.max(1, keepdims=True) + 1e-9
    H = curvature + (damping[:, None] * diagonal + floor)[..., None] * np.eye(6)
    return -np.linalg.solve(H, gradient[..., None])[..., 0]
