"""Poses of RGB crops without depth: the corners say them, whatever the distance that the crops were cut at."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection
from binpose_core.geometry.transforms import rotation_angle_rad, transform
from binpose_estimator import Bb8Preset, DefaultPreset, EstimatorConfig, PoseEstimator, build_network
from binpose_estimator.box_corners import CornerHead, CornerPrediction, box_points, projected_corners
from binpose_estimator.candidates import center_of
from binpose_estimator.crops import CropInputs, look_at
from binpose_estimator.pnp import CameraPose

NAMES = ("block", "rod", "bracket")
CONFIG = EstimatorConfig(NAMES, gsd_m=1e-3, preset=Bb8Preset((8, 8, 8)))


def detections_of(view) -> list[Detection]:
    """Without any depth."""
    centers = [np.argwhere(view.instance_ids == i).mean(0)[::-1].tolist() for i in range(len(view.object_ids))]
    return [
        Detection.from_mask(name, 0.9, view.instance_ids == i, tuple(centers[i]), float("nan"))
        for i, name in enumerate(view.object_ids)
    ]


class CornerOracle(torch.nn.Module):
    """Says the true corners, in half widths of crops that are cut at the distances of the detections."""

    decode = CornerHead.decode

    def __init__(self, view, frame, objects, detections) -> None:
        super().__init__()
        parts = [objects[name] for name in view.object_ids]
        places = np.array([center_of(d, frame, p.diameter_m) for d, p in zip(detections, parts, strict=True)])
        R_crop_cam = look_at(places, np.zeros(len(places))).transpose(0, 2, 1)
        sizes = np.array([part.diameter_m for part in parts])
        centers = np.array([transform(T, p.center_m[None])[0] for T, p in zip(view.T_cam_obj, parts, strict=True)])
        self.distance = torch.from_numpy(np.linalg.norm(places, axis=1) / sizes)
        translation = (R_crop_cam @ centers[..., None])[..., 0] / sizes[:, None]
        pose = CameraPose(*map(torch.from_numpy, (R_crop_cam @ view.T_cam_obj[:, :3, :3], translation)))
        inputs = CropInputs(Bb8Preset.content, torch.zeros(len(parts), 1), self.distance)
        self.corners = projected_corners(pose, box_points(parts).double(), inputs).float()

    def forward(self, crops: torch.Tensor, classes: torch.Tensor) -> CornerPrediction:
        return CornerPrediction(self.corners, torch.full((len(classes),), 6.0))


@pytest.mark.parametrize("gray", [False, True])
def test_true_corners_give_the_true_poses_of_a_frame_without_depth(views, objects, gray: bool) -> None:
    view = views[0]
    color = view.frame.color[..., 0].copy() if gray else view.frame.color
    frame = RgbdFrame(color, None, view.frame.camera, name="mono")
    detections = detections_of(view)
    oracle = CornerOracle(view, frame, objects, detections)
    true_distance = np.linalg.norm(view.T_cam_obj[:, :3, 3], axis=1)
    given = oracle.distance.numpy() * [objects[name].diameter_m for name in view.object_ids]
    assert np.abs(given / true_distance - 1).max() > 0.1, "distances from the sizes of the boxes are inaccurate"
    estimates = PoseEstimator(oracle, CONFIG, objects)(frame, detections)
    assert len(estimates) == len(detections)
    for estimate, T_cam_obj in zip(estimates, view.T_cam_obj, strict=True):
        assert rotation_angle_rad(estimate.T_cam_obj[:3, :3], T_cam_obj[:3, :3]) < 0.01
        assert np.linalg.norm(estimate.T_cam_obj[:3, 3] - T_cam_obj[:3, 3]) < 2e-3
        assert estimate.score > 0.9


@pytest.mark.parametrize("conditioning", ["cin", "multi_output", "single"])
def test_an_untrained_network_runs_on_a_frame(views, objects, conditioning: str) -> None:
    torch.manual_seed(0)
    config = replace(CONFIG, preset=replace(CONFIG.preset, conditioning=conditioning))
    estimator = PoseEstimator(build_network(config), config, objects)
    frame = replace(views[0].frame, depth_m=None)
    first = estimator(frame, detections_of(views[0]))
    assert all(np.isfinite(estimate.T_cam_obj).all() and 0 < estimate.score <= 1 for estimate in first)
    again = PoseEstimator.from_tensors(*estimator.to_tensors(), objects)
    assert again.config == config
    for one, two in zip(first, again(frame, detections_of(views[0])), strict=True):
        np.testing.assert_array_equal(one.T_cam_obj, two.T_cam_obj)


def test_presets_of_depth_refuse_a_frame_without_it(views, objects) -> None:
    config = replace(CONFIG, preset=DefaultPreset((8, 8, 8)))
    frame = replace(views[0].frame, depth_m=None)
    with pytest.raises(BinposeError, match="has no depth, but this pose model needs it; expected an aligned depth"):
        PoseEstimator(build_network(config), config, objects)(frame, detections_of(views[0]))


def test_settings_survive_json() -> None:
    preset = Bb8Preset((4, 5, 6), "one_hot")
    assert Bb8Preset.from_settings(json.loads(json.dumps(preset.settings()))) == preset
    with pytest.raises(BinposeError, match="'telepathy' is unknown"):
        Bb8Preset(conditioning="telepathy")
