"""Compiling the kernels of a training before its time begins."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from binpose_core.parts.catalogue import ObjectModel
from binpose_detection.segmenter import SegmenterConfig, VoteSegmenter, build_network
from binpose_estimator.estimator import EstimatorConfig, PoseEstimator
from binpose_estimator.estimator import build_network as build_pose_network
from binpose_estimator.presets import find_preset
from binpose_pipeline import kernels as pipeline_kernels
from binpose_pipeline.pipeline import Pipeline
from binpose_refinement.refiner import IcpRefiner
from binpose_simulation import kernels as simulation_kernels
from binpose_training.config import TrainConfig
from binpose_training.training_scene import training_scene, working_gsd_m


def compile_kernels(objects: Sequence[ObjectModel], config: TrainConfig) -> None:
    """Run the simulation and untrained networks once.

    Args:
        objects: the parts of the training.
        config: its settings.
    """
    if not objects:
        return
    parts, gsd_m = {part.id: part for part in objects}, working_gsd_m(objects)
    simulation_kernels.compile_kernels(parts, training_scene(config.simulation.scene, gsd_m, len(parts)))
    with torch.random.fork_rng(devices=()):
        detector = SegmenterConfig(tuple(parts), gsd_m=gsd_m)
        poses = EstimatorConfig(tuple(parts), gsd_m=gsd_m, preset=find_preset(config.pose.preset)())
        segmenter = VoteSegmenter(build_network(detector).eval(), detector)
        estimator = PoseEstimator(build_pose_network(poses).eval(), poses, parts)
        settings = config.calibration.refiner
        # An untrained network would only move poses away from the surfaces.
        refiner = IcpRefiner(parts, replace(settings, method="icp") if settings.method == "network" else settings)
    pipeline_kernels.compile_kernels(Pipeline(segmenter, estimator, refiner), parts)
