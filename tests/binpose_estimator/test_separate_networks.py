import torch

from binpose_estimator import DefaultPreset
from binpose_estimator.separate_networks import SeparateNetworks

PRESET = DefaultPreset((8, 8, 8), hypotheses=2, conditioning="single")


def test_each_part_has_the_network_that_it_was_given() -> None:
    torch.manual_seed(0)
    single = [PRESET.network(1).eval() for _ in range(2)]
    network = SeparateNetworks(single).eval()
    x, classes = torch.randn(3, PRESET.content.channels, 64, 64), torch.tensor([1, 0, 1])
    with torch.no_grad():
        together = network(x, classes)
        for b, c in enumerate(classes.tolist()):
            alone = single[c](x[b : b + 1], torch.tensor([0]))
            torch.testing.assert_close(together.take(torch.tensor([b])).rotation, alone.rotation, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(together.coordinates[b], alone.coordinates[0], rtol=1e-4, atol=1e-5)


def test_separated_networks_predict_as_they_did_together() -> None:
    torch.manual_seed(0)
    network = PRESET.build(2).eval()
    x = torch.randn(2, PRESET.content.channels, 64, 64)
    with torch.no_grad():
        together = network(x, torch.tensor([0, 1]))
        for c, alone in enumerate(network.separated()):
            found = alone.eval()(x[c : c + 1], torch.tensor([0]))
            torch.testing.assert_close(found.rotation[0], together.rotation[c], rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        next(network.parameters()).zero_()
    assert next(iter(alone.parameters())).any(), "weights are copies"


def test_a_part_trains_its_own_network_alone_and_its_statistics() -> None:
    torch.manual_seed(0)
    network = PRESET.build(2).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network(torch.randn(2, PRESET.content.channels, 64, 64), torch.tensor([1, 1])).match.sum().backward()
    after = network.state_dict()
    assert all(torch.equal(before[name][0], after[name][0]) for name in before)
    changed = [name for name in before if not torch.equal(before[name][1], after[name][1])]
    assert changed and all("running_" in name or "num_batches" in name for name in changed)
    gradients = [weight.grad for _, weight in network.named_parameters() if weight.grad is not None]
    assert not any(gradient[0].any() for gradient in gradients) and any(gradient[1].any() for gradient in gradients)


def test_all_tensors_are_rows_of_parts() -> None:
    network = PRESET.build(3)
    rows = network.part_rows(("a", "b", "c"))
    assert set(rows) == set(network.state_dict())
    assert all(len(value) == 3 for value in network.state_dict().values())
