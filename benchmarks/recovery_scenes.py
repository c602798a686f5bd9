"""Poses that are off, with and without noise, and how far they still are after refinement."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, PoseEstimate
from binpose_core.geometry.transforms import (
    FloatArray,
    exp_so3,
    from_rotation_translation,
    inverse,
    random_rotation,
    transform,
)
from binpose_core.parts.catalogue import ObjectModel
from binpose_core.rendering.renderer import Renderer
from binpose_core.stages import Segmenter
from binpose_refinement.descent_config import Phase
from binpose_refinement.hypothesis_batch import HypothesisBatch
from binpose_refinement.observation import observe
from binpose_refinement.render_and_compare import Descent, View
from binpose_simulation.scene import SimulatedView

SEED = 636_363
CAMERA = Camera(600.0, 600.0, 319.5, 239.5, 640, 480)
FLOOR_M = 0.68
NOISE_M, DROPOUT = 0.001, 0.05
AS_GOOD = 0.005
"""Of the joint loss, which is of the order of 1 for poses that explain nothing."""
SEEN = 0.5
OVERLAP = 0.5


@dataclass(frozen=True)
class Trial:
    """A frame with starts that are off: T_cam_obj (N, 4, 4) are the true poses of the parts that `poses` guess."""

    frame: RgbdFrame
    detections: list[Detection]
    poses: list[PoseEstimate]
    T_cam_obj: FloatArray


def perturbed(rng: np.random.Generator, part: ObjectModel, T: FloatArray, degrees: float, shift_m: float) -> FloatArray:
    """Turned about the part's centre by so many degrees and shifted by so much, both in random directions."""
    turn, shift = rng.normal(size=(2, 3))
    turn *= np.deg2rad(degrees) / np.linalg.norm(turn)
    shift *= shift_m / np.linalg.norm(shift)
    R = exp_so3(turn) @ T[:3, :3]
    center = transform(T, part.center_m[None])[0]
    return from_rotation_translation(R, center + shift - R @ part.center_m)


def noise_free(objects: Mapping[str, ObjectModel], count: int, degrees: float, shift_m: float) -> list[Trial]:
    """Each part in turn, alone above a floor, any way up, with its true mask."""
    rng, parts = np.random.default_rng(SEED), list(objects.values())
    renderer, trials = Renderer([part.mesh for part in parts]), []
    for i in range(count):
        part = parts[i % len(parts)]
        R = random_rotation(rng)
        at = np.array([*rng.uniform(-0.1, 0.1, 2), rng.uniform(0.45, 0.6)])
        truth = from_rotation_translation(R, at - R @ part.center_m)
        scene = renderer.scene(np.array([i % len(parts)]), truth[None], CAMERA)
        depth = np.where(scene.depth_m > 0, scene.depth_m, FLOOR_M).astype(np.float32)
        frame = RgbdFrame(np.where(scene.mask, 150, 40).astype(np.uint8), depth, CAMERA)
        found = Detection.from_mask(part.id, 0.9, scene.mask)
        guess = PoseEstimate(part.id, perturbed(rng, part, truth, degrees, shift_m), 0.9, detection_index=0)
        trials.append(Trial(frame, [found], [guess], truth[None]))
    return trials


def noisy_piles(
    views: list[SimulatedView],
    segmenter: Segmenter,
    objects: Mapping[str, ObjectModel],
    degrees: float,
    shift_m: float,
) -> list[Trial]:
    """Parts of piles that are at least half visible, with our detector's masks, noise and dropout.

    A part counts when a mask of the detector, for the right class, covers it with an IoU of at least a half.
    """
    rng = np.random.default_rng(SEED + 1)
    trials = []
    for view in views:
        clean = view.depth_clean_m
        known = (clean > 0) & (rng.random(clean.shape) >= DROPOUT)
        depth = np.where(known, clean + rng.normal(0.0, NOISE_M, clean.shape), 0).astype(np.float32)
        frame = RgbdFrame(view.frame.color, depth, view.frame.camera)
        detections = segmenter(frame)
        masks = [detection.full_mask(*clean.shape) for detection in detections]
        poses, truths = [], []
        for i, name in enumerate(view.object_ids):
            seen = view.instance_ids == i
            overlaps = [(seen & mask).sum() / max((seen | mask).sum(), 1) for mask in masks]
            best = int(np.argmax(overlaps)) if overlaps else -1
            if view.visible_fraction[i] < SEEN or best < 0 or overlaps[best] < OVERLAP:
                continue
            if name not in (detections[best].object_id, *(a for a, _ in detections[best].alternatives)):
                continue
            start = perturbed(rng, objects[name], view.T_cam_obj[i], degrees, shift_m)
            poses.append(PoseEstimate(name, start, 0.9, detection_index=best))
            truths.append(view.T_cam_obj[i])
        if poses:
            trials.append(Trial(frame, detections, poses, np.array(truths)))
    return trials


def add_m(part: ObjectModel, T_a: FloatArray, T_b: FloatArray, every: int = 4) -> float:
    """ADD, the least over the part's exact symmetries; for round parts over all turns, not over steps."""
    points = np.asarray(part.points, np.float64)[::every]
    moved, least = transform(T_a, points), np.inf
    for motion in part.symmetries.discrete:
        there = transform(inverse(T_b @ motion), moved)
        least = min(least, float(np.linalg.norm(points - there, axis=1).mean()))
        for symmetry in part.symmetries.continuous:
            p, q = points - symmetry.offset, there - symmetry.offset
            p_across, q_across = (x - np.outer(x @ symmetry.axis, symmetry.axis) for x in (p, q))
            angle = np.arctan2((np.cross(p_across, q_across) @ symmetry.axis).sum(), (p_across * q_across).sum())
            turned = p @ exp_so3(symmetry.axis * angle).T
            least = min(least, float(np.linalg.norm(turned - q, axis=1).mean()))
    return least


def as_good_as_true(descent: Descent, trial: Trial, detection: int, part: int, T_cam_obj: FloatArray) -> bool:
    """Whether the first of two poses (2, 4, 4) explains the image as well as the second, the true one.

    What tells the two apart is then hidden, or drowned in noise.
    """
    found, true = losses(descent, descent.config.coarse, trial, detection, part, T_cam_obj)
    return bool(found <= true + AS_GOOD)


def losses(
    descent: Descent, phase: Phase, trial: Trial, detection: int, part: int, T_cam_obj: FloatArray
) -> FloatArray:
    """(N,) joint losses of poses (N, 4, 4) of a part at one scale."""
    observation, count = observe(trial.frame, trial.detections, 2e-4), len(T_cam_obj)
    batch = HypothesisBatch(np.full(count, detection), np.full(count, part), T_cam_obj, np.ones(count))
    return View(descent, observation, batch, phase).compare(np.arange(count), T_cam_obj).loss
