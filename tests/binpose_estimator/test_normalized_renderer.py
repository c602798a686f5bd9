import numpy as np
import torch

from binpose_core.geometry.transforms import random_rotation
from binpose_estimator import CropContent, EstimatorConfig, PoseTrainingConfig, SharedRegressionPreset
from binpose_estimator.crop_pool import crop_pool
from binpose_estimator.crops import TRUTH, CropInputs, network_input
from binpose_estimator.normalized_renderer import NormalizedRenderer

NAMES = ("block", "rod", "bracket")


def test_a_true_pose_is_drawn_where_the_crop_shows_the_part(views, objects) -> None:
    """Whatever the size of the part, the centre and the roll of the crop."""
    config = EstimatorConfig(NAMES, gsd_m=1e-3, preset=SharedRegressionPreset())
    pool = crop_pool(views[:1], objects, config, PoseTrainingConfig(wrong_share=0.0), seed=0)
    inputs, classes = network_input(pool.crops), torch.from_numpy(pool.classes)
    place = torch.from_numpy(pool.center.copy())
    place[:, 2] += inputs.distance
    renderer = NormalizedRenderer([objects[name] for name in NAMES])
    drawn = renderer.hard(classes, torch.from_numpy(pool.rotation), place, inputs, 64).mask
    shown = (pool.crops.flags & TRUTH) > 0
    overlap = (drawn & shown).sum((1, 2)) / (drawn | shown).sum((1, 2))
    assert overlap.min() > 0.85


def test_soft_and_hard_images_are_the_same_and_parts_have_one_size(objects, rng: np.random.Generator) -> None:
    content = CropContent(("rgb",), size_px=32)
    inputs = CropInputs(content, torch.zeros(3, 3, 32, 32), torch.tensor([6.0, 8.0, 10.0]))
    rotation = torch.from_numpy(random_rotation(rng, (3,)).astype(np.float32))
    place = torch.stack([torch.zeros(3), torch.zeros(3), inputs.distance], 1)
    renderer, classes = NormalizedRenderer([objects[name] for name in NAMES]), torch.arange(3)
    hard = renderer.hard(classes, rotation, place, inputs, 32).depth_m
    np.testing.assert_allclose(renderer.soft(classes, rotation, place, inputs, 32).depth_m, hard, atol=1e-4)
    spread = [np.ptp(mesh.vertices, axis=0) for mesh in renderer.renderer.meshes]
    assert all(0.5 < side.max() <= 1.0 for side in spread)
    image = renderer.shaded(classes, rotation, place, inputs)
    assert image.shape == (3, 1, 32, 32) and 0.3 < image.max() <= 1.0 and (image[hard[:, None] == 0] == 0).all()
