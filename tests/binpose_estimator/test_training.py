from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from binpose_core.base.errors import BinposeError
from binpose_core.learning.hooks import StepReport
from binpose_core.learning.loop_config import LoopConfig
from binpose_core.meshes.mesh import surface_samples
from binpose_estimator import (
    Bb8Preset,
    CodebookPreset,
    DefaultPreset,
    EstimatorConfig,
    PoseEstimator,
    PoseTrainingConfig,
    SharedRegressionPreset,
    build_network,
    train_estimator,
)
from binpose_estimator.conditioning import CONDITIONINGS
from binpose_estimator.crop_content import CROP_PX
from binpose_estimator.crop_pool import CropPool, crop_pool
from binpose_estimator.crops import QUARTER_TURN, network_input
from binpose_estimator.objective import Objective
from binpose_estimator.training import _damaged, sample_batch

NAMES = ("block", "rod", "bracket")
ESTIMATOR = EstimatorConfig(NAMES, gsd_m=1e-3, preset=DefaultPreset((8, 8, 8), hypotheses=2))


def training(steps: int = 1, **changes: object) -> PoseTrainingConfig:
    loop = LoopConfig(steps=steps, low_precision=False, learning_rate=3e-3)
    return PoseTrainingConfig(**{"loop": loop, "batch_size": 8, "variants": 2, "wrong_share": 0.0, **changes})


@pytest.fixture(scope="module")
def pool(views, objects) -> CropPool:
    return crop_pool(views, objects, ESTIMATOR, training(), seed=0)


@pytest.fixture(scope="module")
def surfaces(objects) -> dict[int, cKDTree]:
    """Dense samples of each part's surface about its centre, in diameters."""
    rng = np.random.default_rng(0)
    return {
        c: cKDTree((surface_samples(objects[n].mesh, 20000, rng)[0] - objects[n].center_m) / objects[n].diameter_m)
        for c, n in enumerate(NAMES)
    }


def distances_m(points: torch.Tensor, covered: torch.Tensor, classes: torch.Tensor, surfaces, objects) -> np.ndarray:
    """Distances in metres of object coordinates (B, 3, h, w) from the surfaces of their parts."""
    found = []
    for p, where, c in zip(points, covered, classes.tolist(), strict=True):
        assert where.any()
        found.append(surfaces[c].query(p[:, where].T.numpy())[0] * objects[NAMES[c]].diameter_m)
    return np.concatenate(found)


def test_the_truth_puts_the_observed_points_onto_the_part(pool, surfaces, objects) -> None:
    """In every variant, with its own centre, roll and resolution, and however the batch is turned."""
    for seed in range(8):
        _, targets = sample_batch(pool, training(), np.random.default_rng(seed))
        distance_m = distances_m(targets.points, targets.covered, targets.classes, surfaces, objects)
        assert distance_m.mean() < 0.6e-3 and np.quantile(distance_m, 0.9) < 1.5e-3


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_a_turned_crop_with_a_turned_truth_is_true(pool, surfaces, objects, quarter_turns: int) -> None:
    x, turn = network_input(pool.crops.turned(quarter_turns)).x, torch.eye(3)
    for _ in range(quarter_turns):
        turn = torch.from_numpy(QUARTER_TURN) @ turn
    mask, rotation = x[:, 4] > 0, turn @ torch.from_numpy(pool.rotation)
    center = torch.from_numpy(pool.center) @ turn.T
    points = torch.einsum("bji,bjhw->bihw", rotation, x[:, :3] - center[..., None, None])
    covered = (x[:, 3] > 0) & mask & (points.norm(dim=1) < 0.6)
    classes = torch.from_numpy(pool.classes)
    assert distances_m(points, covered, classes, surfaces, objects).mean() < 0.6e-3
    # The normals turn too: those of block and bracket are square to the part's axes.
    normals = torch.einsum("bji,bjhw->bihw", rotation, x[:, 6:])
    square = covered & (x[:, 6:].norm(dim=1) > 0.9) & (classes != 1)[:, None, None]
    assert normals.abs().max(1).values[square].median() > 0.98


def test_quarter_turns_add_up(pool) -> None:
    for turns, once in ((4, pool.crops), (3, pool.crops.turned(1).turned(2))):
        turned = pool.crops.turned(turns)
        np.testing.assert_array_equal(network_input(turned).x, network_input(once).x)
        np.testing.assert_allclose(turned.R_cam_crop, once.R_cam_crop, atol=1e-9)
    np.testing.assert_allclose(pool.crops.turned(1).R_cam_crop @ QUARTER_TURN, pool.crops.R_cam_crop, atol=1e-9)


def test_all_visible_parts_enter_the_pool(views, objects, pool) -> None:
    assert len(pool.crops) == len(pool.classes) == len(views) * 5 * 2
    hidden = [replace(view, visible_fraction=np.array([0.05, 1, 1, 1, 1])) for view in views]
    assert len(crop_pool(hidden, objects, ESTIMATOR, training(), seed=0).crops) == len(views) * 4 * 2
    rods = EstimatorConfig(("rod",), gsd_m=1e-3)
    assert set(crop_pool(views, objects, rods, training(), seed=0).classes) == {0}
    assert len(crop_pool(views, objects, rods, training(), seed=0).classes) == len(views) * 2


def test_centres_are_off_as_those_of_detections(views, objects) -> None:
    wide = crop_pool(views * 20, objects, ESTIMATOR, training(center_jitter=(0.0, 0.08)), seed=0).center
    # Half of Student's t with four degrees of freedom lies within 0.741; the crops look along their line of sight.
    assert np.median(np.abs(wide[:, 2])) == pytest.approx(0.741 * 0.08, rel=0.15)
    assert np.abs(wide[:, :2]).max() < 0.5 * np.abs(wide[:, 2]).max()
    exact = crop_pool(views, objects, ESTIMATOR, training(center_jitter=(0.0, 0.0)), seed=0).center
    np.testing.assert_allclose(exact, 0, atol=1e-6)


def test_without_visible_parts_there_is_nothing_to_learn(views, objects) -> None:
    hidden = [replace(view, visible_fraction=np.zeros(5)) for view in views]
    with pytest.raises(BinposeError, match="None of 3 views shows enough of block, rod, bracket"):
        crop_pool(hidden, objects, ESTIMATOR, training(), seed=0)


def test_batches_have_every_part_equally_often(pool) -> None:
    assert len(set(np.bincount(pool.classes))) > 1
    drawn = np.concatenate(
        [sample_batch(pool, training(batch_size=64), np.random.default_rng(s))[1].classes.numpy() for s in range(6)]
    )
    np.testing.assert_allclose(np.bincount(drawn) / len(drawn), 1 / 3, atol=0.08)


def test_wrong_crops_are_asked_for_other_parts_at_their_scale(views, objects) -> None:
    settings = training(wrong_share=1.0, center_jitter=(0.0, 0.0), damaged_masks=0.0, batch_size=64)
    mixed = crop_pool(views, objects, ESTIMATOR, settings, seed=0)
    assert mixed.matches.sum() == (~mixed.matches).sum() == len(views) * 5 * 2
    assert set(mixed.classes[~mixed.matches]) == {0, 1, 2}
    # A block seen through a rod's window: the distance is told in rods' diameters.
    diameters = np.array([objects[name].diameter_m for name in NAMES])
    distance_m = mixed.crops.distance * diameters[mixed.classes]
    order = np.argsort(distance_m)
    pairs = distance_m[order].reshape(-1, 4)  # each part is there twice and asked for wrongly twice
    np.testing.assert_allclose(pairs, pairs[:, :1].repeat(4, 1), rtol=1e-5)
    shares = [
        sample_batch(mixed, training(wrong_share=0.3, batch_size=64), np.random.default_rng(s))[1] for s in range(6)
    ]
    assert np.mean([1 - t.matches.float().mean() for t in shares]) == pytest.approx(0.3, abs=0.06)


def test_a_part_alone_is_never_taken_for_another(views, objects) -> None:
    rods = EstimatorConfig(("rod",), gsd_m=1e-3)
    assert crop_pool(views, objects, rods, training(wrong_share=1.0), seed=0).matches.all()


def test_damaged_masks_are_those_of_a_detector(pool) -> None:
    """Binary, never empty, mostly the part, and each damage happens."""
    masks = network_input(pool.crops)["mask"][:, 0].numpy() > 0
    rng = np.random.default_rng(0)
    overlaps, grown, shrunk = [], 0, 0
    for _ in range(10):
        damaged = _damaged(masks, 1.0, rng)
        assert damaged.dtype == np.float32 and set(np.unique(damaged)) == {0.0, 1.0}
        assert damaged.any((1, 2)).all()
        both, either = (masks & (damaged > 0)).sum((1, 2)), (masks | (damaged > 0)).sum((1, 2))
        overlaps.extend(both / either)
        grown += int((damaged.sum((1, 2)) > masks.sum((1, 2))).sum())
        shrunk += int((damaged.sum((1, 2)) < masks.sum((1, 2))).sum())
    assert np.median(overlaps) > 0.75 and np.quantile(overlaps, 0.05) > 0.3
    assert min(grown, shrunk) > 0.15 * len(overlaps)
    np.testing.assert_array_equal(_damaged(masks, 0.0, rng), masks.astype(np.float32))


def test_a_mask_is_not_damaged_away() -> None:
    small = np.zeros((40, CROP_PX, CROP_PX), bool)
    small[:, 2:4, 2:4] = True
    assert _damaged(small, 1.0, np.random.default_rng(0)).any((1, 2)).all()


def interrupted(after: int) -> list[StepReport]:
    steps = iter(range(1, after + 1))

    def on_step(fraction: float, losses: dict[str, float]) -> None:
        if next(steps) == after:
            raise KeyboardInterrupt

    return [StepReport(on_step)]


def test_training_runs_resumes_and_yields_an_estimator(views, objects, tmp_path: Path) -> None:
    whole = train_estimator(views, objects, ESTIMATOR, training(3), seed=1)
    path = tmp_path / "pose.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train_estimator(views, objects, ESTIMATOR, training(3), 1, path, interrupted(2))
    spent: list[float] = []
    report = StepReport(lambda fraction, _: spent.append(fraction))
    resumed = train_estimator(views, objects, ESTIMATOR, training(3), 1, path, [report])
    assert spent == [1.0]
    again = train_estimator([], objects, ESTIMATOR, training(3), 1, path)
    for name, value in resumed.to_tensors()[0].items():
        np.testing.assert_array_equal(again.to_tensors()[0][name], value, "a training that is done needs no views")
    for name, value in whole.to_tensors()[0].items():
        np.testing.assert_allclose(resumed.to_tensors()[0][name], value, rtol=1e-3, atol=1e-5, err_msg=name)
    stored = PoseEstimator.from_tensors(*resumed.to_tensors(), objects)
    assert stored(views[0].frame, []) == []


def test_a_batch_can_be_learnt(pool, objects) -> None:
    torch.manual_seed(0)
    network = build_network(ESTIMATOR)
    objective = Objective(ESTIMATOR.preset.loss([objects[name] for name in NAMES], torch.device("cpu")))
    batch = sample_batch(pool, training(damaged_masks=0.0), np.random.default_rng(0))
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    told: list[dict[str, float]] = []
    for _ in range(16):
        losses = objective(network, batch)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        told.append({name: value.item() for name, value in losses.items()})
    assert told[-1]["pose"] < 0.6 * told[0]["pose"]
    assert told[-1]["coordinates"] < told[0]["coordinates"] - 0.02


def start_for(objects, preset, names: tuple[str, ...]) -> PoseEstimator:
    """An untrained estimator whose batch statistics are those of no batch."""
    torch.manual_seed(1)
    config = EstimatorConfig(names, gsd_m=1e-3, preset=preset)
    network = build_network(config)
    for name, value in network.state_dict().items():
        if "running_mean" in name:
            value.normal_()
    return PoseEstimator(network, config, objects)


@pytest.mark.parametrize("conditioning", CONDITIONINGS)
def test_a_new_part_leaves_the_poses_of_the_others_as_they_are(views, objects, conditioning: str) -> None:
    """To the bit, however the network is conditioned; and the new part's poses are learnt."""
    config = replace(ESTIMATOR, preset=replace(ESTIMATOR.preset, conditioning=conditioning))
    start = start_for(objects, config.preset, NAMES[:2])
    settings = training(2, variants=1, wrong_share=0.2)
    after = train_estimator(views[:1], objects, config, settings, 0, start=start, only_new_rows=True)
    x = torch.randn(4, config.preset.content.channels, CROP_PX, CROP_PX)
    old = ["block", "rod", "rod", "block"]
    for name, value in vars(start.predict(x, old)).items():
        assert torch.equal(getattr(after.predict(x, old), name), value), name
    known, new = (estimator.network.part_rows(estimator.config.objects) for estimator in (start, after))
    state = after.network.state_dict()
    assert known.keys() == new.keys()
    mean = {name: value.float().mean(0) for name, value in start.network.state_dict().items() if name in known}
    weights = [name for name, _ in after.network.named_parameters() if name in new and state[name].numel()]
    assert any(not torch.allclose(state[name][2], mean[name]) for name in weights), "it begins as the mean"


def test_what_cannot_be_added_alone_is_refused(views, objects) -> None:
    start = start_for(objects, ESTIMATOR.preset, NAMES)
    with pytest.raises(BinposeError, match="from a model of no part; expected a model with the same settings, and"):
        train_estimator(views[:1], objects, ESTIMATOR, training(), 0, only_new_rows=True)
    with pytest.raises(BinposeError, match="from a model of block, rod, bracket; expected"):
        train_estimator(views[:1], objects, ESTIMATOR, training(), 0, start=start, only_new_rows=True)
    preset = CodebookPreset((4, 4, 4, 4), views=4, turns=2, hypotheses=1)
    config, start = replace(ESTIMATOR, preset=preset), start_for(objects, preset, NAMES[:2])
    with pytest.raises(BinposeError, match="'codebook' has no weights that belong to one part; expected one with a"):
        train_estimator(views[:1], objects, config, training(), 0, start=start, only_new_rows=True)


@pytest.mark.parametrize("preset", [Bb8Preset((4, 4, 4)), SharedRegressionPreset((4, 4, 4, 4))])
def test_presets_are_trained_from_views_without_depth(views, objects, preset) -> None:
    dark = [replace(view, frame=replace(view.frame, depth_m=None)) for view in views[:1]]
    config = EstimatorConfig(NAMES, gsd_m=1e-3, preset=preset)
    told: list[dict[str, float]] = []
    report = StepReport(lambda fraction, losses: told.append(losses))
    train_estimator(dark, objects, config, training(2, wrong_share=0.3), 0, hooks=[report])
    assert len(told) == 2 and all(np.isfinite(value) for losses in told for value in losses.values())


@pytest.mark.parametrize("changes", [{"batch_size": 1}, {"variants": 0}])
def test_nonsense_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(BinposeError, match="must be"):
        PoseTrainingConfig(**changes)
