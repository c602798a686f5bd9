"""Crops of the frame as tensors, aligned with the renderings."""

import numpy as np
import numpy.typing as npt
import torch

from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import FloatArray
from binpose_refinement.joint_loss import Observed
from binpose_refinement.observation import Observation


def observed_crops(
    observation: Observation, windows: FloatArray, owner: npt.NDArray[np.int64], size_px: int
) -> Observed:
    """The frame in windows (B, 3) with whole steps, for the detections owner (B,)."""
    steps = np.arange(size_px)
    columns = (windows[:, :1] + steps * windows[:, 2:]).astype(np.int64)
    rows = (windows[:, 1:2] + steps * windows[:, 2:]).astype(np.int64)
    camera = observation.camera
    inside = ((rows >= 0) & (rows < camera.height))[:, :, None] & ((columns >= 0) & (columns < camera.width))[:, None]
    index = np.clip(rows, 0, camera.height - 1)[:, :, None], np.clip(columns, 0, camera.width - 1)[:, None]
    labels = np.where(inside, observation.labels[index], -1)
    mine = labels == owner[:, None, None]
    return Observed(
        depth_m=torch.from_numpy(np.where(inside, observation.depth_m[index], 0).astype(np.float32)),
        mask=torch.from_numpy(mine.astype(np.float32)),
        other=torch.from_numpy(((labels >= 0) & ~mine).astype(np.float32)),
        chroma=torch.from_numpy(observation.chroma[index]),
        rays=torch.from_numpy(_rays(camera, columns, rows)),
    )


def _rays(camera: Camera, columns: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    x, y = np.broadcast_arrays(
        ((columns - camera.cx) / camera.fx)[:, None], ((rows - camera.cy) / camera.fy)[:, :, None]
    )
    return np.stack([x, y, np.ones_like(x)], -1).astype(np.float32)
