"""What a student learns from teachers, on crops whose pixels spell out the pose."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn

from binpose_core.base.errors import BinposeError
from binpose_core.learning.hooks import StepReport
from binpose_core.learning.loop_config import LoopConfig
from binpose_core.learning.training_loop import train
from binpose_estimator import (
    CropContent,
    DefaultPreset,
    EstimatorConfig,
    Objective,
    PoseEstimator,
    PoseNetwork,
    PosePrediction,
    PoseTrainingConfig,
    Preset,
    build_network,
    train_estimator,
)
from binpose_estimator.crops import CropInputs
from binpose_estimator.distillation import DistillationObjective, Teachers, distillation_objective, upper_bounded
from binpose_estimator.distillation_config import DistillationConfig
from binpose_estimator.head import rotation_from_6d
from binpose_estimator.losses import PoseTargets
from binpose_estimator.objective import JointNetwork
from binpose_estimator.regression import Equivalents, point_distance
from binpose_estimator.unlabelled_crops import UnlabelledBatch

NAMES = ("block", "rod", "bracket")
NUMBERS = 9
"""Pixels of the first row of a crop's mask and the next: six of the rotation, three of the centre."""
LAYER = "backbone.convolution"


def prediction_of(sixd: torch.Tensor, center: torch.Tensor) -> PosePrediction:
    """(B, K, 6) and (B, K, 3), the first hypothesis the most confident."""
    batch, hypotheses = sixd.shape[:2]
    confidence = torch.linspace(1.0, 0.0, hypotheses).expand(batch, hypotheses)
    grid = torch.zeros(batch, 3, 2, 2)
    return PosePrediction(rotation_from_6d(sixd), center, confidence, grid, grid[:, 0], center[:, 0, 0] * 0)


class Pixels(nn.Module):
    """All pixels of a crop as channels of one cell, and a convolution of them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(64, width, 1)

    def forward(self, crops: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        return self.convolution(crops.flatten(1)[:, :, None, None]).relu()


class Learnt(nn.Module):
    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.code, self.last = nn.Embedding(classes, width), nn.Linear(width, NUMBERS)

    def forward(self, features: torch.Tensor, classes: torch.Tensor) -> PosePrediction:
        found = self.last(features.flatten(1) + 0.1 * self.code(classes))[:, None]
        return prediction_of(found[..., :6], found[..., 6:])


@dataclass(frozen=True)
class Spelled(Preset):
    """A preset whose crops are 8 x 8 masks."""

    width: int = 24

    name, content, hint_layer = "spelled", CropContent(("mask",), size_px=8), LAYER

    def network(self, classes: int) -> PoseNetwork:
        return PoseNetwork(Pixels(self.width), Learnt(self.width, classes))


class Perfect(PoseNetwork):
    """Reads the pose from the pixels, after an error in the centre."""

    def __init__(self, error: float = 0.0, width: int = 16) -> None:
        super().__init__(Pixels(width), nn.Identity())
        self.error = error

    def forward(self, crops: torch.Tensor, classes: torch.Tensor) -> PosePrediction:
        self.backbone(crops, classes)
        spelled = crops.flatten(1)[:, None, :NUMBERS]
        return prediction_of(spelled[..., :6], spelled[..., 6:] + self.error)


STUDENT = EstimatorConfig(NAMES, preset=Spelled())


def batch_of(count: int, seed: int) -> tuple[CropInputs, PoseTargets]:
    rng = torch.Generator().manual_seed(seed)
    x = torch.zeros(count, 64)
    x[:, :6], x[:, 6:9] = torch.randn(count, 6, generator=rng), 0.2 * torch.randn(count, 3, generator=rng)
    x[:, 9:] = 0.1 * torch.randn(count, 55, generator=rng)
    classes, every = torch.full((count,), 2), torch.ones(count, dtype=torch.bool)  # brackets have no symmetry
    inputs = CropInputs(Spelled.content, x.view(count, 1, 8, 8), torch.full((count,), 9.0))
    known = torch.zeros(count, 3, 2, 2), torch.zeros(count, 2, 2, dtype=torch.bool)
    return inputs, PoseTargets(classes, rotation_from_6d(x[:, :6]), x[:, 6:9], *known, every, every.float())


def estimator(objects, network: PoseNetwork, names=NAMES, preset: Preset = STUDENT.preset) -> PoseEstimator:
    return PoseEstimator(network, EstimatorConfig(names, preset=preset), objects)


def objective_of(objects, teachers, unlabelled=None, **settings) -> DistillationObjective:
    config = DistillationConfig(("a model",), **settings)
    return distillation_objective(teachers, STUDENT, [objects[n] for n in NAMES], config, unlabelled=unlabelled)


def trained(objective: Objective, batches, steps: int = 200) -> PoseNetwork:
    torch.manual_seed(0)
    joint = JointNetwork(STUDENT.preset.network(len(NAMES)), objective)
    loop = LoopConfig(steps=steps, learning_rate=1e-2, low_precision=False, average_steps=20, weight_decay=0.0)
    return train(joint, batches, lambda model, batch: model(batch), loop).network


def error_of(network: nn.Module) -> float:
    inputs, targets = batch_of(200, 999)
    with torch.no_grad():
        found = network(inputs.x, targets.classes)
    return float((found.rotation[:, 0] - targets.rotation).square().sum((1, 2)).sqrt().mean())


def test_a_perfect_teacher_of_unlabelled_crops_helps_a_student_with_few_labels(objects) -> None:
    few, draws = batch_of(12, 1), iter(range(2000, 9000))

    def unlabelled(device: torch.device) -> UnlabelledBatch:
        inputs, targets = batch_of(32, next(draws))
        return UnlabelledBatch(inputs, targets.classes)

    alone = Objective(STUDENT.preset.loss([objects[n] for n in NAMES], torch.device("cpu")))
    taught = objective_of(objects, [estimator(objects, Perfect())], unlabelled, hint=0.0)
    without, with_teacher = (error_of(trained(one, lambda number: few)) for one in (alone, taught))
    assert with_teacher < 0.7 * without


def test_the_teacher_counts_only_where_the_student_is_not_better() -> None:
    student, teacher, between = torch.tensor([0.1, 0.3, 0.2]), torch.tensor([0.2, 0.2, 0.2]), torch.full((3,), 5.0)
    torch.testing.assert_close(upper_bounded(student, teacher, between), torch.tensor([0.1, 5.3, 5.2]))


@pytest.mark.parametrize(("teacher_error", "heard"), [(0.0, True), (3.0, False)])
def test_a_worse_teacher_gives_no_gradient_of_its_own(objects, teacher_error: float, heard: bool) -> None:
    objective = objective_of(objects, [estimator(objects, Perfect(teacher_error))], hint=0.0)
    torch.manual_seed(1)
    network, (inputs, targets) = STUDENT.preset.network(3), batch_of(8, 3)
    loss = objective(network, (inputs, targets))["distillation"].detach()
    with torch.no_grad():
        found = network(inputs.x, targets.classes)
    regression = objective._regression
    to_truth = regression.truth(inputs, targets).distance(regression.points(found)).amin(1).mean()
    assert (float(loss) > float(to_truth) + 1e-3) == heard


def test_hints_reach_no_further_than_the_layer(objects) -> None:
    objective = objective_of(objects, [estimator(objects, Perfect())], regression=0.0)
    network = STUDENT.preset.network(3)
    objective(network, batch_of(8, 3))["hint"].backward()
    reached = {name for name, weight in network.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert reached == {f"{LAYER}.weight", f"{LAYER}.bias"}
    assert all(weight.grad is not None for weight in objective.adapters.parameters())
    assert objective.adapters[0].weight.shape == (24, 16, 1, 1), "from the teacher's channels to the student's"


def test_adapters_and_teachers_are_not_part_of_the_student(objects) -> None:
    teacher = estimator(objects, Perfect())
    before = [value.clone() for value in teacher.network.state_dict().values()]
    objective = objective_of(objects, [teacher])
    adapter = objective.adapters[0].weight.detach().clone()
    student = trained(objective, lambda number: batch_of(8, number), steps=3)
    assert set(student.state_dict()) == set(STUDENT.preset.network(3).state_dict())
    assert not torch.equal(adapter, objective.adapters[0].weight)
    assert all(torch.equal(a, b) for a, b in zip(before, teacher.network.state_dict().values(), strict=True))


def test_each_part_has_its_teacher(objects) -> None:
    one, other = estimator(objects, Perfect(), ("rod", "bracket")), estimator(objects, Perfect(), ("bracket", "block"))
    lessons = {
        lesson.teacher: lesson for lesson in Teachers([one, other], STUDENT).lessons(torch.tensor([2, 0, 1, -1]))
    }
    assert lessons[0].rows.tolist() == [0, 2] and lessons[0].classes.tolist() == [1, 0]
    assert lessons[1].rows.tolist() == [1] and lessons[1].classes.tolist() == [1]


def test_separate_networks_in_one_model_teach_one_part_each(objects) -> None:
    preset = DefaultPreset((8, 8, 8), 2, "single")
    config, student = EstimatorConfig(NAMES, preset=preset), EstimatorConfig(NAMES, preset=DefaultPreset((8, 12, 8), 2))
    teacher = PoseEstimator(build_network(config), config, objects)
    teachers = Teachers([teacher], student)
    assert [one.config.objects for one in teachers.estimators] == [(name,) for name in NAMES]
    size = preset.content.size_px
    x, classes = torch.rand(3, preset.content.channels, size, size), torch.tensor([1, 2, 1])
    with torch.no_grad():
        whole = teacher.network(x, classes)
    for lesson in teachers.lessons(classes):
        inputs = CropInputs(preset.content, x, torch.full((3,), 9.0))
        found, features = teachers.predict(lesson, inputs, [preset.hint_layer])
        torch.testing.assert_close(found.center, whole.center[lesson.rows], rtol=1e-4, atol=1e-5)
        assert features[preset.hint_layer].shape == (len(lesson.rows), 8, 8, 8)
    parts = [objects[name] for name in NAMES]
    assert len(distillation_objective([teacher], student, parts, DistillationConfig(("a model",))).adapters) == 3


def test_crops_of_a_wrong_part_or_of_no_weight_are_not_distilled(objects) -> None:
    objective = objective_of(objects, [estimator(objects, Perfect())])
    network, (inputs, targets) = STUDENT.preset.network(3), batch_of(8, 3)
    first = torch.arange(8) < 4
    whole = objective(network, (inputs.take(first), targets.take(first)))
    hidden = replace(targets, matches=first)
    unknown = replace(targets, weight=first.float())
    for changed in (hidden, unknown):
        found = objective(network, (inputs, changed))
        for name in ("distillation", "hint"):
            torch.testing.assert_close(found[name], whole[name])


def test_distances_are_modulo_symmetry(objects, rng: np.random.Generator) -> None:
    regression = STUDENT.preset.regression([objects[n] for n in NAMES], torch.device("cpu"))
    inputs, targets = batch_of(6, 4)
    targets = replace(targets, classes=torch.zeros(6, dtype=torch.int64))  # blocks: thirds of a turn beside the centre
    truth = regression.truth(inputs, targets)
    assert int(truth.valid[0].sum()) == 3
    for k in range(3):
        given = regression.equivalents(truth.values[:, :, k], inputs, targets.classes)
        assert float(given.distance(truth.values[:, :, 0]).max()) < 1e-4
    assert float(point_distance(truth.values[:, 0, 0], truth.values[:, 0, 1]).min()) > 0.2
    none = Equivalents(truth.values, truth.valid & False)
    assert torch.isinf(none.distance(truth.values[:, :, 0])).all()


def test_what_cannot_be_taught_is_refused_in_a_sentence(objects) -> None:
    with pytest.raises(BinposeError, match="teachers know block, and the student learns rod"):
        Teachers([estimator(objects, Perfect(), ("block",))], EstimatorConfig(("rod",), preset=Spelled()))

    class Wide(Spelled):
        name, content = "wide", CropContent(("mask", "rgb"), size_px=8)

    with pytest.raises(BinposeError, match=r"teacher sees mask, rgb in crops of 8 pixels.*the student mask in"):
        Teachers([estimator(objects, Perfect(), preset=Wide())], STUDENT)

    class Other(Perfect):
        def forward(self, crops, classes):
            super().forward(crops, classes)
            return torch.zeros(len(crops))

    with pytest.raises(BinposeError, match="teacher predicts Tensor, but PosePrediction is compared"):
        objective_of(objects, [estimator(objects, Other())])
    with pytest.raises(BinposeError, match=r"no module 'backbone\.nothing'"):
        objective_of(objects, [estimator(objects, Perfect())], teacher_layer="backbone.nothing")
    with pytest.raises(BinposeError, match="weight 0 teach nothing"):
        DistillationConfig(("a",), regression=0.0, hint=0.0)


def test_the_default_preset_is_distilled_by_another_size_of_itself(views, objects) -> None:
    torch.manual_seed(0)
    small, large = (EstimatorConfig(NAMES, preset=DefaultPreset(widths, 2)) for widths in ((8, 8, 8), (8, 12, 16)))
    teacher = PoseEstimator(build_network(large), large, objects)
    parts, seen = [objects[name] for name in NAMES], list[dict[str, float]]()
    objective = distillation_objective([teacher], small, parts, DistillationConfig(("a model",)))
    settings = PoseTrainingConfig(LoopConfig(steps=3, low_precision=False), batch_size=8)
    hooks = [StepReport(lambda fraction, losses: seen.append(losses))]
    student = train_estimator(views, objects, small, settings, 1, hooks=hooks, objective=objective)
    assert len(seen) == 3 and all(losses["distillation"] > 0 and losses["hint"] > 0 for losses in seen)
    assert set(student.to_tensors()[0]) == set(build_network(small).state_dict())
