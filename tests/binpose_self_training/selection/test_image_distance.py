"""d_image of paper 002, in features of the own pose network or of any module."""

import numpy as np
import pytest
import torch

from binpose_core.rendering.renderer import Renderer
from binpose_self_training.selection.image_distance import (
    EncoderFeatures,
    ModuleFeatures,
    RenderedFrame,
    image_distance,
    level_distance,
)

from ..conftest import moved


def rendered_of(known, parts, poses):
    names = list(parts)
    return RenderedFrame(known.scene.frame, poses, Renderer([part.mesh for part in parts.values()]), names)


def test_a_frame_with_true_poses_is_rendered_as_it_was_observed(known, parts):
    rendered = rendered_of(known, parts, known.poses)
    np.testing.assert_allclose(rendered.frame.depth_m, known.scene.frame.depth_m, atol=2e-5)
    np.testing.assert_array_equal(rendered.labels, known.scene.instance_ids)
    own = rendered.labels == 0
    assert rendered.frame.color[own].mean() == pytest.approx(known.scene.frame.color[own].mean(), abs=2)


@pytest.mark.parametrize("kind", ["own encoder", "any module"])
def test_wrong_poses_look_less_like_the_image(known, parts, networks, kind):
    if kind == "own encoder":
        features = EncoderFeatures(networks.estimator)
        assert len(features.levels) == 3
    else:
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5, 2), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3, 2))
        features = ModuleFeatures(module, ["0", "2"], parts)
    right, wrong = (
        image_distance(features, known.scene.frame, known.detections, poses, rendered_of(known, parts, poses))
        for poses in (known.poses, [moved(pose, (0.008, 0, 0), (0.4, 0, 0.3)) for pose in known.poses])
    )
    assert (right < wrong).all()


def test_the_distance_of_features_does_not_depend_on_their_scale(rng):
    one, other = (torch.from_numpy(rng.normal(size=(2, 4, 3, 3))) for _ in range(2))
    np.testing.assert_allclose(level_distance(one, other), level_distance(3 * one, 0.5 * other))
    np.testing.assert_allclose(level_distance(one, one), 0, atol=1e-12)
