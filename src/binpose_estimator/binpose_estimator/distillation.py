"""Distillation of the pose networks of teachers into one student (Sock et al., 2020, section 3.3)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import nn

from binpose_core.base.errors import BinposeError
from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.crops import CropInputs
from binpose_estimator.distillation_config import DistillationConfig
from binpose_estimator.estimator import EstimatorConfig, PoseEstimator, build_network
from binpose_estimator.features import last_pass, tapped
from binpose_estimator.objective import Objective, PoseBatch
from binpose_estimator.onnx_engine import example_inputs
from binpose_estimator.regression import Equivalents, Regression
from binpose_estimator.separate_networks import SeparateNetworks
from binpose_estimator.unlabelled_crops import DrawUnlabelled


@dataclass(frozen=True)
class Lesson:
    """The crops of a batch that one teacher teaches: rows (M,) int64, and their classes (M,) for the teacher."""

    teacher: int
    rows: torch.Tensor
    classes: torch.Tensor


class Teachers:
    """The pose networks of several models, of which each part has one.

    Args:
        estimators: of several that know a part, the first teaches it. Separate networks in one model are as many
            teachers.
        student: settings of the network that learns.

    Raises:
        BinposeError: if a teacher sees what the student's crops do not carry, or none knows any of the parts.
    """

    def __init__(self, estimators: Sequence[PoseEstimator], student: EstimatorConfig) -> None:
        estimators = [one for estimator in estimators for one in _separated(estimator)]
        for estimator in estimators:
            _check_content(estimator.config, student)
        self.estimators, self._content = tuple(estimators), student.preset.content
        self._owner = [_first_knowing(name, estimators) for name in student.objects]
        if all(owner < 0 for owner in self._owner):
            known = sorted({name for estimator in estimators for name in estimator.config.objects})
            raise BinposeError(
                f"The teachers know {', '.join(known)}, and the student learns {', '.join(student.objects)}; expected "
                "a part in common; choose other teachers."
            )
        self._class = [
            estimators[owner].config.objects.index(name) if owner >= 0 else -1
            for name, owner in zip(student.objects, self._owner, strict=True)
        ]

    def lessons(self, classes: torch.Tensor) -> Iterator[Lesson]:
        """Which teacher teaches which crops of classes (B,); none those of class -1 or of a part without a teacher."""
        known = classes >= 0
        owner, own_class = (torch.tensor(v, device=classes.device)[classes] for v in (self._owner, self._class))
        owner = owner.masked_fill(~known, -1)
        for number in range(len(self.estimators)):
            rows = torch.nonzero(owner == number)[:, 0]
            if len(rows):
                yield Lesson(number, rows, own_class[rows])

    @torch.no_grad()
    def predict(self, lesson: Lesson, inputs: CropInputs, layers: Sequence[str]) -> tuple[Any, dict[str, Any]]:
        """The teacher's prediction for its crops, and the features of its modules."""
        estimator = self.estimators[lesson.teacher]
        names = estimator.config.preset.content.names
        seen = torch.cat([inputs[name] for name in names], 1)[lesson.rows]
        network = estimator.network.to(seen.device).eval()
        with tapped(network, layers) as features:
            prediction = network(seen.contiguous(memory_format=torch.channels_last), lesson.classes)
        return prediction, features


class DistillationObjective(Objective):
    """The losses of another objective, the upper-bounded regression loss and hints: L_CS = L_KD* + L_HT.

    Crops of another part than the network is asked for, those without a known pose and those that nothing is seen in
    are taught by the other objective alone. Unlabelled crops are taught by the teachers alone, eq. 7.

    Args:
        base: what labelled crops are learnt by; it ends with one pass of the network over the batch.
        regression: what the student's head regresses.
        teachers: frozen; no parameters of the objective.
        student: settings of the network that learns.
        config: weights and layers.
        unlabelled: gives more crops at each step, without truth.

    Raises:
        BinposeError: if a teacher predicts something else than the student, or has no such layer.
    """

    def __init__(
        self,
        base: Objective,
        regression: Regression,
        teachers: Teachers,
        student: EstimatorConfig,
        config: DistillationConfig,
        unlabelled: DrawUnlabelled | None = None,
    ) -> None:
        super().__init__(base.loss)
        self.base = base
        self._teachers, self._regression, self._config = teachers, regression, config
        self._unlabelled = unlabelled
        self._student_layers = [config.student_layer or student.preset.hint_layer] if config.hint else []
        network = build_network(student).eval()
        wanted = _probe(network, student, regression, "student", self._student_layers)
        self._teacher_layers, adapters = [], []
        for estimator in teachers.estimators:
            layers = [config.teacher_layer or estimator.config.preset.hint_layer] if config.hint else []
            given = _probe(estimator.network, estimator.config, regression, "teacher", layers)
            self._teacher_layers.append(layers)
            _check_pairs(regression, given.hypotheses, wanted.hypotheses)
            if layers:
                adapters.append(_adapter(given.features, wanted.features))
        self.adapters = nn.ModuleList(adapters)

    def forward(self, network: nn.Module, batch: PoseBatch) -> dict[str, torch.Tensor]:
        """The losses by name."""
        inputs, targets = batch
        with tapped(network, self._student_layers) as features, last_pass(network) as seen:
            losses = self.base(network, batch)
        inputs = replace(inputs, x=seen.inputs[0])
        known = targets.matches & (targets.weight > 0)
        with torch.autocast(inputs.x.device.type, enabled=False):
            truth = self._regression.truth(inputs, targets)
        taught = self._taught(inputs, targets.classes, seen.output, features, known, truth)
        if self._unlabelled is None:
            return {**losses, **taught}
        more = self._unlabelled(inputs.x.device)
        with tapped(network, self._student_layers) as features:
            prediction = network(more.inputs.x, more.classes)
        every = torch.ones_like(more.classes, dtype=torch.bool)
        alone = self._taught(more.inputs, more.classes, prediction, features, every, None)
        return {**losses, **taught, **{f"unlabelled_{name}": value for name, value in alone.items()}}

    def _taught(
        self,
        inputs: CropInputs,
        classes: torch.Tensor,
        prediction: Any,
        features: Mapping[str, Any],
        known: torch.Tensor,
        truth: Equivalents | None,
    ) -> dict[str, torch.Tensor]:
        """The losses of what teachers teach of a batch, as means over the crops that are taught."""
        regressed, hints = [], []
        known = known & self._regression.seen(prediction)
        for lesson in self._teachers.lessons(classes.masked_fill(~known, -1)):
            layers = self._teacher_layers[lesson.teacher]
            given, shown = self._teachers.predict(lesson, inputs, layers)
            rows = lesson.rows
            with torch.autocast(inputs.x.device.type, enabled=False):
                own = None if truth is None else truth.take(rows)
                seen = inputs.take(rows)
                regressed.append(distilled(self._regression, prediction.take(rows), given, seen, classes[rows], own))
                if layers:
                    hint = self.adapters[lesson.teacher](shown[layers[0]].float())
                    mine = features[self._student_layers[0]][rows].float()
                    hints.append((hint - mine).square().flatten(1).mean(1))
        terms = {"distillation": (self._config.regression, regressed), "hint": (self._config.hint, hints)}
        return {name: weight * torch.cat(parts).mean() for name, (weight, parts) in terms.items() if weight and parts}


def distilled(
    regression: Regression,
    student: Any,
    teacher: Any,
    inputs: CropInputs,
    classes: torch.Tensor,
    truth: Equivalents | None,
) -> torch.Tensor:
    """(B,) L_KD* of predictions of the same crops (eqs. 5 and 7), modulo symmetry.

    Paired hypotheses are compared one by one, and weigh as the teacher's confidence has it. Of others, the teacher's
    most confident one counts, and the student's nearest one.
    """
    points = regression.points(student)
    if not regression.paired:
        best = regression.best(teacher).detach()[:, None]
        to_teacher = regression.equivalents(best, inputs, classes).distance(points).amin(1)
        if truth is None:
            return to_teacher
        return upper_bounded(truth.distance(points).amin(1), truth.distance(best)[:, 0], to_teacher)
    given = regression.points(teacher).detach()
    each = regression.equivalents(given, inputs, classes).distance(points)
    if truth is not None:
        each = upper_bounded(truth.distance(points), truth.distance(given), each)
    return (regression.confidence(teacher).detach().softmax(1) * each).sum(1)


def upper_bounded(student: torch.Tensor, teacher: torch.Tensor, between: torch.Tensor) -> torch.Tensor:
    """(B, ...) L_KD of eq. 5: the teacher counts only where the student is not better than it.

    Args:
        student: (B, ...) distance of the student's output to the truth.
        teacher: (B, ...) distance of the teacher's output to the truth.
        between: (B, ...) distance of both outputs.
    """
    return student + torch.where(student < teacher, torch.zeros_like(between), between)


def distillation_objective(
    estimators: Sequence[PoseEstimator],
    student: EstimatorConfig,
    parts: Sequence[ObjectModel],
    config: DistillationConfig,
    device: torch.device | str = "cpu",
    unlabelled: DrawUnlabelled | None = None,
) -> DistillationObjective:
    """The objective of a student of these parts, in class order.

    Raises:
        BinposeError: as `Teachers` and `DistillationObjective`.
    """
    place = torch.device(device)
    base, regression = student.preset.objective(parts, place), student.preset.regression(parts, place)
    return DistillationObjective(base, regression, Teachers(estimators, student), student, config, unlabelled)


def _separated(estimator: PoseEstimator) -> list[PoseEstimator]:
    """One estimator for each network of a model."""
    network, config = estimator.network, estimator.config
    if not isinstance(network, SeparateNetworks):
        return [estimator]
    return [
        PoseEstimator(own, replace(config, objects=(name,)), estimator.objects, str(estimator.device))
        for name, own in zip(config.objects, network.separated(), strict=True)
    ]


def _first_knowing(name: str, estimators: Sequence[PoseEstimator]) -> int:
    return next((number for number, one in enumerate(estimators) if name in one.config.objects), -1)


def _check_content(teacher: EstimatorConfig, student: EstimatorConfig) -> None:
    """Refuse a teacher that cannot see the student's crops."""
    given, wanted = student.preset.content, teacher.preset.content
    missing = [name for name in wanted.names if name not in given.names]
    if missing or (given.size_px, given.diameters) != (wanted.size_px, wanted.diameters):
        raise BinposeError(
            f"The teacher sees {', '.join(wanted.names)} in crops of {wanted.size_px} pixels and {wanted.diameters:g} "
            f"diameters, the student {', '.join(given.names)} in {given.size_px} pixels and {given.diameters:g}; "
            "expected crops that carry all that the teacher sees; choose a teacher of another preset."
        )


class _Outputs(NamedTuple):
    """features: shape (C, h, w) of a layer's features, empty without a layer. hypotheses: how many are regressed."""

    features: tuple[int, ...]
    hypotheses: int


def _probe(
    network: nn.Module, config: EstimatorConfig, regression: Regression, subject: str, layers: Sequence[str]
) -> _Outputs:
    """What a network gives whose prediction must be of the right kind."""
    inputs = example_inputs(network, config.preset.content)  # type: ignore[arg-type]
    place = next(network.parameters()).device
    with torch.no_grad(), tapped(network, layers) as features:
        prediction = network(*(value.to(place) for value in inputs.values()))
    regression.check(prediction, subject)
    found = [features[name] for name in layers]
    if any(not isinstance(value, torch.Tensor) or value.ndim != 4 for value in found):
        raise BinposeError(
            f"The layer {layers[0]!r} of the {subject} gives no features (B, C, h, w); expected those of a "
            "convolution; name another layer in the settings of the distillation."
        )
    return _Outputs(tuple(found[0].shape[1:]) if found else (), regression.points(prediction).shape[1])


def _check_pairs(regression: Regression, teacher: int, student: int) -> None:
    """Refuse hypotheses that cannot be compared one by one."""
    if regression.paired and teacher != student:
        raise BinposeError(
            f"The teacher predicts {teacher} poses per crop, the student {student}; expected the same number, as they "
            "are compared one by one; train the student with the teacher's points and refinements."
        )


def _adapter(teacher: tuple[int, ...], student: tuple[int, ...]) -> nn.Module:
    """The 1 x 1 convolution of eq. 6, from the teacher's channels to the student's."""
    if teacher[1:] != student[1:]:
        raise BinposeError(
            f"The teacher's features have {teacher[1]} x {teacher[2]} pixels, the student's {student[1]} x "
            f"{student[2]}; expected the same; name other layers in the settings of the distillation, or hint=0."
        )
    return nn.Conv2d(teacher[0], student[0], 1)
