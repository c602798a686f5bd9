from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.frames.labels import hide_instances
from binpose_core.frames.types import BACKGROUND, UNKNOWN
from binpose_core.geometry.transforms import transform
from binpose_core.learning.hooks import StepReport
from binpose_core.learning.loop_config import LoopConfig
from binpose_detection import MaskRcnnConfig, MaskRcnnSegmenter, MaskRcnnTrainingConfig, train_mask_rcnn
from binpose_detection.augmentation import AugmentationConfig
from binpose_detection.mask_rcnn import build_mask_rcnn
from binpose_detection.mask_rcnn_training import (
    WindowSampler,
    centers_behind_m,
    window_target,
    with_drawn_weights,
    working_instances,
)
from binpose_detection.mask_rcnn_unknown import _ignoring, _MaskRegions, holds_any, unknown_cells, without_unknown
from binpose_detection.training import view_labels

NAMES = ("block", "rod")
SEGMENTER = MaskRcnnConfig(NAMES, gsd_m=4e-3, proposals=20, max_instances=6)
PLAIN = AugmentationConfig(paste=0, no_depth=0, no_color=0, mono=0, gsd_jitter=(1.0, 1.0), explained=0)


def training(steps: int, **changes: object) -> MaskRcnnTrainingConfig:
    loop = LoopConfig(steps=steps, low_precision=False, learning_rate=1e-3)
    return MaskRcnnTrainingConfig(**{"loop": loop, "views": 1, "crops": 1, "crop_px": 96, **changes})


@pytest.mark.parametrize("gsd_m", [0.75e-3, 0.94e-3, 1.5e-3])
def test_every_part_of_a_view_is_one_instance(views, objects, gsd_m: float) -> None:
    known = views[0]
    view = replace(SEGMENTER, gsd_m=gsd_m).view(known.frame)
    instances, classes = working_instances(view_labels(known, objects, NAMES), view)
    assert sorted(classes) == sorted(NAMES.index(name) + 1 for name in known.object_ids)
    columns, rows = view.frame_indices()
    inside = np.ix_(rows < known.instance_ids.shape[0], columns < known.instance_ids.shape[1])
    true = known.instance_ids[np.ix_(rows[rows < 380], columns[columns < 476])]
    for number in range(len(known.object_ids)):
        assert len(np.unique(instances[inside][true == number])) == 1
    np.testing.assert_array_equal(instances[inside] >= 0, true >= 0)
    assert (instances >= 0).sum() == (true >= 0).sum()  # none in the padding


def test_hardly_visible_parts_and_strangers_are_no_instances(views, objects) -> None:
    view = SEGMENTER.view(views[0].frame)
    hidden = replace(views[0], visible_fraction=np.array([0.01, 1, 1, 1, 1, 1]))
    assert len(working_instances(view_labels(hidden, objects, NAMES), view)[1]) == 5
    assert len(working_instances(view_labels(views[0], objects, ("block",)), view)[1]) == 4


def test_targets_are_boxes_around_their_masks() -> None:
    instances = np.full((40, 40), BACKGROUND)
    instances[3:13, 5:25], instances[20:30, 10:14], instances[0, :5] = 0, 2, 1
    target = window_target(instances, np.array([2, 1, 1]))
    assert target["boxes"].tolist() == [[5, 3, 25, 13], [10, 20, 14, 30]]
    assert target["labels"].tolist() == [2, 1] and target["masks"].sum((1, 2)).tolist() == [200, 40]
    empty = window_target(np.full((8, 8), BACKGROUND), np.zeros(0, np.int64))
    assert empty["boxes"].shape == (0, 4) and empty["masks"].shape == (0, 8, 8) and empty["labels"].dtype == torch.int64


def test_windows_show_what_their_targets_say(views, objects) -> None:
    """Blocks are red and rods blue, also when the window is turned, cut or padded."""
    config = MaskRcnnConfig(NAMES, gsd_m=0.94e-3)
    for side in (128, 512):
        sampler = WindowSampler(views, objects, config, training(1, augmentation=PLAIN, crop_px=side, crops=6), 0)
        images, targets = sampler(0)
        for image, target in zip(images, targets, strict=True):
            assert image.shape == (3, side, side) and len(target["boxes"]) > 0
            for mask, label in zip(target["masks"].bool(), target["labels"], strict=True):
                red, _, blue = image[:, mask].median(1).values
                assert (red > blue) == (label == 1)


def test_a_batch_depends_on_seed_and_number_alone(views, objects) -> None:
    one, other = (WindowSampler(views, objects, SEGMENTER, training(1), seed=3) for _ in range(2))
    one(0)
    torch.testing.assert_close(one(5), other(5), rtol=0, atol=0)
    different = WindowSampler(views, objects, SEGMENTER, training(1), seed=4)
    assert not torch.equal(one(5)[0][0], different(5)[0][0])


def test_parts_and_classes_are_shown_alike(views, objects) -> None:
    """Four blocks and two rods in each view, and as many windows around a rod as around a block."""
    config = MaskRcnnConfig(NAMES, gsd_m=0.94e-3)
    sampler = WindowSampler(views, objects, config, training(1, augmentation=PLAIN, crop_px=64, crops=40), 0)
    largest = [t["labels"][t["masks"].sum((1, 2)).argmax()] for n in range(4) for t in sampler(n)[1] if len(t["boxes"])]
    assert 0.3 < np.mean([label == 2 for label in largest]) < 0.7


def test_depth_of_the_centre_behind_the_surface_is_measured(views, objects) -> None:
    behind = centers_behind_m(views, objects, NAMES)
    errors: dict[str, list[float]] = {name: [] for name in NAMES}
    for known in views:
        for instance, (name, T) in enumerate(zip(known.object_ids, known.T_cam_obj, strict=True)):
            surface = known.frame.depth_m[known.instance_ids == instance]
            errors[name].append(transform(T, objects[name].center_m[None])[0, 2] - np.median(surface))
    for name, value in zip(NAMES, behind, strict=True):
        assert 0.005 < value < objects[name].diameter_m / 2
        assert min(errors[name]) <= value <= max(errors[name])
    assert centers_behind_m(views, objects, ("rod", "unseen")) == (behind[1], 0.0)


def test_nonsense_is_refused() -> None:
    with pytest.raises(BinposeError, match="no_color must be 0"):
        MaskRcnnTrainingConfig(augmentation=AugmentationConfig())
    with pytest.raises(BinposeError, match="crop_px must be"):
        training(1, crop_px=100)


# --- Partial labels ---------------------------------------------------------------------------------------------------


def test_unknown_parts_are_unknown_pixels_and_no_instances(views, objects) -> None:
    keep = np.array([True, False, True, True, True, True])
    hidden = hide_instances(views[0], keep)
    view = SEGMENTER.view(hidden.frame)
    instances, classes = working_instances(view_labels(hidden, objects, NAMES), view)
    full, _ = working_instances(view_labels(views[0], objects, NAMES), view)
    assert len(classes) == 5
    np.testing.assert_array_equal(instances == BACKGROUND, full == BACKGROUND)
    covered = instances == UNKNOWN
    assert covered.any() and len(np.unique(full[covered])) == 1
    target = window_target(instances, classes)
    np.testing.assert_array_equal(target["unknown"].numpy(), covered)
    assert not (target["masks"].bool() & target["unknown"]).any()


def test_windows_without_anything_known_are_left_out(views, objects) -> None:
    hidden = [hide_instances(view, np.arange(6) == 0, keep_background=False) for view in views]
    config = training(1, augmentation=PLAIN, crop_px=64, crops=6)
    sampler = WindowSampler(hidden, objects, replace(SEGMENTER, gsd_m=1.5e-3), config, 0)
    for number in range(4):
        _, targets = sampler(number)
        assert 0 < len(targets) <= 6 and all(len(target["boxes"]) == 1 for target in targets)
    nothing = [hide_instances(view, np.zeros(6, bool), keep_background=False) for view in views]
    with pytest.raises(BinposeError, match="None of 100 windows shows a known part of block, rod"):
        WindowSampler(nothing, objects, SEGMENTER, training(1, augmentation=PLAIN), 0)(0)


def test_a_part_is_known_as_often_as_its_weight_says(views, objects) -> None:
    weight = np.array([0.25, 1, 1, 0.75, 1, 1])
    labels = view_labels(replace(views[0], weight=weight), objects, NAMES)
    rng, known = np.random.default_rng(0), np.zeros(6)
    for _ in range(200):
        drawn = with_drawn_weights(labels, rng).weights.min(-1)
        for instance in range(6):
            values = np.unique(drawn[views[0].instance_ids == instance])
            assert values.tolist() in ([0.0], [1.0]), "a part is known as a whole"
            known[instance] += values[0]
    np.testing.assert_allclose(known / 200, weight, atol=0.1)
    full = view_labels(views[0], objects, NAMES)
    assert with_drawn_weights(full, rng) is full


def test_regions_that_hold_unknown_pixels_are_found(rng: np.random.Generator) -> None:
    unknown = torch.from_numpy(rng.random((30, 40)) < 0.005)
    corners = np.sort(rng.uniform(-5, 45, (60, 2, 2)), axis=1)
    boxes = torch.from_numpy(corners.reshape(60, 4)).float()
    expected = []
    for x0, y0, x1, y1 in boxes.tolist():
        rows = slice(max(0, int(np.floor(y0))), max(0, int(np.ceil(y1))))
        columns = slice(max(0, int(np.floor(x0))), max(0, int(np.ceil(x1))))
        expected.append(bool(unknown[rows, columns].any()))
    assert holds_any(boxes, unknown).tolist() == expected and 0 < sum(expected) < 60
    cells = unknown_cells(torch.tensor([[0.0, 0.0, 40.0, 30.0]]), unknown, 10)
    blocks = unknown.reshape(10, 3, 10, 4).any(3).any(1)
    np.testing.assert_array_equal(cells[0], blocks)


def test_no_region_with_unknown_pixels_is_negative_and_no_mask_has_a_gradient_there() -> None:
    unknown = torch.zeros((20, 20), dtype=torch.bool)
    unknown[:, 10:] = True
    boxes = torch.tensor([[0.0, 0, 8, 8], [4, 4, 12, 12], [12, 0, 20, 8], [2, 2, 18, 18]])
    assert _ignoring(torch.tensor([0, 0, 0, 1]), boxes, unknown).tolist() == [0, -1, -1, 1]
    regions = _MaskRegions([unknown])
    regions.remember(torch.nn.Identity(), (None, [boxes[3:]], None))
    logits = torch.randn((1, 3, 8, 8), requires_grad=True)
    regions.silenced(torch.nn.Identity(), None, logits).square().sum().backward()
    assert logits.grad[..., :4].all() and not logits.grad[..., 4:].any()


# --- With torchvision -------------------------------------------------------------------------------------------------


def interrupted(after: int) -> list[StepReport]:
    steps = iter(range(1, after + 1))

    def on_step(fraction: float, losses: dict[str, float]) -> None:
        if next(steps) == after:
            raise KeyboardInterrupt

    return [StepReport(on_step)]


def test_training_runs_resumes_and_yields_a_segmenter(torchvision: None, views, objects, tmp_path: Path) -> None:
    path = tmp_path / "segmentation.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train_mask_rcnn(views, objects, SEGMENTER, training(3), 1, path, interrupted(2))
    steps: list[tuple[float, dict[str, float]]] = []
    report = StepReport(lambda *step: steps.append(step))
    trained = train_mask_rcnn(views, objects, SEGMENTER, training(3), 1, path, [report])
    ((fraction, losses),) = steps
    assert fraction == 1.0 and np.isfinite(list(losses.values())).all()
    assert set(losses) == {"classifier", "box_reg", "mask", "objectness", "rpn_box_reg"}
    assert trained.config.center_behind_m == centers_behind_m(views, objects, NAMES)
    stored = MaskRcnnSegmenter.from_tensors(*trained.to_tensors())
    assert isinstance(stored(views[0].frame), list)


def test_training_lowers_the_loss(torchvision: None, views, objects) -> None:
    sums: list[float] = []
    config = training(14, augmentation=PLAIN)
    report = StepReport(lambda _, losses: sums.append(losses["classifier"] + losses["mask"]))
    train_mask_rcnn(views[:1], objects, replace(SEGMENTER, gsd_m=3e-3), config, 0, hooks=[report])
    assert np.mean(sums[-4:]) < 0.6 * np.mean(sums[:2])


def test_training_with_partial_labels_is_finite_and_leaves_the_network_as_it_was(
    torchvision: None, views, objects
) -> None:
    hidden = [hide_instances(view, np.arange(6) < 2, keep_background=False) for view in views]
    seen: list[dict[str, float]] = []
    report = StepReport(lambda _, losses: seen.append(losses))
    trained = train_mask_rcnn(hidden, objects, SEGMENTER, training(2), 0, hooks=[report])
    assert len(seen) == 2 and all(np.isfinite(list(losses.values())).all() for losses in seen)
    assert "assign_targets_to_anchors" not in vars(trained.network.rpn)
    assert not trained.network.roi_heads.mask_predictor._forward_hooks


def test_the_loss_does_not_see_what_is_unknown(torchvision: None, views, objects) -> None:
    """Proposals and classes of a window in which all but one part is unknown are those of that part alone."""
    hidden = hide_instances(views[0], np.arange(6) == 0, keep_background=False)
    sampler = WindowSampler([hidden], objects, replace(SEGMENTER, gsd_m=2e-3), training(1, augmentation=PLAIN), 0)
    images, targets = sampler(0)
    network = build_mask_rcnn(SEGMENTER).train()
    seen: list[torch.Tensor] = []
    with without_unknown(network, [target["unknown"] for target in targets]):
        assign = network.roi_heads.assign_targets_to_proposals
        network.roi_heads.assign_targets_to_proposals = lambda *a: (seen.extend(assign(*a)[1]), assign(*a))[1]
        network(images, targets)
    (labels,) = seen
    assert (labels > 0).any() and (labels == -1).any()
