from dataclasses import replace

import numpy as np
import pytest
import torch

from binpose_core.geometry.transforms import exp_so3, from_rotation_translation, inverse, random_rotation, transform
from binpose_estimator.head import PosePrediction
from binpose_estimator.losses import PartTables, PoseTargets, part_tables, pose_loss

STEP_RAD = np.pi / 12
LEAST_POSE_LOSS = 3e-3  # the root is rounded off at 0


@pytest.fixture(scope="module")
def parts(objects):
    return list(objects.values())


@pytest.fixture(scope="module")
def tables(parts) -> PartTables:
    return part_tables(parts, STEP_RAD)


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array, np.float32))


class Example:
    """One crop of a part in a known pose, with points on its surface, and what a network may say about it."""

    def __init__(self, parts, number: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.part, self.number = parts[number], number
        self.T_crop_obj = from_rotation_translation(random_rotation(rng), rng.normal(0, 0.01, 3))
        self.points = self.part.points[rng.integers(len(self.part.points), size=256)].astype(np.float64)
        self.covered = rng.random((16, 16)) < 0.6

    def read(self, T_crop_obj: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rotation, centre, and object coordinates (3, 16, 16) of the points under another pose, in diameters."""
        center = transform(T_crop_obj, self.part.center_m[None])[0]
        labels = transform(inverse(T_crop_obj) @ self.T_crop_obj, self.points) - self.part.center_m
        diameter = self.part.diameter_m
        return T_crop_obj[:3, :3], center / diameter, labels.T.reshape(3, 16, 16) / diameter

    def targets(self) -> PoseTargets:
        rotation, center, points = self.read(self.T_crop_obj)
        number = torch.tensor([self.number])
        return PoseTargets(
            number,
            *(tensor(a[None]) for a in (rotation, center, points)),
            torch.tensor(self.covered[None]),
            torch.tensor([True]),
            torch.ones(1),
        )

    def prediction(self, poses: list[np.ndarray]) -> PosePrediction:
        """As if a network said these poses, all with the same confidence, and the first one's coordinates."""
        rotation, center, points = zip(*(self.read(T) for T in poses), strict=True)
        return PosePrediction(
            tensor(np.array(rotation))[None],
            tensor(np.array(center))[None],
            torch.zeros(1, len(poses)),
            tensor(points[0])[None],
            torch.zeros(1, 16, 16),
            torch.zeros(1),
        )

    def loss(self, tables: PartTables, *poses: np.ndarray) -> dict[str, float]:
        losses = pose_loss(self.prediction(list(poses)), self.targets(), tables)
        return {name: value.item() for name, value in losses.items()}


def test_wrong_crops_teach_the_match_alone(parts, tables) -> None:
    """What is said about the pose of a crop that shows another part costs nothing."""
    examples = [Example(parts, n, seed=n) for n in (0, 1)]
    predictions = [e.prediction([e.T_crop_obj]) for e in examples]
    both = PosePrediction(*(torch.cat(f) for f in zip(*(vars(p).values() for p in predictions), strict=True)))
    targets = PoseTargets(*(torch.cat(f) for f in zip(*(vars(e.targets()).values() for e in examples), strict=True)))
    targets = replace(targets, matches=torch.tensor([True, False]))
    nonsense = replace(both, center=both.center + torch.tensor([0.0, 5.0])[:, None, None])
    costs = [pose_loss(p, targets, tables) for p in (both, nonsense)]
    assert costs[0]["pose"] == costs[1]["pose"] < 2 * LEAST_POSE_LOSS
    said = [
        pose_loss(replace(both, match=torch.tensor([4.0, s])), targets, tables)["match"].item() for s in (-4.0, 4.0)
    ]
    assert said[0] < 0.02 and said[1] > 0.5


@pytest.mark.parametrize("number", range(3))
def test_the_true_pose_and_all_equivalent_ones_cost_nothing(parts, tables, number: int) -> None:
    """Also where the axis of a symmetry misses the part's centre, which a turn then moves."""
    example = Example(parts, number, seed=number)
    group = parts[number].symmetries.transforms(STEP_RAD, include_near=True)
    assert len(group) == (3, 24, 1)[number]
    for T_obj_obj in group:
        losses = example.loss(tables, example.T_crop_obj @ T_obj_obj)
        assert losses["pose"] == pytest.approx(LEAST_POSE_LOSS, abs=2e-4)
        assert losses["coordinates"] == pytest.approx(0, abs=1e-4)


def test_the_shift_of_a_symmetry_is_needed(parts, tables) -> None:
    """The block's stated turns about a point beside its centre move the centre; without that they are errors."""
    example = Example(parts, 0, seed=5)
    turn = parts[0].symmetries.discrete[1].copy()
    shift = np.linalg.norm(turn[:3, :3] @ parts[0].center_m + turn[:3, 3] - parts[0].center_m)
    assert shift == pytest.approx(0.003 * np.sqrt(3))
    about_center = from_rotation_translation(turn[:3, :3], parts[0].center_m - turn[:3, :3] @ parts[0].center_m)
    assert example.loss(tables, example.T_crop_obj @ about_center)["pose"] > 0.05


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("kind", ["turn", "move"])
def test_errors_cost_the_more_the_larger_they_are(parts, tables, number: int, kind: str) -> None:
    example = Example(parts, number, seed=number)
    direction = np.array([0.9, 0.3, 0.0]) / np.linalg.norm([0.9, 0.3, 0.0])  # no axis of a symmetry
    costs = []
    for error in (0.0, 0.05, 0.15, 0.4):
        wrong = np.eye(4)
        if kind == "turn":
            center = parts[number].center_m
            wrong[:3, :3] = exp_so3(error * direction)
            wrong[:3, 3] = center - wrong[:3, :3] @ center
        else:
            wrong[:3, 3] = 0.1 * error * direction
        costs.append(example.loss(tables, example.T_crop_obj @ wrong)["pose"])
    assert (np.diff(costs) > 0.01).all()


@pytest.mark.parametrize("number", range(3))
def test_a_turn_costs_the_distance_it_moves_the_surface(parts, tables, number: int) -> None:
    """||(R - R') spread||_F is the root mean square distance of surface points, in diameters."""
    part = parts[number]
    rng = np.random.default_rng(0)
    points = (part.points - part.center_m) / part.diameter_m
    for a, b in zip(random_rotation(rng, (5,)), random_rotation(rng, (5,)), strict=True):
        rms = np.sqrt(np.square(points @ (a - b).T).sum(1).mean())
        assert np.linalg.norm((a - b) @ tables.spread[number].numpy()) == pytest.approx(rms, rel=0.02)


def test_only_the_best_hypothesis_counts_much_and_confidence_names_it(parts, tables) -> None:
    example = Example(parts, 2, seed=3)
    wrong = [
        example.T_crop_obj @ from_rotation_translation(exp_so3(np.array(v)), np.zeros(3))
        for v in ([2, 0, 0], [0, 2, 0])
    ]
    prediction = example.prediction([wrong[0], example.T_crop_obj, wrong[1]])
    targets = example.targets()
    right = pose_loss(prediction, targets, tables)["pose"].item()
    without = example.loss(tables, *wrong)["pose"]
    assert right < 0.1 * without
    confident = []
    for k in range(3):
        logits = torch.zeros(1, 3)
        logits[0, k] = 8.0
        confident.append(pose_loss(replace(prediction, confidence=logits), targets, tables)["confidence"].item())
    assert int(np.argmin(confident)) == 1 and min(confident) < 1e-3


def test_coordinates_take_the_labelling_that_fits_best(parts, tables) -> None:
    """A mixture of two equivalent labellings is an error, each alone is none."""
    example = Example(parts, 0, seed=1)
    targets = example.targets()
    turned = example.T_crop_obj @ parts[0].symmetries.discrete[1]
    one, other = (example.prediction([T]).coordinates for T in (example.T_crop_obj, turned))
    mixed = torch.where(torch.arange(16) < 8, one, other)
    prediction = example.prediction([example.T_crop_obj])
    costs = [
        pose_loss(replace(prediction, coordinates=c), targets, tables)["coordinates"].item()
        for c in (one, other, mixed)
    ]
    assert costs[0] == pytest.approx(0, abs=1e-4) == costs[1] and costs[2] > 0.01


def test_coordinates_count_only_where_they_are_known(parts, tables) -> None:
    example = Example(parts, 2, seed=1)
    prediction, targets = example.prediction([example.T_crop_obj]), example.targets()
    noise = torch.randn(1, 3, 16, 16) * ~targets.covered[:, None]
    disturbed = replace(prediction, coordinates=prediction.coordinates + noise)
    one, other = (pose_loss(p, targets, tables)["coordinates"] for p in (prediction, disturbed))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", ["random", "perfect", "nothing covered"])
def test_gradients_are_finite(parts, tables, kind: str) -> None:
    examples = [Example(parts, number, seed=number) for number in range(3)]
    targets = PoseTargets(*(torch.cat(f) for f in zip(*(vars(e.targets()).values() for e in examples), strict=True)))
    perfect = [e.prediction([e.T_crop_obj, e.T_crop_obj]) for e in examples]
    fields = [torch.cat(f) for f in zip(*(vars(p).values() for p in perfect), strict=True)]
    if kind == "random":
        fields = [torch.randn(f.shape, generator=torch.Generator().manual_seed(0)) for f in fields]
    if kind == "nothing covered":
        targets = replace(targets, covered=torch.zeros_like(targets.covered))
    fields = [f.clone().requires_grad_() for f in fields]
    total = sum(pose_loss(PosePrediction(*fields), targets, tables).values())
    total.backward()
    assert torch.isfinite(total)
    for field in fields[:3]:
        assert torch.isfinite(field.grad).all()
    assert all(f.grad is None or torch.isfinite(f.grad).all() for f in fields[3:])


def test_examples_do_not_disturb_each_other(parts, tables) -> None:
    """The loss of a batch is the mean of its examples', whatever the sizes of their symmetry groups."""
    examples = [Example(parts, number, seed=number) for number in range(3)]
    wrong = from_rotation_translation(exp_so3(np.array([0.3, 0.2, 0.1])), np.array([0.002, 0, 0]))
    predictions = [e.prediction([e.T_crop_obj @ wrong]) for e in examples]
    targets = PoseTargets(*(torch.cat(f) for f in zip(*(vars(e.targets()).values() for e in examples), strict=True)))
    together = PosePrediction(*(torch.cat(f) for f in zip(*(vars(p).values() for p in predictions), strict=True)))
    alone = [pose_loss(p, e.targets(), tables)["pose"].item() for p, e in zip(predictions, examples, strict=True)]
    assert pose_loss(together, targets, tables)["pose"].item() == pytest.approx(np.mean(alone), rel=1e-4)
