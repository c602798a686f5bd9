"""The preset of the shipped model."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.geometry.transforms import random_rotation
from binpose_estimator import CropContent, DefaultPreset, EstimatorConfig
from binpose_estimator.conditioning import CONDITIONINGS
from binpose_estimator.crops import CropInputs

PRESET = DefaultPreset((8, 8, 8), hypotheses=3)


def inputs_of(preset: DefaultPreset, batch: int) -> CropInputs:
    n = preset.content.size_px
    x = torch.randn(batch, preset.content.channels, n, n, generator=torch.Generator().manual_seed(0))
    return CropInputs(preset.content, x, torch.full((batch,), 10.0))


def test_decoding_inverts_the_parametrisation(rng: np.random.Generator) -> None:
    """A head whose last layers say a pose as 6D rotation and centre gives this pose, for every crop and class."""
    torch.manual_seed(0)
    network = PRESET.network(2).eval()
    rotation, center = random_rotation(rng, (3,)), rng.normal(0, 0.1, (3, 3))
    sixd = np.concatenate([rotation[..., 0], rotation[..., 1]], -1)
    with torch.no_grad():
        for layer, values in ((network.head.rotation, sixd), (network.head.center, center)):
            layer.weight.zero_()
            layer.bias.copy_(torch.from_numpy(values.ravel()))
        inputs = inputs_of(PRESET, 4)
        poses = network.decode(network(inputs.x, torch.tensor([0, 1, 1, 0])), inputs, [])
    for b in range(4):
        np.testing.assert_allclose(poses.rotation[b, :3], rotation, atol=1e-6)
        np.testing.assert_allclose(poses.center[b, :3], center, atol=1e-6)
    np.testing.assert_allclose(poses.score[:, :3].sum(1), 1, rtol=1e-5)


def test_without_points_the_hypotheses_are_those_of_the_head_alone() -> None:
    network, inputs = PRESET.network(2).eval(), inputs_of(PRESET, 2)
    blind = replace(inputs, content=CropContent(("rgb", "mask")))
    with torch.no_grad():
        prediction = network(inputs.x, torch.tensor([0, 1]))
    with_points, without = (network.decode(prediction, i, []) for i in (inputs, blind))
    assert with_points.score.shape == (2, 5) and without.score.shape == (2, 3)
    np.testing.assert_array_equal(without.rotation, with_points.rotation[:, :3])
    assert not without.certainty.any()


@pytest.mark.parametrize("name", CONDITIONINGS)
def test_any_conditioning_can_be_chosen(name: str) -> None:
    """And what it keeps of one part decides nothing about another one."""
    torch.manual_seed(0)
    preset = replace(PRESET, conditioning=name)
    network, inputs = preset.build(2).eval(), inputs_of(preset, 2)
    x, classes = inputs.x[:1].expand(2, -1, -1, -1), torch.tensor([0, 1])
    with torch.no_grad():
        before = network(x, classes)
        state = network.state_dict()
        for tensor in network.part_rows(("a", "b")):
            if state[tensor].is_floating_point() and "running_var" not in tensor:
                state[tensor][1] += 0.5
        after = network(x, classes)
    for name in ("rotation", "match", "coordinates"):
        assert torch.equal(getattr(before, name)[0], getattr(after, name)[0])
        assert not torch.allclose(getattr(before, name)[1], getattr(after, name)[1])


def test_the_settings_survive_the_header() -> None:
    config = EstimatorConfig(("a", "b"), gsd_m=2e-3, test_time_rotations=4, preset=replace(PRESET, conditioning="film"))
    header = config.to_header()
    assert header["preset"] == "default" and header["hypotheses"] == 3
    assert EstimatorConfig.from_header({**header, "objects": ["a", "b"], "widths": [8, 8, 8]}) == config


def test_a_header_without_preset_is_the_defaults() -> None:
    """Models of binpose 0.1 have no preset and no conditioning, and call the rotations looks."""
    old = {"objects": ["a"], "gsd_m": 1e-3, "max_pixels": 1000, "widths": [4, 5, 6], "hypotheses": 2, "looks": 4}
    expected = EstimatorConfig(("a",), 1e-3, 1000, test_time_rotations=4, preset=DefaultPreset((4, 5, 6), 2))
    assert EstimatorConfig.from_header(old) == expected


@pytest.mark.parametrize("changes", [{"hypotheses": 0}, {"conditioning": "telepathy"}])
def test_nonsense_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(BinposeError, match=r"must be >= 1|'telepathy' is unknown; expected cin"):
        DefaultPreset(**changes)
