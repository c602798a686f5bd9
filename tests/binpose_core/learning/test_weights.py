from pathlib import Path

import numpy as np
import pytest
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.learning.stored_parts import without_prefix
from binpose_core.learning.weights import (
    LoopProgress,
    inherit,
    load_arrays,
    load_checkpoint,
    save_checkpoint,
    to_arrays,
)


def network(seed: int, width: int = 8) -> torch.nn.Module:
    torch.manual_seed(seed)
    layers = torch.nn.Sequential(
        torch.nn.Conv2d(3, width, 3), torch.nn.BatchNorm2d(width), torch.nn.Conv2d(width, 2, 1)
    )
    return layers.to(memory_format=torch.channels_last)


def trained(net: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        optimizer.zero_grad()
        net(torch.randn(2, 3, 6, 6, generator=generator)).square().mean().backward()
        optimizer.step()


def assert_equal(one: torch.nn.Module, other: torch.nn.Module) -> None:
    for name, value in one.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value, rtol=0, atol=0, msg=name)


def test_weights_come_back_as_they_were() -> None:
    one, other = network(1), network(2)
    load_arrays(other, to_arrays(one), "test")
    assert_equal(one, other)


def test_half_precision_weights_become_float32() -> None:
    one, other = network(1), network(2)
    half = {k: v.astype(np.float16) if v.dtype == np.float32 else v for k, v in to_arrays(one).items()}
    load_arrays(other, half, "test")
    assert all(v.dtype == torch.float32 for v in other.state_dict().values() if v.is_floating_point())
    for name, value in one.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(poison: float) -> None:
    arrays = {k: v.copy() for k, v in to_arrays(network(1)).items()}
    arrays["2.weight"][0, 0] = poison
    with pytest.raises(BinposeError, match=r"test weights hold NaN or infinity in '2\.weight'"):
        load_arrays(network(2), arrays, "test")


@pytest.mark.parametrize("damage", ["shape", "missing", "extra"])
def test_weights_of_another_network_are_refused(damage: str) -> None:
    arrays = to_arrays(network(1, width=9 if damage == "shape" else 8))
    if damage == "missing":
        del arrays["0.weight"]
    if damage == "extra":
        arrays["3.weight"] = np.zeros(3, np.float32)
    with pytest.raises(BinposeError, match="do not fit their configuration") as raised:
        load_arrays(network(2), arrays, "test")
    assert "\n" not in str(raised.value)


def test_select_takes_what_is_below_a_prefix() -> None:
    assert without_prefix("a/", {"a/x": 1, "a/b/y": 2, "ab/z": 3}) == {"x": 1, "b/y": 2}


def test_a_checkpoint_holds_all_that_decides_the_next_step(tmp_path: Path) -> None:
    """A run that is stored and resumed takes the same steps as one that was not interrupted."""
    path = tmp_path / "checkpoint.safetensors"
    one, average = network(1), network(3)
    optimizer = torch.optim.AdamW(one.parameters(), lr=1e-2)
    trained(one, optimizer, 5)
    save_checkpoint(path, one, average, optimizer, LoopProgress(0.1 + 0.2, 5))
    other, other_average = network(2), network(4)
    other_optimizer = torch.optim.AdamW(other.parameters(), lr=1e-2)
    assert load_checkpoint(path, other, other_average, other_optimizer) == LoopProgress(0.1 + 0.2, 5)
    assert_equal(average, other_average)
    trained(one, optimizer, 5)
    trained(other, other_optimizer, 5)
    assert_equal(one, other)


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "another network"])
def test_a_damaged_checkpoint_is_told_in_one_sentence(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "checkpoint.safetensors"
    written = network(1, width=9 if damage == "another network" else 8)
    save_checkpoint(path, written, written, torch.optim.AdamW(written.parameters()), LoopProgress(0.5, 5))
    content = path.read_bytes()
    replacement = {"truncated": content[: len(content) // 2], "empty": b"", "text": b"not a checkpoint"}
    path.write_bytes(replacement.get(damage, content))
    net = network(2)
    with pytest.raises(BinposeError, match=r"checkpoint .* cannot be read .*; expected .*; delete it") as raised:
        load_checkpoint(path, net, network(2), torch.optim.AdamW(net.parameters()))
    assert "\n" not in str(raised.value)


def test_what_is_known_is_inherited_by_name_and_the_rest_begins_as_its_mean() -> None:
    known, wanted = torch.nn.Embedding(2, 3), torch.nn.Embedding(3, 3)
    inherit(wanted, to_arrays(known), {"weight": ("a", "b")}, {"weight": ("b", "new", "a")})
    torch.testing.assert_close(wanted.weight[0], known.weight[1])
    torch.testing.assert_close(wanted.weight[1], known.weight.mean(0))
    torch.testing.assert_close(wanted.weight[2], known.weight[0])


def test_all_of_an_equal_network_is_inherited() -> None:
    one, other = network(1), network(2)
    inherit(other, to_arrays(one), {}, {})
    assert_equal(one, other)


def test_nothing_is_inherited_from_another_architecture() -> None:
    with pytest.raises(BinposeError, match=r"'0.weight' of shape \[4, 3, 3, 3\]; expected \[8, 3, 3, 3\]"):
        inherit(network(1), to_arrays(network(1, width=4)), {}, {})
