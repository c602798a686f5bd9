import pytest
import torch

from binpose_core.weights import inherit, to_arrays
from binpose_detection.features import CHANNELS
from binpose_detection.network import CENTER_CHANNELS, OUTPUT_STRIDE, SegmentationNetwork


@pytest.fixture
def network() -> SegmentationNetwork:
    torch.manual_seed(0)
    return SegmentationNetwork(3, (8, 12, 16, 20)).eval()


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 32, 32), (2, 64, 96), (3, 96, 32)])
def test_shapes(network: SegmentationNetwork, batch: int, height: int, width: int) -> None:
    with torch.inference_mode():
        logits, centers = network(torch.randn(batch, len(CHANNELS), height, width))
    assert logits.shape == (batch, 4, height // OUTPUT_STRIDE, width // OUTPUT_STRIDE)
    assert centers.shape == (batch, CENTER_CHANNELS, height // OUTPUT_STRIDE, width // OUTPUT_STRIDE)


def test_each_image_is_read_on_its_own(network: SegmentationNetwork) -> None:
    features = torch.randn(3, len(CHANNELS), 64, 64)
    with torch.inference_mode():
        together, alone = network(features)[0], torch.cat([network(f[None])[0] for f in features])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("row", "column"), [(20, 24), (31, 40), (41, 22)])
def test_a_cell_reads_the_pixels_around_it(network: SegmentationNetwork, row: int, column: int) -> None:
    """What an output depends on is centred on the cell's own pixels: nothing shifts on the way down and up."""
    features = torch.randn(1, len(CHANNELS), 128, 128, generator=torch.Generator().manual_seed(0)).requires_grad_()
    network(features)[0][0, :, row, column].square().sum().backward()
    weight = features.grad.square().sum((0, 1))
    rows, columns = (weight.sum(1 - axis) @ torch.arange(128.0) / weight.sum() for axis in (0, 1))
    assert rows.item() == pytest.approx(OUTPUT_STRIDE * row + 0.5, abs=4)
    assert columns.item() == pytest.approx(OUTPUT_STRIDE * column + 0.5, abs=4)


def test_every_weight_is_trained(network: SegmentationNetwork) -> None:
    logits, centers = network.train()(torch.randn(2, len(CHANNELS), 64, 64))
    (logits.square().mean() + centers.square().mean()).backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None and torch.isfinite(weight.grad).all(), name


def test_an_heir_sees_the_same_parts_in_its_own_order(network: SegmentationNetwork) -> None:
    """And a part that its parent did not know begins as a mean."""
    heir = SegmentationNetwork(3, (8, 12, 16, 20)).eval()
    rows = network.part_rows(("a", "b", "c")), network.part_rows(("c", "new", "a"))
    inherit(heir, to_arrays(network), *rows)
    features = torch.randn(1, len(CHANNELS), 64, 64)
    with torch.inference_mode():
        (logits, centers), (own_logits, own_centers) = network(features), heir(features)
    torch.testing.assert_close(own_logits[:, [0, 1, 3]], logits[:, [0, 3, 1]])
    torch.testing.assert_close(own_centers, centers)
