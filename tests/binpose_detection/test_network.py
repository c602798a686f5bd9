import numpy as np
import pytest
import torch

from binpose_core.learning.weights import inherit, to_arrays
from binpose_detection.features import CHANNELS
from binpose_detection.network import CENTER_CHANNELS, OUTPUT_STRIDE, STEPS, SegmentationNetwork, step_apart


@pytest.fixture
def network() -> SegmentationNetwork:
    torch.manual_seed(0)
    return SegmentationNetwork(3, (8, 12, 16, 20)).eval()


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 32, 32), (2, 64, 96), (3, 96, 32)])
def test_shapes(network: SegmentationNetwork, batch: int, height: int, width: int) -> None:
    with torch.inference_mode():
        logits, centers, affinities = network(torch.randn(batch, len(CHANNELS), height, width))
    assert affinities.shape == (batch, len(STEPS), height // OUTPUT_STRIDE, width // OUTPUT_STRIDE)
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
    outputs = network.train()(torch.randn(2, len(CHANNELS), 64, 64))
    sum(values.square().mean() for values in outputs).backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None and torch.isfinite(weight.grad).all(), name


def test_an_heir_sees_the_same_parts_in_its_own_order(network: SegmentationNetwork) -> None:
    """And a part that its parent did not know begins as a mean."""
    heir = SegmentationNetwork(3, (8, 12, 16, 20)).eval()
    rows = network.part_rows(("a", "b", "c")), network.part_rows(("c", "new", "a"))
    inherit(heir, to_arrays(network), *rows)
    features = torch.randn(1, len(CHANNELS), 64, 64)
    with torch.inference_mode():
        (logits, *others), (own_logits, *own_others) = network(features), heir(features)
    torch.testing.assert_close(own_logits[:, [0, 1, 3]], logits[:, [0, 3, 1]])
    for own, other in zip(own_others, others, strict=True):
        torch.testing.assert_close(own, other)


def test_the_heir_of_a_network_without_affinities_keeps_the_rest() -> None:
    old = SegmentationNetwork(3, (8, 12, 16, 20), affinities=False).eval()
    heir = SegmentationNetwork(3, (8, 12, 16, 20)).eval()
    inherit(heir, to_arrays(old), old.part_rows("abc"), heir.part_rows("abc"))
    features = torch.randn(1, len(CHANNELS), 64, 64)
    with torch.inference_mode():
        (*told, nothing), (*own, affinities) = old(features), heir(features)
    for one, other in zip(own, told, strict=True):
        torch.testing.assert_close(one, other)
    assert nothing.shape[1] == 0 and affinities.shape[1] == len(STEPS)


@pytest.mark.parametrize(("down", "right"), [*STEPS, (0, 0), (2, -3)])
def test_a_step_leads_from_a_cell_to_the_one_that_far_away(down: int, right: int) -> None:
    rows, columns = np.indices((9, 11))
    for grid, moved in ((rows, down), (columns, right)):
        here, there = step_apart(grid, down, right)
        assert here.shape == (9 - down, 11 - abs(right))
        np.testing.assert_array_equal(there - here, moved)
