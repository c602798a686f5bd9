"""Laws of distillation that hold for every preset that regresses poses, at toy sizes and on rendered crops."""

import numpy as np
import pytest
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.learning.loop_config import LoopConfig
from binpose_estimator import (
    Bb8Preset,
    CodebookPreset,
    DefaultPreset,
    EstimatorConfig,
    PoseEstimator,
    PoseTrainingConfig,
    Preset,
    SharedRegressionPreset,
    build_network,
)
from binpose_estimator.crop_pool import crop_pool
from binpose_estimator.distillation import distillation_objective, distilled
from binpose_estimator.distillation_config import DistillationConfig
from binpose_estimator.objective import PoseBatch
from binpose_estimator.presets import DcNetPreset, DenseFusionPreset, WeightedDenseFusionPreset
from binpose_estimator.regression import Equivalents, point_distance
from binpose_estimator.training import sample_batch

NAMES = ("block", "rod", "bracket")
CPU = torch.device("cpu")
REGRESSED = {
    DefaultPreset((8, 8, 8), hypotheses=2): {"head.rotation", "head.center"},
    Bb8Preset((8, 8, 8)): {"head.corners"},
    SharedRegressionPreset((8, 8, 8, 8)): {"head.rotation", "head.center"},
    DcNetPreset(width=4, points=16): {"head.deviation", "head.direction"},
    DenseFusionPreset(width=4, points=16): {"head.rotation", "head.offset"},
    WeightedDenseFusionPreset(width=4, points=16): {"head.rotation", "head.offset", "head.residuals"},
}
"""The presets, and the layers that give what they regress."""
each_preset = pytest.mark.parametrize("preset", REGRESSED, ids=lambda preset: preset.name)


@pytest.fixture
def config(preset: Preset) -> EstimatorConfig:
    return EstimatorConfig(NAMES, gsd_m=1e-3, preset=preset)


@pytest.fixture
def batch(config: EstimatorConfig, views, objects) -> PoseBatch:
    training = PoseTrainingConfig(LoopConfig(steps=1), batch_size=8, wrong_share=0.0)
    pool = crop_pool(views[:1], objects, config, training, seed=0)
    return sample_batch(pool, training, np.random.default_rng(0))


@pytest.fixture
def regression(preset: Preset, objects):
    return preset.regression([objects[name] for name in NAMES], CPU)


def network_of(config: EstimatorConfig, seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_network(config).eval()


def predicted(config: EstimatorConfig, batch: PoseBatch, seed: int):
    with torch.no_grad():
        return network_of(config, seed)(batch[0].x, batch[1].classes)


def as_truth(points: torch.Tensor) -> Equivalents:
    """Regressed points as if they were the truth of each hypothesis."""
    return Equivalents(points[:, :, None], torch.ones(len(points), 1, dtype=torch.bool))


@each_preset
def test_a_student_that_equals_its_teacher_has_nothing_to_learn(config, batch, regression) -> None:
    inputs, targets = batch
    one = predicted(config, batch, 0)
    assert float(distilled(regression, one, one, inputs, targets.classes, None).max()) < 1e-4
    other = predicted(config, batch, 1)
    assert float(distilled(regression, one, other, inputs, targets.classes, None).min()) > 1e-3


@each_preset
def test_a_teacher_counts_only_where_the_student_is_not_better(config, batch, regression) -> None:
    """The bound of eq. 5 at its two ends: a student that is right, and a teacher that is."""
    inputs, targets = batch
    student, teacher = predicted(config, batch, 0), predicted(config, batch, 1)
    points, given = regression.points(student), regression.points(teacher)
    if not regression.paired:
        given = regression.best(teacher)[:, None]
    right = distilled(regression, student, teacher, inputs, targets.classes, as_truth(points))
    assert float(right.max()) < 1e-4, "not drawn to a teacher that is worse"
    taught = distilled(regression, student, teacher, inputs, targets.classes, as_truth(given))
    nearer = distilled(regression, student, teacher, inputs, targets.classes, None)
    assert (taught > 1.5 * nearer).all(), "its own error, and the way to a teacher that is right"


@each_preset
def test_teachers_of_symmetric_parts_are_right_at_all_equivalent_poses(batch, regression) -> None:
    inputs, targets = batch
    truth, symmetric = regression.truth(inputs, targets), (targets.classes == 0).nonzero()[:, 0]
    assert len(symmetric) and (truth.valid[symmetric].sum(1) == 3).all(), "thirds of a turn of a block"
    for k in range(3):
        given = truth.values[:, :, k]
        apart = regression.equivalents(given, inputs, targets.classes).distance(truth.values[:, :, 0])
        assert float(apart[symmetric].max()) < 2e-3
        moved = point_distance(given, truth.values[:, :, 0])[symmetric]
        assert float(moved.min()) > 0.1 or k == 0


@each_preset
def test_gradients_reach_what_is_regressed_and_the_hinted_layer(preset, config, batch, objects) -> None:
    teacher = PoseEstimator(network_of(config, 1), config, objects)
    parts = [objects[name] for name in NAMES]
    objective = distillation_objective([teacher], config, parts, DistillationConfig(("a model",)))
    network = network_of(config, 0).train()
    losses = objective(network, batch)
    own = preset.objective(parts, CPU)(network_of(config, 0).train(), batch)
    assert set(losses) == {*own, "distillation", "hint"}
    for name, value in own.items():
        torch.testing.assert_close(losses[name], value, msg=f"{name}: the preset's own loss stays")
    for name, layers in (("distillation", REGRESSED[preset]), ("hint", {preset.hint_layer})):
        network.zero_grad()
        losses[name].backward(retain_graph=True)
        moved = [key for key, weight in network.named_parameters() if weight.grad is not None and weight.grad.any()]
        assert all(any(key.startswith(f"{layer}.") for key in moved) for layer in layers), (name, moved)
    assert all(torch.isfinite(weight.grad).all() for weight in network.parameters() if weight.grad is not None)


@pytest.mark.parametrize("preset", [DenseFusionPreset(width=4, points=16)], ids=["densefusion"])
def test_poses_of_other_points_are_not_compared(config, objects) -> None:
    other = EstimatorConfig(NAMES, preset=DenseFusionPreset(width=4, points=12))
    teacher = PoseEstimator(network_of(other, 1), other, objects)
    with pytest.raises(BinposeError, match="teacher predicts 12 poses per crop, the student 16"):
        distillation_objective([teacher], config, [objects[name] for name in NAMES], DistillationConfig(("a model",)))


def test_a_codebook_learns_nothing_from_teachers(objects) -> None:
    config = EstimatorConfig(NAMES, preset=CodebookPreset())
    with pytest.raises(BinposeError, match="'codebook' looks up its poses"):
        distillation_objective([], config, [objects[name] for name in NAMES], DistillationConfig(("a model",)))
