"""Parts of a view whose pose is ambiguous: the detail that distinguishes it from a wrong pose is hidden."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from binpose_core.evaluation.pose_errors import PartErrors
from binpose_core.frames.types import LabelledView
from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.catalogue import ObjectModel
from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer

FACES = 20_000
SAME_M, FREE_M = 0.0015, 0.003
"""Depth differences below the first are not visible; a surface in front of the observed depth by the second is."""
DISTINGUISHING_PX = 20


class Ambiguity:
    """Finds parts whose visible pixels do not determine their pose.

    Args:
        objects: the parts by id.
        limit: error from which a pose is wrong, as a fraction of the diameter (ADD, or ADD-S for symmetric parts).
    """

    def __init__(self, objects: Mapping[str, ObjectModel], limit: float) -> None:
        self._part_renderer, self._names = PartRenderer(objects, (FACES,)), list(objects)
        self._motions = {}
        for name, part in objects.items():
            near = part.symmetries.near.reshape(-1, 4, 4)
            error = PartErrors(part).matrix("add_s", near, np.eye(4)[None], limit * part.diameter_m)
            self._motions[name] = np.concatenate([np.eye(4)[None], near[np.isinf(error[:, 0])]])

    def __call__(self, view: LabelledView) -> npt.NDArray[np.bool_]:
        """(N,) whether fewer than `DISTINGUISHING_PX` pixels separate the true pose from a wrong near-symmetric one."""
        found = np.zeros(len(view.object_ids), bool)
        for i, (name, T) in enumerate(zip(view.object_ids, view.T_cam_obj, strict=True)):
            poses = T @ self._motions[name]
            count = len(poses)
            part = np.full(count, self._names.index(name))
            batch = HypothesisBatch(np.zeros(count, np.int64), part, poses, np.zeros(count))
            found[i] = (_distinguishing_px(view, i, batch, self._part_renderer) < DISTINGUISHING_PX).any()
        return found


def _distinguishing_px(view: LabelledView, i: int, batch: HypothesisBatch, part_renderer: PartRenderer) -> FloatArray:
    """(B - 1,) number of pixels that distinguish each of the later poses from the first, which is the true one."""
    camera, depth = view.frame.camera, view.frame.depth_m
    size = part_renderer.largest_px(batch, camera)
    windows = np.repeat(part_renderer.windows(batch, camera, size, whole_steps=True)[:1], len(batch), axis=0)
    drawn = part_renderer.draw(batch, 0, windows, camera, size).depth_m
    u0, v0, step = windows[0].astype(int)
    rows, columns = v0 + step * np.arange(size), u0 + step * np.arange(size)
    across, down = (columns >= 0) & (columns < camera.width), (rows >= 0) & (rows < camera.height)
    drawn, place = drawn[:, down][:, :, across], np.ix_(rows[down], columns[across])
    own = np.asarray(view.instance_ids)[place] == i
    other, seen = ~own, np.asarray(depth)[place]
    differs = own & (drawn[0] > 0) & ((drawn[1:] <= 0) | (np.abs(drawn[1:] - drawn[0]) > SAME_M))
    in_front = other & (drawn[1:] > 0) & (seen > 0) & (drawn[1:] < seen - FREE_M)
    return (differs | in_front).sum((1, 2)) * float(step * step)
