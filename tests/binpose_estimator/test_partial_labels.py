"""What is not known is neither an example nor a mistake: partial labels in the training of the pose network."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from binpose_core.base.errors import BinposeError
from binpose_core.frames.labels import hide_instances
from binpose_core.frames.types import UNKNOWN, Detection, LabelledView
from binpose_core.learning.training_loop import LoopConfig
from binpose_estimator import DefaultPreset, EstimatorConfig, PoseTrainingConfig
from binpose_estimator.crop_pool import SHOWN_SHARE, CropPool, crop_pool
from binpose_estimator.crops import TRUTH
from binpose_estimator.head import PosePrediction
from binpose_estimator.losses import (
    MATCH_WEIGHT,
    PartTables,
    PoseTargets,
    part_tables,
    pose_loss,
)
from binpose_estimator.training import sample_batch

NAMES = ("block", "rod", "bracket")
ESTIMATOR = EstimatorConfig(NAMES, gsd_m=1e-3, preset=DefaultPreset((8, 8, 8), hypotheses=2))
LOSSES = ["pose", "confidence", "match", "coordinates"]
BATCH, HYPOTHESES = 24, 4
FIELDS = ("rotation", "center", "confidence", "coordinates", "coordinate_scale", "match")


def training(**changes: object) -> PoseTrainingConfig:
    return PoseTrainingConfig(**{"loop": LoopConfig(steps=1), "batch_size": 32, "gsd_jitter": (1.0, 1.0), **changes})


def pool_of(view: LabelledView, objects, detections: list[Detection] | None = None, **changes: object) -> CropPool:
    settings = training(detected_share=float(detections is not None), **changes)
    detect = None if detections is None else lambda _: detections
    return crop_pool([view], objects, ESTIMATOR, settings, seed=0, detect=detect)


def detection(view: LabelledView, mask: np.ndarray, name: str) -> Detection:
    rows, columns = np.nonzero(mask)
    y0, y1, x0, x1 = int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1
    depth_m = float(view.frame.depth_m[mask].mean())
    return Detection(name, 0.9, (x0, y0, x1, y1), mask[y0:y1, x0:x1], ((x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2), depth_m)


def detections_of(view: LabelledView, names: tuple[str, ...]) -> list[Detection]:
    """One for each instance, called by these names."""
    return [detection(view, view.instance_ids == i, name) for i, name in enumerate(names)]


# --- crops ------------------------------------------------------------------------------------------------------------


def test_crops_are_of_known_parts_alone_and_have_their_weights(views, objects) -> None:
    weight = np.array([1.0, 0.5, 0.0, 1.0, 0.25])
    poses = views[0].T_cam_obj.copy()
    poses[3] = np.nan
    pool = pool_of(replace(views[0], weight=weight, T_cam_obj=poses), objects, variants=1, wrong_share=1.0)
    assert sorted(pool.weight[pool.matches].tolist()) == sorted(pool.weight[~pool.matches].tolist()) == [0.25, 0.5, 1.0]
    hidden = hide_instances(views[0], np.array([True, True, False, False, True]))
    assert len(pool_of(hidden, objects, variants=1, wrong_share=0.0).classes) == 3
    assert np.isfinite(pool.rotation).all() and np.isfinite(pool.center).all()
    with pytest.raises(BinposeError, match="None of 1 views shows enough"):
        pool_of(hide_instances(views[0], np.zeros(5, bool)), objects)


def test_a_detection_on_unknown_pixels_is_no_mistake(views, objects) -> None:
    """Those of another class on known parts are, and so are those on the known background."""
    view = hide_instances(views[0], np.array([True, False, False, True, True]))
    background = np.zeros(view.instance_ids.shape, bool)
    background[:12, :12] = True
    found = detections_of(views[0], ("block", "block", "rod", "rod", "rod"))
    pool = pool_of(view, objects, [*found, detection(view, background, "rod")])
    assert pool.matches.tolist() == [True, False, False, False]
    assert pool.classes.tolist() == [0, 1, 1, 1]
    without_background = hide_instances(view, view.pose_known, keep_background=False)
    assert pool_of(without_background, objects, [*found, detection(view, background, "rod")]).matches.tolist() == [
        True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize("fraction", [0.2, 0.45, 0.7])
def test_the_verdict_on_a_detection_is_that_of_the_full_labels_or_none(views, objects, fraction: float) -> None:
    """Whatever is under the unknown pixels: a part of any class, or nothing."""
    view = views[0]
    own = view.instance_ids == 0
    rows = np.nonzero(own)[0]
    covered = own & (np.arange(own.shape[0])[:, None] < np.quantile(rows, fraction))
    unknown = replace(view, instance_ids=np.where(covered, UNKNOWN, view.instance_ids))
    for name in NAMES:
        asked = [detection(view, own, name), *detections_of(view, view.object_ids)[1:]]
        got = pool_of(unknown, objects, asked)
        assert (len(got.matches) == 5) == (covered.sum() < max(SHOWN_SHARE * own.sum(), (own & ~covered).sum()))
        for under in (-1, 2, 3, 4):
            full = pool_of(replace(view, instance_ids=np.where(covered, under, view.instance_ids)), objects, asked)
            if len(got.matches) == 5:
                assert got.matches.tolist() == full.matches.tolist()


def test_coordinates_are_not_learnt_at_unknown_pixels(views, objects) -> None:
    view = views[0]
    columns = np.arange(view.instance_ids.shape[1])
    covered = (view.instance_ids == 0) & (columns < np.nonzero(view.instance_ids == 0)[1].mean())
    partial = replace(view, instance_ids=np.where(covered, UNKNOWN, view.instance_ids))
    some, whole = (pool_of(v, objects, variants=1, wrong_share=0.0).crops.flags & TRUTH > 0 for v in (partial, view))
    np.testing.assert_array_equal(some[1:], whole[1:])
    assert some[0].any() and not (some[0] & ~whole[0]).any() and some[0].sum() < 0.7 * whole[0].sum()


@pytest.mark.parametrize("detected", [False, True])
def test_labels_of_unknown_parts_change_no_batch(views, objects, detected: bool) -> None:
    view, keep = views[0], np.array([False, True, True, False, True])
    poses = view.T_cam_obj.copy()
    poses[0, :3, 3] += 0.02
    other = replace(view, object_ids=("rod", *view.object_ids[1:3], "block", "block"), T_cam_obj=poses)
    found = detections_of(view, view.object_ids) if detected else None

    def batches(known: LabelledView) -> list[torch.Tensor]:
        drawn = [
            sample_batch(pool_of(v, objects, found), training(), np.random.default_rng(0))
            for v in (hide_instances(known, keep), replace(known, weight=keep.astype(float)))
        ]
        return [tensor for x, targets in drawn for tensor in (x.x, *vars(targets).values())]

    torch.testing.assert_close(batches(view), batches(other), rtol=0, atol=0)


# --- losses -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tables(objects) -> PartTables:
    return part_tables(list(objects.values()))


@pytest.fixture
def prediction() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = ((HYPOTHESES, 3, 3), (HYPOTHESES, 3), (HYPOTHESES,), (3, 16, 16), (16, 16), ())
    return {
        name: torch.randn((BATCH, *size), generator=generator, requires_grad=True)
        for name, size in zip(FIELDS, sizes, strict=True)
    }


@pytest.fixture
def targets() -> PoseTargets:
    generator = torch.Generator().manual_seed(1)
    return PoseTargets(
        torch.arange(BATCH) % len(NAMES),
        torch.randn((BATCH, 3, 3), generator=generator),
        0.1 * torch.randn((BATCH, 3), generator=generator),
        0.3 * torch.randn((BATCH, 3, 16, 16), generator=generator),
        torch.rand((BATCH, 16, 16), generator=generator) < 0.5,
        torch.rand(BATCH, generator=generator) < 0.7,
        torch.ones(BATCH),
    )


@pytest.fixture
def unknown() -> torch.Tensor:
    return torch.arange(BATCH) % 3 == 1


def losses(prediction, targets, tables) -> dict[str, torch.Tensor]:
    return pose_loss(PosePrediction(**prediction), targets, tables)


@pytest.mark.parametrize("name", LOSSES)
def test_no_loss_has_a_gradient_at_unknown_crops_and_cells(prediction, targets, tables, unknown, name: str) -> None:
    targets = replace(targets, weight=torch.where(unknown, 0.0, 1.0))
    loss = losses(prediction, targets, tables)[name]
    found = torch.autograd.grad(loss, list(prediction.values()), allow_unused=True)
    touched = [gradient for gradient in found if gradient is not None]
    assert any(gradient.any() for gradient in touched)
    assert not any(gradient[unknown].any() for gradient in touched)
    if name == "coordinates":
        coordinates, scale = found[3], found[4]
        assert not coordinates.permute(0, 2, 3, 1)[~targets.covered].any() and not scale[~targets.covered].any()


def test_labels_under_unknown_crops_change_no_loss(prediction, targets, tables, unknown) -> None:
    one = replace(targets, weight=torch.where(unknown, 0.0, 1.0))
    two = replace(
        one,
        classes=torch.where(unknown, (one.classes + 1) % len(NAMES), one.classes),
        center=torch.where(unknown[:, None], one.center + 1, one.center),
        matches=one.matches ^ unknown,
        covered=one.covered ^ unknown[:, None, None],
    )
    alone = {name: value[~unknown] for name, value in prediction.items()}
    expected = losses(alone, targets.take(~unknown), tables)
    for each in (one, two):
        assert all(torch.equal(value, expected[name]) for name, value in losses(prediction, each, tables).items())


@pytest.mark.parametrize("name", LOSSES)
def test_weights_scale_losses_linearly(prediction, targets, tables, unknown, name: str) -> None:
    def loss(weight: float, where: torch.Tensor) -> float:
        each = replace(targets, weight=torch.where(where, weight, 1.0))
        return losses(prediction, each, tables)[name].item()

    low, middle, high = (loss(w, unknown) for w in (0.25, 0.5, 1.0))
    assert middle - low == pytest.approx((high - low) / 3, rel=1e-3) and abs(high - low) > 1e-4
    everywhere = torch.ones_like(unknown)
    assert loss(0.3, everywhere) == pytest.approx(0.3 * loss(1.0, everywhere), rel=1e-5)


def test_known_crops_cost_what_they_did_without_weights(prediction, targets, tables) -> None:
    """Numbers of the losses before there were weights, and the formula of one of them to the last bit."""
    found = losses(prediction, targets, tables)
    before = {"pose": 7.2074904, "confidence": 0.1717758, "match": 0.3504403, "coordinates": 0.3705950}
    for name, value in before.items():
        assert found[name].item() == pytest.approx(value, rel=1e-5)
    match = functional.binary_cross_entropy_with_logits(prediction["match"], targets.matches.float())
    assert torch.equal(found["match"], MATCH_WEIGHT * match)
