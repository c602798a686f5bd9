"""Tiny recordings with known poses, and stand-ins for the networks that read these poses."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.bop import BopWriter
from binpose_core.frames.prepared_frame import AnyFrame, prepared
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, PoseEstimate
from binpose_core.parts.catalogue import ObjectModel
from binpose_detection.segmenter import SegmenterConfig, VoteSegmenter, build_network
from binpose_estimator.estimator import EstimatorConfig, PoseEstimator
from binpose_estimator.presets import DefaultPreset
from binpose_pipeline.bundle import PipelineBundle
from binpose_pipeline.pipeline import Pipeline
from binpose_refinement.calibration_fit import fit_calibration
from binpose_refinement.config import RefinerConfig
from binpose_refinement.refiner import IcpRefiner
from binpose_refinement.verification import FEATURES


@pytest.fixture
def dataset(tmp_path: Path, objects: tuple[ObjectModel, ...], scenes: list[Any]) -> Path:
    """The scenes as a BOP data set with one split, `test`."""
    root = tmp_path / "dataset"
    with BopWriter(root, "test", 0, objects) as writer:
        for scene in scenes:
            writer.write(scene.frame, scene.object_ids, scene.T_cam_obj, scene.instance_ids)
    return root


class TruthSegmenter:
    """Detects what the data set says is there; recognises a frame by its depth."""

    def __init__(self, scenes: Sequence[Any]) -> None:
        self.scenes = scenes

    def scene(self, frame: RgbdFrame) -> Any:
        if frame.depth_m is None:
            raise BinposeError(f"Frame {frame.name!r} has no depth; expected RGB-D; record depth too.")
        errors = [np.abs(frame.depth_m - scene.frame.depth_m).mean() for scene in self.scenes]
        return self.scenes[int(np.argmin(errors))]

    def __call__(self, frame: AnyFrame) -> list[Detection]:
        frame = prepared(frame).frame
        scene = self.scene(frame)
        found = []
        for number, object_id in enumerate(scene.object_ids):
            u, v = frame.camera.project(scene.T_cam_obj[number, :3, 3]).tolist()
            found.append(Detection.from_mask(object_id, 0.9, scene.instance_ids == number, (u, v)))
        return found


class TruthEstimator:
    """Gives each detection the known pose, moved by `error_m` along the optical axis."""

    def __init__(self, segmenter: TruthSegmenter, error_m: float = 0.0) -> None:
        self.segmenter = segmenter
        self.error_m = error_m

    def __call__(self, frame: AnyFrame, detections: Sequence[Detection]) -> list[PoseEstimate]:
        frame = prepared(frame).frame
        poses = self.segmenter.scene(frame).T_cam_obj.copy()
        places = frame.camera.project(poses[:, :3, 3])
        poses[:, 2, 3] += self.error_m
        nearest = [np.linalg.norm(places - d.center_px, axis=1).argmin() for d in detections]
        return [
            PoseEstimate(d.object_id, poses[i], 0.5, n)
            for n, (d, i) in enumerate(zip(detections, nearest, strict=True))
        ]


class RankingRefiner:
    """Scores in a falling row from 0.99, by order."""

    calibration = None

    def __call__(
        self, frame: RgbdFrame, detections: Sequence[Detection], poses: Sequence[PoseEstimate]
    ) -> list[PoseEstimate]:
        return [replace(pose, score=0.99 - 0.1 * n) for n, pose in enumerate(poses)]


@pytest.fixture
def bundle(objects: tuple[ObjectModel, ...], scenes: list[Any]) -> PipelineBundle:
    segmenter = TruthSegmenter(scenes)
    stages = Pipeline(segmenter, TruthEstimator(segmenter), RankingRefiner())
    return PipelineBundle(stages, {model.id: model for model in objects}, version="0" * 64)


@pytest.fixture
def networks(objects: Sequence[ObjectModel], rng: np.random.Generator) -> PipelineBundle:
    """The smallest networks there can be, untrained."""
    torch.manual_seed(0)
    parts = {model.id: model for model in objects}
    names, n = tuple(parts), len(FEATURES)
    segmenter_config = SegmenterConfig(names, widths=(8, 8, 8, 8))
    estimator_config = EstimatorConfig(names, preset=DefaultPreset((8, 8, 8), hypotheses=2))
    evidence = rng.random((200, n))
    calibration = fit_calibration(evidence, evidence.mean(1) > 0.5)
    stages = Pipeline(
        VoteSegmenter(build_network(segmenter_config), segmenter_config),
        PoseEstimator(estimator_config.preset.network(2), estimator_config, parts),
        IcpRefiner(parts, RefinerConfig(keep_best=3), calibration),
    )
    return PipelineBundle(stages, parts, metrics={"recall": 0.5})
