"""Where a refiner draws: one setting, the device, decides it for all of its renderings."""

import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.rendering.backends import Backend, make_backend
from binpose_core.rendering.numba_backend import NumbaBackend
from binpose_core.rendering.packed_meshes import PackedMeshes
from binpose_refinement.config import RefinerConfig
from binpose_refinement.refiner import IcpRefiner
from binpose_refinement.stored_refiner import stored_refiner

from .conftest import distance_m, guesses, perturbed


@dataclass
class Stored:
    """What a model without a calibration keeps of its refiner."""

    tensors: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=lambda: {"config": {"refiner": {"method": "render_and_compare"}}})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The backends that renderers ask for; they get one that is there."""
    names: list[str] = []

    def note(name: str, meshes: PackedMeshes) -> Backend:
        names.append(name)
        return make_backend("numba", meshes)

    monkeypatch.setattr("binpose_core.rendering.renderer.make_backend", note)
    return names


@pytest.mark.parametrize(("device", "backend"), [("cpu", "numba"), ("cuda", "warp:cuda"), ("cuda:1", "warp:cuda:1")])
def test_the_device_of_the_networks_draws_too(
    parts, asked: list[str], monkeypatch: pytest.MonkeyPatch, device: str, backend: str
) -> None:
    """Both what aligns and verifies, and what descends; also after a change of the method."""
    monkeypatch.setitem(sys.modules, "warp", ModuleType("warp"))
    refiner = stored_refiner(Stored(), parts, device=device)
    assert asked == [backend, backend]
    refiner.using("icp")
    assert asked == [backend] * 3


def test_a_gpu_without_warp_leaves_the_drawing_to_the_processor(
    parts, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "warp", None)
    stored_refiner(Stored(), parts, device="cuda")
    assert set(asked) == {"numba"}


@pytest.mark.parametrize("method", ["icp", "render_and_compare"])
def test_poses_are_the_same_when_warp_draws(parts, pile, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """On the processor, which Warp draws on too; nothing of it is left to the z-buffer."""
    config, rng = RefinerConfig(method=method), np.random.default_rng(0)
    try:
        drawn_by_warp = IcpRefiner(parts, config, backend="warp:cpu")
    except BinposeError as error:
        pytest.skip(str(error))
    poses = [
        guesses((name, perturbed(rng, parts[name], T), 0.8), index=index)
        for index, (name, T) in enumerate(zip(pile.ids, pile.T_cam_obj, strict=True))
    ]
    expected = IcpRefiner(parts, config)(pile.frame, pile.detections, poses)

    def refuse(*_: Any) -> None:
        raise AssertionError("the z-buffer drew")

    monkeypatch.setattr(NumbaBackend, "draw", refuse)
    found = drawn_by_warp(pile.frame, pile.detections, poses)
    assert len(found) == len(expected) >= 8
    by_detection = {pose.detection_index: pose for pose in expected}
    for pose in found:
        other = by_detection[pose.detection_index]
        assert distance_m(parts[pose.object_id], pose.T_cam_obj, other.T_cam_obj) < 1e-4
        assert pose.score == pytest.approx(other.score, abs=0.02)
