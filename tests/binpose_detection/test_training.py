from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.working_view import make_working_view
from binpose_core.geometry.transforms import exp_so3, from_rotation_translation, transform
from binpose_core.learning.hooks import StepReport
from binpose_core.learning.loop_config import LoopConfig
from binpose_detection import (
    AugmentationConfig,
    SegmentationTrainingConfig,
    SegmenterConfig,
    VoteSegmenter,
    train_segmenter,
)
from binpose_detection.features import view_features
from binpose_detection.network import OFFSET_UNIT_PX, OUTPUT_STRIDE
from binpose_detection.segmenter import build_network
from binpose_detection.training import BatchSampler, _loss, _turned, view_labels, working_targets

NAMES = ("block", "rod")
SEGMENTER = SegmenterConfig(NAMES, gsd_m=1.5e-3, widths=(8, 8, 8, 8))
PLAIN = AugmentationConfig(paste=0, no_depth=0, no_color=0, mono=0, gsd_jitter=(1.0, 1.0), explained=0)


def training(steps: int, **changes: object) -> SegmentationTrainingConfig:
    loop = LoopConfig(steps=steps, low_precision=False, learning_rate=5e-3)
    return SegmentationTrainingConfig(**{"loop": loop, "views": 2, "crops": 2, "crop_px": 64, **changes})


def test_labels_tell_class_and_centre(views, objects) -> None:
    known = views[0]
    labels = view_labels(known, objects, NAMES)
    for instance, (name, T) in enumerate(zip(known.object_ids, known.T_cam_obj, strict=True)):
        own = known.instance_ids == instance
        center = transform(T, objects[name].center_m[None])[0]
        assert (labels.class_ids[own] == NAMES.index(name) + 1).all()
        assert own.any() and (labels.center_px[own] == labels.center_px[own][0]).all()
        np.testing.assert_allclose(labels.center_px[own][0], known.frame.camera.project(center), atol=1e-3)
        np.testing.assert_allclose(labels.center_depth_m[own], center[2], atol=1e-6)
    assert not labels.class_ids[known.instance_ids < 0].any()


def test_hardly_visible_parts_are_ignored_and_strangers_are_background(views, objects) -> None:
    hidden = replace(views[0], visible_fraction=np.array([0.01, 1, 1, 1, 1, 1]))
    labels = view_labels(hidden, objects, NAMES)
    assert (labels.class_ids[hidden.instance_ids == 0] == -1).all()
    without_rods = view_labels(views[0], objects, ("block",))
    assert not without_rods.class_ids[views[0].instance_ids == 1].any()


def rotated_quarter(known):
    """The same scene seen by a camera turned by 90 degrees: pixel (u, v) becomes (v, W - 1 - u)."""
    camera = known.frame.camera
    turned = Camera(camera.fy, camera.fx, camera.cy, camera.width - 1 - camera.cx, camera.height, camera.width)
    frame = RgbdFrame(np.rot90(known.frame.color).copy(), np.rot90(known.frame.depth_m).copy(), turned)
    T_turned_cam = from_rotation_translation(exp_so3(np.array([0, 0, -np.pi / 2])), np.zeros(3))
    return replace(
        known, frame=frame, T_cam_obj=T_turned_cam @ known.T_cam_obj, instance_ids=np.rot90(known.instance_ids).copy()
    )


def unpadded(known):
    """The middle of a view, of a size that needs no padding."""
    camera = known.frame.camera.cropped(20, 10, 448, 352)
    window = (slice(10, 362), slice(20, 468))
    frame = RgbdFrame(known.frame.color[window].copy(), known.frame.depth_m[window].copy(), camera)
    return replace(known, frame=frame, instance_ids=known.instance_ids[window].copy())


@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_a_turned_sample_is_a_sample_of_the_turned_scene(views, objects, quarter_turns: int) -> None:
    """Features, classes and offsets turn as if the camera had been turned."""
    known = turned = unpadded(views[0])
    for _ in range(quarter_turns):
        turned = rotated_quarter(turned)
    samples = []
    for each in (known, turned):
        view = make_working_view(each.frame, 0.94e-3, 640 * 480)
        assert view.scale == (1, 1) and view.depth_m.shape == each.frame.depth_m.shape
        classes, targets, weights = working_targets(view_labels(each, objects, NAMES), view)
        valid = (view.depth_m > 0)[::OUTPUT_STRIDE, ::OUTPUT_STRIDE]
        samples.append((view_features(view), classes, targets, valid, weights))
    features, classes, targets, *_ = _turned(*samples[0], quarter_turns)
    np.testing.assert_allclose(features, samples[1][0], atol=0.02)
    # A cell takes the label of one of its four pixels, so that borders may move by one.
    same = classes == samples[1][1]
    assert same.mean() > 0.98
    part = same & (classes > 0)
    offsets = np.abs(targets[part] - samples[1][2][part])
    assert (offsets[:, :2] * OFFSET_UNIT_PX).max() < 0.1 and np.median(offsets[:, 2] * OFFSET_UNIT_PX) < 1


def test_batches_have_the_shapes_and_values_that_the_loss_takes(views, objects) -> None:
    sampler = BatchSampler(views, objects, SEGMENTER, training(1, views=1, crops=3, crop_px=96), seed=0)
    for number in range(12):
        features, classes, targets, valid, weights = sampler(number)
        assert weights.shape == (3, 2, 48, 48)
        assert features.shape == (3, 10, 96, 96) and classes.shape == valid.shape == (3, 48, 48)
        assert targets.shape == (3, 3, 48, 48)
        assert features.is_contiguous(memory_format=torch.channels_last)
        assert torch.isfinite(features).all() and torch.isfinite(targets).all()
        assert classes.dtype == torch.int64 and classes.min() >= -1 and classes.max() <= 2
        inside = (classes > 0) & valid
        # A cell and the centre of its part are never farther apart than the part is long (in units of the network).
        reach = 0.06 / (SEGMENTER.gsd_m * 0.75) / OFFSET_UNIT_PX
        assert (targets.permute(0, 2, 3, 1)[inside].abs() < reach).all()


def test_a_batch_depends_on_seed_and_number_alone(views, objects) -> None:
    one, other = (BatchSampler(views, objects, SEGMENTER, training(1), seed=3) for _ in range(2))
    one(0)
    for a, b in zip(one(5), other(5), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    different = BatchSampler(views, objects, SEGMENTER, training(1), seed=4)
    assert not torch.equal(one(5)[0], different(5)[0])


def test_crops_larger_than_the_view_are_ignored_outside(views, objects) -> None:
    sampler = BatchSampler(views, objects, SEGMENTER, training(1, crop_px=640, augmentation=PLAIN), seed=0)
    features, classes, targets, valid, _ = sampler(0)
    outside = ~valid
    assert features.shape[-1] == 640 and (classes == -1).any()
    assert not targets.permute(0, 2, 3, 1)[classes == -1].any() and outside.any()


def interrupted(after: int) -> list[StepReport]:
    steps = iter(range(1, after + 1))

    def on_step(fraction: float, losses: dict[str, float]) -> None:
        if next(steps) == after:
            raise KeyboardInterrupt

    return [StepReport(on_step)]


def test_training_runs_resumes_and_yields_a_segmenter(views, objects, tmp_path: Path) -> None:
    whole = train_segmenter(views, objects, SEGMENTER, training(3), seed=1)
    path = tmp_path / "segmentation.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train_segmenter(views, objects, SEGMENTER, training(3), 1, path, interrupted(2))
    spent: list[float] = []
    report = StepReport(lambda fraction, _: spent.append(fraction))
    resumed = train_segmenter(views, objects, SEGMENTER, training(3), 1, path, [report])
    assert spent == [1.0]
    for name, value in whole.to_tensors()[0].items():
        np.testing.assert_allclose(resumed.to_tensors()[0][name], value, rtol=1e-3, atol=1e-5, err_msg=name)
    stored = VoteSegmenter.from_tensors(*resumed.to_tensors())
    assert isinstance(stored(views[0].frame), list)


def test_a_batch_can_be_learnt(views, objects) -> None:
    torch.manual_seed(0)
    network = build_network(SEGMENTER)
    batch = BatchSampler(views, objects, SEGMENTER, training(1, augmentation=PLAIN), seed=0)(0)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    told: list[dict[str, float]] = []
    for _ in range(20):
        losses = _loss(network, batch)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        told.append({name: value.item() for name, value in losses.items()})
    first, last = told[0], told[-1]
    assert last["class"] < 0.85 * first["class"] and last["depth"] < 0.7 * first["depth"]
    assert last["center"] < first["center"] - 1  # a likelihood, with a learnt scale
    assert last["affinity"] < first["affinity"] - 0.1


def test_a_new_part_leaves_the_logits_of_the_others_as_they_are(views, objects) -> None:
    """To the bit, centres and affinities too."""
    torch.manual_seed(0)
    blocks = replace(SEGMENTER, objects=("block",))
    network = build_network(blocks)
    for name, value in network.state_dict().items():
        if "running_mean" in name:
            value.normal_()
    start = VoteSegmenter(network, blocks)
    after = train_segmenter(views, objects, SEGMENTER, training(2), 0, start=start, only_new_rows=True)
    features = torch.randn(1, 10, 64, 64)
    with torch.no_grad():
        before, now = start.network(features), after.network(features)
    assert torch.equal(now[0][:, :2], before[0])
    assert torch.equal(now[1], before[1]) and torch.equal(now[2], before[2])
    rows = (one.network.state_dict()["head.1.weight"] for one in (start, after))
    assert not torch.allclose(next(rows).mean(0).expand(4, -1, -1, -1), next(rows)[8:12]), "it begins as the mean"


def test_without_a_new_part_there_is_none_to_add(views, objects) -> None:
    start = VoteSegmenter(build_network(SEGMENTER), SEGMENTER)
    with pytest.raises(BinposeError, match="no rows for new parts to train; expected"):
        train_segmenter(views, objects, SEGMENTER, training(1), 0, start=start, only_new_rows=True)


@pytest.mark.parametrize("changes", [{"crop_px": 100}, {"crop_px": 32}, {"views": 0}, {"crops": 0}])
def test_nonsense_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(BinposeError, match="must be"):
        SegmentationTrainingConfig(**changes)
