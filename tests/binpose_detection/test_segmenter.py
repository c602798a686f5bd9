"""The loop is closed: targets of a known view, taken for the network's output, give back its parts."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.frames.types import Detection
from binpose_core.frames.working_view import WorkingView
from binpose_core.geometry.transforms import transform
from binpose_detection.backends import segmenter_from_tensors
from binpose_detection.grouping import GroupingConfig
from binpose_detection.losses import pairs_of_cells
from binpose_detection.network import CENTER_CHANNELS, STEPS
from binpose_detection.segmenter import SegmenterConfig, VoteSegmenter, build_network, object_classes
from binpose_detection.training import view_labels, working_targets
from binpose_detection.votes import read_votes

NAMES = ("block", "rod")
WIDTHS = (8, 8, 8, 8)


def segmenter(**changes: object) -> VoteSegmenter:
    torch.manual_seed(0)
    config = SegmenterConfig(NAMES, widths=WIDTHS, **changes)
    return VoteSegmenter(build_network(config), config)


def perfect_output(classes: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a network without error would say: probabilities (C + 1, h, w), centres (4, h, w), affinities (8, h, w)."""
    probabilities = np.full((len(NAMES) + 1, *classes.shape), 0.02, np.float32)
    np.put_along_axis(probabilities, np.maximum(classes, 0)[None], 0.96, axis=0)
    centers = np.zeros((CENTER_CHANNELS, *classes.shape), np.float32)
    centers[:3] = targets.transpose(2, 0, 1)
    centers[3] = -4
    affinities = np.zeros((len(STEPS), *classes.shape), np.float32)
    batch = torch.from_numpy(classes)[None], torch.from_numpy(targets.transpose(2, 0, 1).copy())[None]
    for channel, (down, right) in enumerate(STEPS):
        _, same = pairs_of_cells(*batch, down, right)
        left = max(0, -right)
        affinities[channel, : same.shape[1], left : left + same.shape[2]] = same[0].numpy()
    return probabilities, centers, affinities


def perfect_detections(known, objects, gsd_m: float) -> tuple[WorkingView, list[Detection]]:
    perfect = segmenter(gsd_m=gsd_m)
    view = perfect.view(known.frame)
    output = perfect_output(*working_targets(view_labels(known, objects, NAMES), view)[:2])
    return view, perfect.detections(view, read_votes(*output, view.gsd_m), known.frame)


def overlap(detection: Detection, mask: np.ndarray) -> float:
    full = detection.full_mask(*mask.shape)
    return float((full & mask).sum() / (full | mask).sum())


@pytest.mark.parametrize("gsd_m", [0.6e-3, 0.75e-3, 0.94e-3, 1.2e-3])
@pytest.mark.parametrize("number", range(3))
def test_targets_of_a_view_give_back_its_parts(views, objects, number: int, gsd_m: float) -> None:
    known = views[number]
    view, detections = perfect_detections(known, objects, gsd_m)
    camera = known.frame.camera
    assert len(detections) == len(known.object_ids)
    for instance, (name, T) in enumerate(zip(known.object_ids, known.T_cam_obj, strict=True)):
        mask = known.instance_ids == instance
        found = max(detections, key=lambda d: overlap(d, mask))
        assert overlap(found, mask) > 0.9
        assert found.object_id == name and found.score > 0.9
        center = transform(T, objects[name].center_m[None])[0]
        assert np.linalg.norm(np.array(found.center_px) - camera.project(center)) < 0.5
        assert found.center_depth_m == pytest.approx(center[2], abs=0.5 * view.gsd_m)


def test_a_part_whose_centre_is_outside_the_image_is_found(views, objects) -> None:
    for known in views:
        _, detections = perfect_detections(known, objects, 0.75e-3)
        assert any(d.center_px[0] > known.frame.camera.width for d in detections)


def test_boxes_are_tight_and_inside_the_image(views, objects) -> None:
    known = views[0]
    _, detections = perfect_detections(known, objects, 0.94e-3)
    for d in detections:
        x0, y0, x1, y1 = d.bbox_xyxy
        assert 0 <= x0 < x1 <= known.frame.camera.width and 0 <= y0 < y1 <= known.frame.camera.height
        assert all(edge.any() for edge in (d.mask[0], d.mask[-1], d.mask[:, 0], d.mask[:, -1]))


def test_without_depth_the_centres_depth_is_not_known(views, objects) -> None:
    known = replace(views[0], frame=replace(views[0].frame, depth_m=None))
    _, detections = perfect_detections(known, objects, 0.94e-3)
    assert detections and all(np.isnan(d.center_depth_m) for d in detections)


def test_a_second_class_is_named_where_it_is_likely(views, objects) -> None:
    known = views[0]
    doubting = segmenter(gsd_m=0.94e-3, alternative_share=0.5)
    view = doubting.view(known.frame)
    probabilities, *others = perfect_output(*working_targets(view_labels(known, objects, NAMES), view)[:2])
    rods = probabilities[2] > 0.5
    probabilities[:, rods] = np.array([0.02, 0.4, 0.58], np.float32)[:, None]
    for detection in doubting.detections(view, read_votes(probabilities, *others, view.gsd_m), known.frame):
        if detection.object_id == "rod":
            assert [name for name, _ in detection.alternatives] == ["block"]
            assert detection.alternatives[0][1] == pytest.approx(0.4, abs=0.01)
        else:
            assert detection.alternatives == ()


def test_detections_are_best_first_and_no_more_than_allowed(views, objects) -> None:
    known = views[0]
    limited = segmenter(gsd_m=0.94e-3, grouping=GroupingConfig(max_instances=3))
    view = limited.view(known.frame)
    output = perfect_output(*working_targets(view_labels(known, objects, NAMES), view)[:2])
    output[0][1:, :60] *= 0.7
    scores = [d.score for d in limited.detections(view, read_votes(*output, view.gsd_m), known.frame)]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True)


def test_an_empty_bin_gives_no_detection(views) -> None:
    perfect = segmenter(gsd_m=0.94e-3)
    view = perfect.view(views[0].frame)
    nothing = np.zeros((view.camera.height // 2, view.camera.width // 2), np.int64)
    output = perfect_output(nothing, np.zeros((*nothing.shape, 3), np.float32))
    assert perfect.detections(view, read_votes(*output, view.gsd_m), views[0].frame) == []


def test_votes_are_read_in_the_networks_units(views) -> None:
    """A cell in row r, column c covers the pixels 2 r, 2 r + 1 and 2 c, 2 c + 1: zero offset is their middle."""
    nothing = np.zeros((8, 4, 5), np.float32)
    votes = read_votes(np.ones((3, 4, 5), np.float32) / 3, nothing[:4], nothing, 1e-3)
    np.testing.assert_allclose(votes.center_px[2, 3], [6.5, 4.5])
    assert not votes.depth_offset_m.any()


def assert_same(one: list[Detection], other: list[Detection]) -> None:
    assert len(one) == len(other) > 0
    for a, b in zip(one, other, strict=True):
        assert (a.object_id, a.bbox_xyxy, a.score, a.alternatives) == (
            b.object_id,
            b.bbox_xyxy,
            b.score,
            b.alternatives,
        )
        assert a.center_px == b.center_px
        np.testing.assert_array_equal(a.mask, b.mask)


def excited(changes: dict[str, object]) -> VoteSegmenter:
    """An untrained segmenter that takes everything for a part, and is sure of it, so that it has something to say."""
    loud = segmenter(**changes)
    with torch.no_grad():
        rows = loud.network.head[1].bias.view(-1, 4)  # the four sub-cells of each output
        rows[0] = -3.0  # no part
        rows[len(NAMES) + CENTER_CHANNELS] = -3.0  # the centres' scale
        rows[len(NAMES) + 1 + CENTER_CHANNELS :] = 1.0  # affinities
    return loud


def test_a_stored_segmenter_finds_the_same(views) -> None:
    one = excited({"gsd_m": 4e-3, "grouping": GroupingConfig(min_cells=5)})
    tensors, config = one.to_tensors()
    other = VoteSegmenter.from_tensors(tensors, config)
    assert other.config == one.config
    assert_same(one(views[0].frame), other(views[0].frame))


def test_models_of_earlier_versions_are_read(views) -> None:
    """Their networks tell no affinities; what they stored of grouping and distance means nothing any more."""
    one = excited({"gsd_m": 1e-3, "affinities": False})
    tensors, config = one.to_tensors()
    del config["affinities"]
    other = segmenter_from_tensors(
        tensors, config | {"distance_m": None, "grouping": {"radius_cells": 3.0, "min_cells": 4}}
    )
    assert other.config == one.config and other.config.grouping == GroupingConfig()
    assert_same(one(views[0].frame), other(views[0].frame))


def test_a_segmenter_can_be_read_with_other_settings(views) -> None:
    one = excited({"gsd_m": 4e-3})
    assert one(views[0].frame)
    grouping = replace(one.config.grouping, min_cells=10**6)
    strict = VoteSegmenter(one.network, replace(one.config, grouping=grouping))
    assert strict(views[0].frame) == [] and strict.config.gsd_m == one.config.gsd_m


def test_weights_of_another_shape_are_refused() -> None:
    tensors, config = segmenter().to_tensors()
    name = next(name for name, value in tensors.items() if value.ndim == 4)
    with pytest.raises(BinposeError, match="segmentation weights do not fit"):
        VoteSegmenter.from_tensors(tensors | {name: tensors[name][:, :-1]}, config)
    with pytest.raises(BinposeError, match="segmentation weights do not fit"):
        VoteSegmenter.from_tensors(tensors, config | {"objects": ["block"]})


def test_object_ids_become_the_networks_classes() -> None:
    np.testing.assert_array_equal(object_classes(["rod", "stranger", "block"], NAMES), [2, 0, 1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"objects": ()}, "objects"), ({"objects": ("a", "a")}, "distinct"), ({"gsd_m": 1.0}, "gsd_m")],
)
def test_nonsense_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(BinposeError, match=message):
        SegmenterConfig(**{"objects": NAMES, **changes})
