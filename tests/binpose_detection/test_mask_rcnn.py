"""Masks become detections; the network itself where torchvision can be imported."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.frames.types import Detection
from binpose_core.geometry.transforms import transform
from binpose_detection.backends import segmenter_from_tensors
from binpose_detection.mask_rcnn import (
    Instances,
    MaskRcnnConfig,
    MaskRcnnSegmenter,
    build_mask_rcnn,
    import_torchvision,
    mask_overlaps,
)
from binpose_detection.mask_rcnn_training import centers_behind_m, working_instances
from binpose_detection.training import view_labels

NAMES = ("block", "rod")
SMALL = MaskRcnnConfig(NAMES, gsd_m=4e-3, proposals=20, max_instances=6)


def reader(**changes: object) -> MaskRcnnSegmenter:
    """A segmenter without a network, to read masks with."""
    return MaskRcnnSegmenter(torch.nn.Identity(), MaskRcnnConfig(NAMES, **changes))


def true_instances(known, objects, segmenter: MaskRcnnSegmenter) -> Instances:
    """What a network without error would find."""
    view = segmenter.config.view(known.frame)
    instances, classes = working_instances(view_labels(known, objects, NAMES), view)
    masks = instances == np.arange(len(classes))[:, None, None]
    return Instances(classes, np.linspace(0.9, 0.8, len(classes), dtype=np.float32), masks)


def detections_of(known, segmenter: MaskRcnnSegmenter, instances: Instances) -> list[Detection]:
    return segmenter.detections(segmenter.config.view(known.frame), instances, known.frame)


def overlap(detection: Detection, mask: np.ndarray) -> float:
    full = detection.full_mask(*mask.shape)
    return float((full & mask).sum() / (full | mask).sum())


def found_whole(detection: Detection, known) -> bool:
    return detection.bbox_xyxy[2] < known.frame.camera.width


@pytest.mark.parametrize("gsd_m", [0.6e-3, 0.94e-3, 1.2e-3])
def test_masks_of_a_view_give_back_its_parts(views, objects, gsd_m: float) -> None:
    segmenter = reader(gsd_m=gsd_m, center_behind_m=centers_behind_m(views, objects, NAMES))
    for known in views:
        found = detections_of(known, segmenter, true_instances(known, objects, segmenter))
        assert len(found) == len(known.object_ids)
        camera = known.frame.camera
        for instance, (name, T) in enumerate(zip(known.object_ids, known.T_cam_obj, strict=True)):
            mask = known.instance_ids == instance
            own = max(found, key=lambda d, mask=mask: overlap(d, mask))
            assert own.object_id == name and overlap(own, mask) > 0.9
            if known.visible_fraction[instance] > 0.95 and found_whole(own, known):
                center = transform(T, objects[name].center_m[None])[0]
                diameter_px = objects[name].diameter_m * camera.fx / center[2]
                assert np.linalg.norm(own.center_px - camera.project(center)) < 0.1 * diameter_px
                assert own.center_depth_m == pytest.approx(center[2], abs=0.15 * objects[name].diameter_m)


def test_a_part_that_is_cut_off_is_seen_where_it_shows(views, objects) -> None:
    """The stated bias: the centre of the mask's box never leaves the image."""
    segmenter = reader(gsd_m=0.94e-3)
    for known in views:
        for d in detections_of(known, segmenter, true_instances(known, objects, segmenter)):
            x0, y0, x1, y1 = d.bbox_xyxy
            assert np.allclose(d.center_px, [(x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2], atol=1)
            assert 0 <= x0 < x1 <= known.frame.camera.width and 0 <= y0 < y1 <= known.frame.camera.height
            assert all(edge.any() for edge in (d.mask[0], d.mask[-1], d.mask[:, 0], d.mask[:, -1]))


def test_of_masks_that_agree_the_best_stays_and_names_the_other_class(views, objects) -> None:
    segmenter = reader(gsd_m=0.94e-3)
    true = true_instances(views[0], objects, segmenter)
    twice = Instances(
        np.concatenate([true.classes, 3 - true.classes, true.classes]),
        np.concatenate([true.scores, 0.5 * true.scores, 0.7 * true.scores]),
        np.concatenate([true.masks] * 3),
    )
    once, found = (detections_of(views[0], segmenter, instances) for instances in (true, twice))
    assert [(d.object_id, d.score, d.bbox_xyxy) for d in found] == [(d.object_id, d.score, d.bbox_xyxy) for d in once]
    for detection in found:
        assert not any(other.alternatives for other in once)
        ((name, score),) = detection.alternatives
        assert {name, detection.object_id} == set(NAMES) and score == pytest.approx(0.5 * detection.score)


def test_an_unlikely_class_is_no_alternative(views, objects) -> None:
    segmenter = reader(gsd_m=0.94e-3, alternative_share=0.2)
    true = true_instances(views[0], objects, segmenter)
    doubled = (np.concatenate([true.classes, 3 - true.classes]), np.concatenate([true.masks] * 2))
    scores = np.concatenate([true.scores, 0.1 * true.scores])
    assert not any(
        d.alternatives for d in detections_of(views[0], segmenter, Instances(doubled[0], scores, doubled[1]))
    )


def test_weak_and_tiny_instances_are_left_out(views, objects) -> None:
    segmenter = reader(gsd_m=0.94e-3, min_score=0.5)
    true = true_instances(views[0], objects, segmenter)
    scores, masks = true.scores.copy(), true.masks.copy()
    scores[0] = 0.4
    masks[1] &= np.cumsum(masks[1]).reshape(masks[1].shape) < 20
    found = detections_of(views[0], segmenter, Instances(true.classes, scores, masks))
    assert len(found) == len(scores) - 2
    assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)


def test_nothing_found_is_no_detection(views) -> None:
    segmenter = reader(gsd_m=0.94e-3)
    shape = segmenter.config.view(views[0].frame).depth_m.shape
    nothing = Instances(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros((0, *shape), bool))
    assert detections_of(views[0], segmenter, nothing) == []


def test_without_depth_the_centres_depth_is_not_known(views, objects) -> None:
    blind = replace(views[0], frame=replace(views[0].frame, depth_m=None, distance_m=0.46))
    segmenter = reader()
    found = detections_of(blind, segmenter, true_instances(blind, objects, segmenter))
    assert len(found) == len(blind.object_ids) and all(np.isnan(d.center_depth_m) for d in found)


def test_overlaps_are_intersection_over_union() -> None:
    masks = np.zeros((3, 8, 8), bool)
    masks[0, :4], masks[1, :, :4], masks[2, 4:, 4:] = True, True, True
    np.testing.assert_allclose(mask_overlaps(masks), [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]])


@pytest.mark.parametrize("error", [None, RuntimeError("operator torchvision::nms does not exist")])
def test_without_torchvision_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, error) -> None:
    """Missing, or built for another torch."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    if error is None:
        monkeypatch.setitem(sys.modules, "torchvision", None)
    else:
        monkeypatch.setattr(sys, "meta_path", [RaisingFinder(error), *sys.meta_path])
    with pytest.raises(BinposeError, match=r"pip install torchvision.*or use the detector votes"):
        build_mask_rcnn(SMALL)


class RaisingFinder:
    """Stands for a package that fails on import."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def find_spec(self, name: str, *_: object) -> None:
        if name == "torchvision":
            raise self.error


def test_an_unknown_detector_is_refused() -> None:
    with pytest.raises(BinposeError, match="'yolo'; expected votes or mask_rcnn"):
        segmenter_from_tensors({}, {"backend": "yolo", "objects": ["block"]})


@pytest.mark.parametrize(
    "changes",
    [
        {"objects": ()},
        {"backbone": "vgg"},
        {"anchor_px": (16, 32)},
        {"center_behind_m": (0.1,)},
        {"min_score": 0.0},
        {"mask_overlap": 1.5},
        {"max_instances": 0},
    ],
)
def test_nonsense_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(BinposeError, match="must be"):
        MaskRcnnConfig(**{"objects": NAMES, **changes})


# --- With torchvision -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def untrained(torchvision: None) -> MaskRcnnSegmenter:
    torch.manual_seed(0)
    return MaskRcnnSegmenter(build_mask_rcnn(SMALL), SMALL)


def test_building_downloads_nothing(untrained: MaskRcnnSegmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a download")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refused)
    monkeypatch.setattr(torch.hub, "download_url_to_file", refused)
    build_mask_rcnn(SMALL)


def test_a_frame_gives_instances_at_the_views_own_size(untrained: MaskRcnnSegmenter, views) -> None:
    view = SMALL.view(views[0].frame)
    seen: list[torch.Size] = []
    hook = untrained.network.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    instances = untrained.instances(view)
    hook.remove()
    assert seen == [(1, 3, *view.depth_m.shape)]
    assert 0 < len(instances.scores) <= SMALL.max_instances
    assert instances.masks.shape == (len(instances.scores), *view.depth_m.shape)
    assert set(instances.classes) <= {1, 2}
    assert all(0 <= d.score <= 1 for d in untrained(views[0].frame))


def test_a_stored_segmenter_finds_the_same(untrained: MaskRcnnSegmenter, views) -> None:
    one = MaskRcnnSegmenter(untrained.network, replace(SMALL, center_behind_m=(0.01, 0.02)))
    tensors, config = one.to_tensors()
    assert config["backend"] == "mask_rcnn"
    other = segmenter_from_tensors(tensors, config)
    assert isinstance(other, MaskRcnnSegmenter) and other.config == one.config
    view = SMALL.view(views[0].frame)
    ours, theirs = one.instances(view), other.instances(view)
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-5)
    np.testing.assert_array_equal(ours.masks, theirs.masks)


def test_weights_of_another_shape_are_refused(untrained: MaskRcnnSegmenter) -> None:
    tensors, config = untrained.to_tensors()
    with pytest.raises(BinposeError, match="Mask R-CNN weights do not fit"):
        MaskRcnnSegmenter.from_tensors(tensors, config | {"objects": ["block"]})


def test_regions_are_pooled_as_torchvisions_reference_pools_them(torchvision: None, rng: np.random.Generator) -> None:
    """Plain torch in place of the compiled operator, or that operator itself, against the slow readable twin."""
    detection = import_torchvision()
    assert detection is not None
    reference = sys.modules["torchvision.ops.roi_align"]._roi_align.__wrapped__
    features = torch.from_numpy(rng.normal(size=(2, 3, 11, 14)).astype(np.float32))
    # The twin does not know that the operator takes points beyond the image for zero: all lie within.
    corner, size = rng.uniform(-0.5, 9, (6, 2)), rng.uniform(0.5, 4, (6, 2))
    boxes = np.hstack([rng.integers(0, 2, (6, 1)), corner, corner + size]).astype(np.float32)
    for ratio, aligned in ((2, False), (2, True), (-1, False)):
        arguments = (features, torch.from_numpy(boxes), 0.8, 4, 3, ratio, aligned)
        ours = torch.ops.torchvision.roi_align(*arguments)
        torch.testing.assert_close(ours, reference(*arguments), atol=1e-5, rtol=1e-4)


def test_of_boxes_that_overlap_the_best_stays(torchvision: None) -> None:
    import_torchvision()
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [0, 0, 10, 4]])
    scores = torch.tensor([0.5, 0.9, 0.7, 0.8])
    assert torch.ops.torchvision.nms(boxes, scores, 0.5).tolist() == [1, 3, 2]
