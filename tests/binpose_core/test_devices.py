"""A device that is not there is refused before a network is sent to it."""

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch

from binpose_core.devices import check_device, on_device
from binpose_core.errors import BinposeError


def test_the_cpu_is_always_there() -> None:
    check_device("cpu")


def test_what_is_no_device_is_refused() -> None:
    with pytest.raises(BinposeError, match="'gpu'; expected cpu or cuda"):
        check_device("gpu")


def test_a_gpu_must_be_seen_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BinposeError, match="sees no GPU"):
        check_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    check_device("cuda")
    check_device("cuda:0")
    with pytest.raises(BinposeError, match=r"'cuda:1', but torch sees 1 GPU\(s\)"):
        check_device("cuda:1")


@dataclass(frozen=True)
class Targets:
    classes: torch.Tensor
    names: tuple[str, ...]


Pair = namedtuple("Pair", "one other")


def test_a_batch_moves_whatever_its_form() -> None:
    """The meta device holds shapes alone, which is enough to see where tensors are."""
    values = torch.arange(3.0)
    batch = [values, (values, {"boxes": values}), Targets(values, ("bolt",)), Pair(values, 7)]
    assert on_device(batch, torch.device("cpu")) is batch
    plain, (nested, mapping), targets, pair = on_device(batch, torch.device("meta"))
    for moved in (plain, nested, mapping["boxes"], targets.classes, pair.one):
        assert moved.device.type == "meta" and moved.shape == (3,)
    assert targets.names == ("bolt",) and isinstance(pair, Pair) and pair.other == 7
    assert values.device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
def test_a_batch_moves_to_the_gpu() -> None:
    assert on_device({"x": torch.zeros(2)}, torch.device("cuda"))["x"].is_cuda
