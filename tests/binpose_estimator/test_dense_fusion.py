import numpy as np
import pytest
import torch

from binpose_estimator.conditioning import ConditionalInstanceNorm
from binpose_estimator.crops import CropInputs
from binpose_estimator.dense_fusion import FUSED_CONTENT, DenseFusionBackbone

WIDTH, POINTS = 4, 20


def backbone(attention: bool) -> DenseFusionBackbone:
    torch.manual_seed(0)
    return DenseFusionBackbone(2, WIDTH, POINTS, ConditionalInstanceNorm, attention).eval()


def inputs_with(mask: torch.Tensor) -> CropInputs:
    """Crops whose points are their pixels' rows and columns, in 1/64, and whose colours are noise."""
    x = torch.rand(len(mask), FUSED_CONTENT.channels, 64, 64, generator=torch.Generator().manual_seed(0))
    inputs = CropInputs(FUSED_CONTENT, x, torch.ones(len(mask)))
    grid = torch.arange(64) / 64.0
    inputs["points"][:, 0], inputs["points"][:, 1] = grid[:, None], grid
    inputs["valid"][:] = 1.0
    inputs["mask"][:] = mask[:, None]
    return inputs


@pytest.mark.parametrize("attention", [False, True])
def test_points_lie_on_the_mask_and_have_the_features_of_their_pixels(attention: bool) -> None:
    mask = torch.zeros(2, 64, 64)
    mask[0, 20:40, 10:50] = 1.0
    network, inputs = backbone(attention), inputs_with(mask)
    with torch.no_grad():
        points, seen, colors, local, whole = network(inputs.x, torch.tensor([0, 1]))
        image = network.color_features(inputs["rgb"], inputs["mask"], torch.tensor([0, 1]))
    assert seen.tolist() == [True, False]
    assert [t.shape for t in (points, colors, local, whole)] == [(2, 20, 3), (2, 20, 8), (2, 20, 48), (2, 128)]
    rows, columns = (points[0, :, k].mul(64).long() for k in (0, 1))
    assert mask[0, rows, columns].all() and len(set(zip(rows.tolist(), columns.tolist(), strict=True))) == POINTS
    np.testing.assert_array_equal(colors[0].T.numpy(), image[0][:, rows // 2, columns // 2].numpy())


def test_what_is_not_on_the_mask_is_no_point() -> None:
    """Points off the mask change nothing; those on it do."""
    mask = torch.zeros(1, 64, 64)
    mask[0, 20:40, 10:50] = 1.0
    network, classes = backbone(True), torch.tensor([0])
    one, other, third = inputs_with(mask), inputs_with(mask), inputs_with(mask)
    other["points"].add_(5.0 * (1.0 - mask))
    third["points"].add_(0.5 * mask)
    with torch.no_grad():
        first, second, moved = (network(inputs.x, classes)[3] for inputs in (one, other, third))
    torch.testing.assert_close(first, second)
    assert not torch.allclose(first, moved, atol=1e-3)
