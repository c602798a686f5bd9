"""ONNX Runtime gives what torch gives, for every preset and any number of crops."""

import copy
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from binpose_core.base.errors import BinposeError
from binpose_core.frames.working_view import make_working_view
from binpose_estimator import (
    CropContent,
    DefaultPreset,
    EstimatorConfig,
    PoseEstimator,
    PoseNetwork,
    Preset,
    find_preset,
    known_presets,
    register_preset,
)
from binpose_estimator.crops import extract_crops
from binpose_estimator.estimator import NetworkPass
from binpose_estimator.onnx_engine import OnnxPoseNetwork, check_engine
from binpose_estimator.presets import registry

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
CLASSES = 3


@dataclass(frozen=True)
class Corners:
    """What a head of another kind predicts."""

    corners: torch.Tensor
    match: torch.Tensor


class CornersHead(nn.Module):
    def __init__(self, classes: int, labels: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.table, self.corners = nn.Embedding(classes, 8), nn.Linear(8, 16)

    def forward(self, features: torch.Tensor, classes: torch.Tensor) -> Corners:
        values = self.corners(features.mean((2, 3)) + self.table(classes))
        return Corners(values.view(-1, 8, 2), values[:, 0])


class CropsToFeatures(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, 8, 3, padding=1)

    def forward(self, crops: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        return self.convolution(crops).relu()


@dataclass(frozen=True)
class ToyCorners(Preset):
    """Another backbone, head, prediction and crop than the default's."""

    name, content = "toy_corners", CropContent(("rgb",), size_px=32)

    def network(self, classes: int) -> PoseNetwork:
        return PoseNetwork(CropsToFeatures(self.content.channels), CornersHead(classes))


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_PRESETS", dict(registry._PRESETS))
    register_preset(ToyCorners)


def small(name: str) -> Preset:
    return DefaultPreset((8, 12, 16), hypotheses=2) if name == DefaultPreset.name else find_preset(name)()


@pytest.mark.parametrize("name", [*known_presets(), "toy_corners"])
def test_outputs_equal_those_of_torch_for_any_batch(toy, name: str) -> None:
    torch.manual_seed(3)
    preset = small(name)
    network = preset.network(CLASSES).eval()
    content, before = preset.content, copy.deepcopy(network.state_dict())
    onnx = OnnxPoseNetwork(network, content, CLASSES, threads=1)
    for batch in (1, 5):
        crops, classes = torch.rand(batch, content.channels, content.size_px, content.size_px), torch.arange(batch) % 3
        with torch.no_grad():
            expected = network(crops, classes)
        found = onnx(crops, classes)
        assert type(found) is type(expected)
        for key, value in vars(expected).items():
            torch.testing.assert_close(
                vars(found)[key], value, rtol=1e-3, atol=1e-4, msg=lambda m, key=key: f"{key}: {m}"
            )
        crops[0] += 1.0
        other = vars(onnx(crops, classes))
        assert any(not torch.equal(other[key], value) for key, value in vars(found).items()), "it reads its input"
    for key, value in network.state_dict().items():
        assert torch.equal(before[key], value), "the exporter changes weights in place"


def test_an_estimator_gives_the_same_poses(views, objects) -> None:
    """In float32: torch may run in bfloat16 where the processor has it, so that its predictions are compared here."""
    torch.manual_seed(2)
    config = EstimatorConfig(tuple(objects), preset=DefaultPreset((8, 12, 16), hypotheses=2))
    network = config.preset.network(CLASSES)
    estimator = PoseEstimator(network, config, objects, engine="onnxruntime")
    view, names = views[0], list(views[0].object_ids)
    content, owners = config.preset.content, np.arange(len(names), dtype=np.int32)
    diameters = np.array([objects[name].diameter_m for name in names])
    centers = np.array([T[:3, :3] @ objects[n].center_m + T[:3, 3] for n, T in zip(names, view.T_cam_obj, strict=True)])
    working = make_working_view(view.frame, 1e-3, 640 * 480)
    crops = extract_crops(working, content, working.labels(view.instance_ids), owners, centers, diameters)
    seen = estimator.run_network(crops, names)
    with torch.no_grad():
        expected = network(seen.inputs.x, torch.tensor([list(objects).index(name) for name in names]))
    torch.testing.assert_close(seen.prediction.rotation, expected.rotation, rtol=1e-3, atol=1e-4)
    found, true = (decode(estimator, seen, p, names) for p in (seen.prediction, expected))
    np.testing.assert_allclose(found.rotation[:, :2], true.rotation[:, :2], atol=1e-4)


def decode(estimator: PoseEstimator, seen: NetworkPass, prediction, names):
    return estimator.decode(NetworkPass(seen.inputs, prediction), names)


def test_unknown_engines_and_devices_are_refused() -> None:
    with pytest.raises(BinposeError, match="engine is 'tensorrt'; expected torch or onnxruntime"):
        check_engine("tensorrt")
    with pytest.raises(BinposeError, match="device 'cuda'; expected the device cpu"):
        check_engine("onnxruntime", "cuda")


def test_a_number_of_crops_that_became_a_constant_is_refused() -> None:
    class FixedHead(CornersHead):  # `len` is a number to the tracing exporter
        def forward(self, features, classes):  # type: ignore[no-untyped-def]
            found = super().forward(features, classes)
            return Corners(found.corners.reshape(len(features), 4, 4), found.match)

    with pytest.raises(BinposeError, match=r"crops \[3, 3, 32, 32\].*expected lengths that the network leaves free"):
        OnnxPoseNetwork(PoseNetwork(CropsToFeatures(3), FixedHead(CLASSES)).eval(), ToyCorners.content, CLASSES)


def test_a_choice_by_class_that_became_a_constant_is_refused() -> None:
    class FirstClass(CornersHead):
        def forward(self, features, classes):  # type: ignore[no-untyped-def]
            return super().forward(features, torch.full_like(classes, int(classes.max())))

    with pytest.raises(BinposeError, match=r"differs by .* between torch and ONNX Runtime"):
        OnnxPoseNetwork(PoseNetwork(CropsToFeatures(3), FirstClass(CLASSES)).eval(), ToyCorners.content, CLASSES)


def test_a_prediction_that_is_no_dataclass_of_tensors_is_refused() -> None:
    class TupleHead(CornersHead):
        def forward(self, features, classes):  # type: ignore[no-untyped-def]
            return (features,)

    network = PoseNetwork(CropsToFeatures(3), TupleHead(CLASSES)).eval()
    with pytest.raises(BinposeError, match="predicts tuple; expected a dataclass of tensors"):
        OnnxPoseNetwork(network, ToyCorners.content, CLASSES)
