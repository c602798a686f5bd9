"""A device that is not there is refused before a network is sent to it."""

import pytest
import torch

from binpose_core.base.devices import check_device
from binpose_core.base.errors import BinposeError


def test_the_cpu_is_always_there() -> None:
    check_device("cpu")


@pytest.mark.parametrize("device", ["gpu", "mps", "meta"])
def test_what_networks_cannot_run_on_is_refused(device: str) -> None:
    with pytest.raises(BinposeError, match=f"'{device}'; expected cpu or cuda"):
        check_device(device)


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
