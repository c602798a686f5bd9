import numpy as np
import pytest
import torch

from binpose_core.geometry import transforms as geometry
from binpose_estimator.backbone import ConvolutionalBackbone
from binpose_estimator.crop_content import CROP_PX
from binpose_estimator.head import HypothesesHead, PosePrediction, rotation_from_6d
from binpose_estimator.network import PoseNetwork
from binpose_estimator.presets import DefaultPreset

CLASSES, HYPOTHESES = 3, 4


@pytest.fixture
def network() -> PoseNetwork:
    torch.manual_seed(0)
    return DefaultPreset((8, 12, 16), HYPOTHESES).network(CLASSES).eval()


def crops(batch: int) -> torch.Tensor:
    return torch.randn(
        batch, DefaultPreset.content.channels, CROP_PX, CROP_PX, generator=torch.Generator().manual_seed(1)
    )


def fields(prediction: PosePrediction) -> dict[str, torch.Tensor]:
    return vars(prediction)


@pytest.mark.parametrize("batch", [1, 5])
def test_shapes(network: PoseNetwork, batch: int) -> None:
    with torch.inference_mode():
        prediction = network(crops(batch), torch.arange(batch) % CLASSES)
    shapes = {name: tuple(value.shape) for name, value in fields(prediction).items()}
    assert shapes == {
        "rotation": (batch, HYPOTHESES, 3, 3),
        "center": (batch, HYPOTHESES, 3),
        "confidence": (batch, HYPOTHESES),
        "coordinates": (batch, 3, 16, 16),
        "coordinate_scale": (batch, 16, 16),
        "match": (batch,),
    }
    assert all(value.dtype == torch.float32 for value in fields(prediction).values())


def test_backbone_halves_three_times() -> None:
    backbone = ConvolutionalBackbone(4, CLASSES, (6, 8, 10)).eval()
    fine, coarse = backbone(torch.randn(2, 4, 64, 64), torch.tensor([0, 1]))
    assert fine.shape == (2, 8, 16, 16) and coarse.shape == (2, 10, 8, 8)


def test_rotations_are_rotations_also_in_low_precision(network: PoseNetwork) -> None:
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        rotation = network(crops(3), torch.tensor([0, 1, 2])).rotation
    identity = torch.eye(3).expand_as(rotation)
    torch.testing.assert_close(rotation @ rotation.transpose(-1, -2), identity, rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(3, HYPOTHESES), rtol=0, atol=1e-5)


def test_hypotheses_begin_apart(network: PoseNetwork) -> None:
    """Otherwise one of them would win every example and the others would learn nothing."""
    with torch.inference_mode():
        rotation = network(crops(1), torch.tensor([0])).rotation[0].numpy().astype(np.float64)
    angles = [geometry.rotation_angle_rad(a, b) for i, a in enumerate(rotation) for b in rotation[:i]]
    assert min(angles) > 0.2


def test_each_crop_is_read_on_its_own(network: PoseNetwork) -> None:
    x, classes = crops(4), torch.tensor([0, 1, 2, 1])
    with torch.inference_mode():
        together = fields(network(x, classes))
        alone = [fields(network(x[i : i + 1], classes[i : i + 1])) for i in range(4)]
    for name, value in together.items():
        torch.testing.assert_close(torch.cat([a[name] for a in alone]), value, rtol=1e-3, atol=1e-4)


def test_the_class_decides(network: PoseNetwork) -> None:
    x = crops(1).expand(2, -1, -1, -1)
    with torch.inference_mode():
        prediction = network(x, torch.tensor([0, 1]))
    assert not torch.allclose(prediction.rotation[0], prediction.rotation[1])


def test_every_weight_is_trained(network: PoseNetwork) -> None:
    network.train()
    for module in (network.head.center, network.head.confidence):
        torch.nn.init.normal_(module.weight, std=0.1)  # the centre begins at zero, which passes no gradient on
    prediction = network(crops(6), torch.arange(6) % CLASSES)
    sum(value.square().mean() for name, value in fields(prediction).items() if name != "rotation").backward()
    missing = {name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()}
    assert missing <= {"head.rotation.weight", "head.rotation.bias"}


def test_six_numbers_give_a_rotation_and_its_columns_give_it_back(rng: np.random.Generator) -> None:
    any_rotation = rotation_from_6d(torch.from_numpy(rng.normal(size=(50, 6)))).numpy()
    np.testing.assert_allclose(
        any_rotation @ np.swapaxes(any_rotation, -1, -2), np.tile(np.eye(3), (50, 1, 1)), atol=1e-9
    )
    np.testing.assert_allclose(np.linalg.det(any_rotation), 1.0)
    rotation = geometry.random_rotation(rng, (50,))
    columns = torch.from_numpy(3.0 * np.concatenate([rotation[..., 0], rotation[..., 1]], -1))
    np.testing.assert_allclose(rotation_from_6d(columns).numpy(), rotation, atol=1e-9)


def test_6d_rotations_pass_gradients() -> None:
    sixd = torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(rotation_from_6d, sixd)


def test_head_has_as_many_hypotheses_as_asked_for() -> None:
    head = HypothesesHead(8, 12, CLASSES, hypotheses=1).eval()
    prediction = head(torch.randn(2, 8, 16, 16), torch.randn(2, 12, 8, 8), torch.tensor([0, 1]))
    assert prediction.rotation.shape == (2, 1, 3, 3)
