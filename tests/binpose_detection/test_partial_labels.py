"""What is not known teaches nothing: partial labels in the training of the segmentation network."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from binpose_core.frames.labels import hide_instances
from binpose_core.frames.types import BACKGROUND, UNKNOWN, UNKNOWN_OBJECT, LabelledView
from binpose_core.learning.loop_config import LoopConfig
from binpose_detection import AugmentationConfig, SegmentationTrainingConfig, SegmenterConfig, train_segmenter
from binpose_detection.augmentation import paste_parts
from binpose_detection.losses import AFFINITY_WEIGHT, CLASS_WEIGHT, pairs_of_cells, segmentation_loss
from binpose_detection.network import STEPS, step_apart
from binpose_detection.segmenter import VoteSegmenter
from binpose_detection.training import BatchSampler, view_labels

from .conftest import known_view

NAMES = ("block", "rod")
SEGMENTER = SegmenterConfig(NAMES, gsd_m=1.5e-3, widths=(8, 8, 8, 8))
PLAIN = AugmentationConfig(paste=0, no_depth=0, no_color=0, mono=0, gsd_jitter=(1.0, 1.0), explained=0)
SHAPE = (2, 12, 16)
CLASSES = 3
LOSSES = ["class", "center", "depth", "affinity"]


def training(steps: int, **changes: object) -> SegmentationTrainingConfig:
    loop = LoopConfig(steps=steps, low_precision=False, learning_rate=1e-2, average_steps=20)
    return SegmentationTrainingConfig(
        **{"loop": loop, "augmentation": PLAIN, "views": 1, "crops": 4, "crop_px": 64, **changes}
    )


@pytest.fixture
def truth() -> dict[str, torch.Tensor]:
    """Cells in patches of 4 x 4 that share class and centre, so that pairs of both kinds are there."""
    generator = torch.Generator().manual_seed(0)

    def patches(values: torch.Tensor) -> torch.Tensor:
        return values.repeat_interleave(4, -2).repeat_interleave(4, -1)

    targets = torch.randn((SHAPE[0], 3, *SHAPE[1:]), generator=generator)
    return {
        "classes": patches(torch.randint(-1, CLASSES + 1, (SHAPE[0], 3, 4), generator=generator)),
        "targets": targets,
        "valid_depth": torch.rand(SHAPE, generator=generator) > 0.3,
        "weights": torch.ones((SHAPE[0], 2, *SHAPE[1:])),
    }


@pytest.fixture
def outputs() -> tuple[torch.Tensor, ...]:
    """Logits, centres and affinities of a network that knows nothing."""
    generator = torch.Generator().manual_seed(1)
    channels = (CLASSES + 1, 4, len(STEPS))
    return tuple(torch.randn((SHAPE[0], c, *SHAPE[1:]), generator=generator, requires_grad=True) for c in channels)


@pytest.fixture
def unknown() -> torch.Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(2)) < 0.3


def gradients(loss: torch.Tensor, outputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Of each output, zeros where the loss does not depend on it."""
    found = torch.autograd.grad(loss, outputs, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, outputs, strict=True)]


# --- (a) no gradient at unknown pixels --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("marked", ["class", "weight"])
def test_no_loss_has_a_gradient_at_unknown_cells(truth, outputs, unknown, name: str, marked: str) -> None:
    """The affinities of a pair belong to its first cell; nothing is taken from it if the second one is unknown."""
    if marked == "class":
        truth["classes"] = truth["classes"].masked_fill(unknown, -1)
    else:
        truth["weights"] = truth["weights"].masked_fill(unknown[:, None], 0.0)
    found = gradients(segmentation_loss(*outputs, **truth)[name], outputs)
    assert any(g.any() for g in found)
    for gradient in found:
        assert not gradient.permute(0, 2, 3, 1)[unknown].any()
    for channel, step in enumerate(STEPS):
        one, other = step_apart(unknown, *step)
        pairs, _ = step_apart(found[2][:, channel], *step)
        assert not pairs[one | other].any()


@pytest.mark.parametrize("name", LOSSES)
def test_a_known_class_with_an_unknown_centre_teaches_the_class_alone(truth, outputs, unknown, name: str) -> None:
    truth["weights"][:, 1].masked_fill_(unknown, 0.0)
    part = unknown & (truth["classes"] > 0)
    found = gradients(segmentation_loss(*outputs, **truth)[name], outputs)
    touched = any(g.permute(0, 2, 3, 1)[part].any() for g in found)
    assert touched == (name == "class")


# --- (b) what lies under unknown labels -------------------------------------------------------------------------------


def test_labels_under_unknown_cells_change_no_loss(truth, outputs, unknown) -> None:
    truth["weights"] = truth["weights"].masked_fill(unknown[:, None], 0.0)
    other = {
        **truth,
        "classes": torch.where(unknown, (truth["classes"] + 1) % (CLASSES + 1), truth["classes"]),
        "targets": torch.where(unknown[:, None], truth["targets"] + 3.0, truth["targets"]),
    }
    one, two = segmentation_loss(*outputs, **truth), segmentation_loss(*outputs, **other)
    assert all(torch.equal(one[name], two[name]) for name in LOSSES)


def relabelled(view: LabelledView, instance: int) -> LabelledView:
    """Another class and pose for one of the parts."""
    poses = view.T_cam_obj.copy()
    poses[instance, :3, 3] += [0.02, -0.01, 0.03]
    names = [{"block": "rod", "rod": "block"}[n] if i == instance else n for i, n in enumerate(view.object_ids)]
    return replace(view, object_ids=tuple(names), T_cam_obj=poses)


@pytest.mark.parametrize("augmented", [False, True])
@pytest.mark.parametrize("hide", ["hidden", "weightless"])
def test_labels_of_unknown_parts_change_no_batch(views, objects, hide: str, augmented: bool) -> None:
    """Neither are they pasted into other views."""
    keep = np.array([False, True, True, True, False, True])
    config = training(1, augmentation=AugmentationConfig(paste=1.0) if augmented else PLAIN)

    def batches(known: list[LabelledView]) -> list[tuple[torch.Tensor, ...]]:
        if hide == "hidden":
            known = [hide_instances(view, keep) for view in known]
        else:
            known = [replace(view, weight=keep.astype(float)) for view in known]
        sampler = BatchSampler(known, objects, SEGMENTER, config, seed=0)
        return [sampler(number) for number in range(3)]

    ours = batches(views)
    theirs = batches([relabelled(relabelled(view, 0), 4) for view in views])
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    assert any((classes == -1).any() for _, classes, *_ in ours)


# --- (c) weights ------------------------------------------------------------------------------------------------------


def test_a_weight_of_zero_is_the_same_as_unknown(truth, outputs, unknown) -> None:
    weightless = {**truth, "weights": truth["weights"].masked_fill(unknown[:, None], 0.0)}
    without = {**truth, "classes": truth["classes"].masked_fill(unknown, -1)}
    one, two = segmentation_loss(*outputs, **weightless), segmentation_loss(*outputs, **without)
    assert all(torch.equal(one[name], two[name]) for name in LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_weights_scale_losses_linearly(truth, outputs, unknown, name: str) -> None:
    """Of some cells: the loss lies on a line over their weight. Of all: it is proportional to the weight."""

    def loss(weight: float, where: torch.Tensor) -> float:
        weights = torch.where(where[:, None], weight, truth["weights"])
        return segmentation_loss(*outputs, **{**truth, "weights": weights})[name].item()

    low, middle, high = (loss(w, unknown) for w in (0.25, 0.5, 1.0))
    assert middle - low == pytest.approx((high - low) / 3, rel=1e-3) and abs(high - low) > 1e-3
    everywhere = torch.ones_like(unknown)
    assert loss(0.3, everywhere) == pytest.approx(0.3 * loss(1.0, everywhere), rel=1e-5)


def test_known_labels_cost_what_they_did_without_weights(truth, outputs) -> None:
    """The formula of the losses before there were weights, to the last bit."""
    logits, centers, affinities = outputs
    classes, targets = truth["classes"], truth["targets"]
    part = classes > 0

    def mean_over_classes(values: torch.Tensor, index: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        count = torch.bincount(index[where]).float()
        total = torch.zeros_like(count).index_add(0, index[where], values[where])
        weight = count.clamp(min=1.0).rsqrt()
        return (weight * total).sum() / (weight * count).sum()

    entropy = functional.cross_entropy(logits, classes, ignore_index=-1, reduction="none")
    focus = entropy * (1 - torch.exp(-entropy.detach()))
    rest = ((classes == 0).float() * focus).sum() / (classes == 0).float().sum()
    scale = centers[:, 3].clamp(-4, 3)
    likelihood = (centers[:, :2] - targets[:, :2]).abs().sum(1) * torch.exp(-scale) + 2 * scale
    pairs = torch.zeros(())
    for channel, step in enumerate(STEPS):
        known, same = pairs_of_cells(classes, targets, *step)
        channel_logits, _ = step_apart(affinities[:, channel], *step)
        cost = functional.binary_cross_entropy_with_logits(channel_logits, same.float(), reduction="none")
        pairs = pairs + mean_over_classes(cost, same.long(), known)
    before = {
        "class": CLASS_WEIGHT * (mean_over_classes(focus, classes, part) + rest),
        "center": mean_over_classes(likelihood, classes, part),
        "depth": mean_over_classes((centers[:, 2] - targets[:, 2]).abs(), classes, part & truth["valid_depth"]),
        "affinity": AFFINITY_WEIGHT * (pairs / len(STEPS)),
    }
    after = segmentation_loss(*outputs, **truth)
    for name, value in before.items():
        assert torch.equal(after[name], value), name
        for one, two in zip(gradients(value, outputs), gradients(after[name], outputs), strict=True):
            assert torch.equal(one, two), name


# --- labels of views --------------------------------------------------------------------------------------------------


def test_labels_say_what_is_known(views, objects) -> None:
    view = views[0]
    poses = view.T_cam_obj.copy()
    poses[1] = poses[2] = np.nan
    ids = view.instance_ids.copy()
    ids[:20] = UNKNOWN
    names = tuple(UNKNOWN_OBJECT if i == 2 else name for i, name in enumerate(view.object_ids))
    partial = replace(
        view, object_ids=names, T_cam_obj=poses, instance_ids=ids, weight=np.array([0.5, 0.25, 1, 1, 0, 1])
    )
    labels = view_labels(partial, objects, NAMES)
    expected = {0: (1, 0.5, 0.5), 1: (2, 0.25, 0), 2: (-1, 0, 0), 3: (2, 1, 1), 4: (-1, 0, 0), UNKNOWN: (-1, 0, 0)}
    for instance, (name, of_class, of_center) in (expected | {BACKGROUND: (0, 1, 1)}).items():
        own = ids == instance
        assert own.any() and (labels.class_ids[own] == name).all()
        assert (labels.weights[own] == [of_class, of_center]).all()
    assert np.isfinite(labels.center_px).all() and np.isfinite(labels.center_depth_m).all()


def test_a_pasted_part_is_known_where_it_covers_unknown_pixels(views, objects) -> None:
    """And no part is pasted of which the labels are not known."""
    target = hide_instances(views[0], np.array([True, False, False, False, False, False]), keep_background=False)
    source = hide_instances(views[1], np.array([True, True, False, True, False, False]))
    source = replace(source, weight=np.where(source.known_weight > 0, 0.5, 0))
    labels, other = (view_labels(view, objects, NAMES) for view in (target, source))
    pasted_any = False
    for seed in range(8):
        frame, after = paste_parts(target.frame, labels, source, other, np.random.default_rng(seed), max_pasted=3)
        changed = frame.depth_m != target.frame.depth_m
        pasted_any |= bool(changed.any())
        assert (after.weights[changed] == 0.5).all() and (after.class_ids[changed] > 0).all()
        kept = after.weights[..., 0] != 0.5
        np.testing.assert_array_equal(after.weights[kept], labels.weights[kept])
        np.testing.assert_array_equal(after.class_ids[kept], labels.class_ids[kept])
    assert pasted_any


# --- (d) a training ---------------------------------------------------------------------------------------------------


def found_parts(segmenter: VoteSegmenter, views: Sequence[LabelledView]) -> int:
    """Parts with a detection of their class that overlaps them by more than half."""
    found = 0
    for view in views:
        detections = [(d.object_id, d.full_mask(*view.instance_ids.shape)) for d in segmenter(view.frame)]
        for instance, name in enumerate(view.object_ids):
            own = view.instance_ids == instance
            overlaps = [(m & own).sum() / (m | own).sum() for object_id, m in detections if object_id == name]
            found += max(overlaps, default=0) > 0.5
    return found


def test_unknown_parts_harm_no_more_than_absent_ones(objects) -> None:
    """Half of the parts are unknown, or not there: as many are found in views that the network has not seen."""
    halves = [(0, 1, 4), (2, 3, 5)]
    unknown = [hide_instances(known_view(objects, s), np.isin(np.arange(6), halves[s % 2])) for s in range(8)]
    absent = [known_view(objects, s, present=halves[s % 2]) for s in range(8)]
    unseen = [known_view(objects, 100 + s) for s in range(6)]
    trained = [train_segmenter(known, objects, SEGMENTER, training(150), seed=0) for known in (unknown, absent)]
    with_unknown, with_absent = (found_parts(segmenter, unseen) for segmenter in trained)
    # Of 36. Threads add up gradients in any order, so that a training finds two or three parts more or fewer.
    assert with_unknown >= with_absent - 4 and with_unknown >= 28
