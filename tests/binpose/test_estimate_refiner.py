"""The way of refining is chosen on the command line; what does not go together is refused before anything is loaded."""

from pathlib import Path

import pytest
import torch

from binpose.bundle import ModelBundle
from binpose.commands.estimate import with_refiner
from binpose_core.errors import BinposeError
from binpose_refinement.batch import Workshop
from binpose_refinement.network import RefinementNetworkConfig
from binpose_refinement.network_mover import NetworkMover, save_network
from binpose_refinement.network_training import make_network
from binpose_refinement.refiner import IcpRefiner


def test_the_refiner_is_the_one_asked_for(networks: ModelBundle, tmp_path: Path) -> None:
    torch.manual_seed(0)
    objects = dict(networks.objects)
    config = RefinementNetworkConfig(tuple(objects), width=8, points=16)
    save_network(make_network(config, Workshop(objects, ())), tmp_path)
    assert with_refiner(networks, "model") is networks
    for method, folder in (("icp", None), ("render_and_compare", None), ("network", tmp_path)):
        refiner = with_refiner(networks, method, folder).refiner
        assert isinstance(refiner, IcpRefiner) and refiner.config.method == method
        assert (refiner.mover is None) == (method == "icp")
        assert refiner.calibration is networks.refiner.calibration  # type: ignore[attr-defined]
        assert isinstance(refiner.mover, NetworkMover) == (method == "network")


@pytest.mark.parametrize(("method", "folder"), [("network", None), ("icp", Path("x")), ("model", Path("x"))])
def test_a_network_and_its_folder_go_together(networks: ModelBundle, method: str, folder: Path | None) -> None:
    with pytest.raises(BinposeError, match="expected both for a network, or neither"):
        with_refiner(networks, method, folder)
