from dataclasses import replace

import cv2
import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.working_view import ERASED_COLOR
from binpose_detection.augmentation import (
    AugmentationConfig,
    Labels,
    explain_parts,
    paste_parts,
    recolored,
    with_missing_sense,
)
from binpose_detection.segmenter import DetectorConfig
from binpose_detection.training import augmented_view, view_labels

NAMES = ("block", "rod")


@pytest.fixture
def pair(views, objects):
    target, source = views[0], views[1]
    return target, view_labels(target, objects, NAMES), source, view_labels(source, objects, NAMES)


def pasted(pair, seed: int) -> tuple[RgbdFrame, Labels, np.ndarray]:
    """Frame and labels with pasted parts, and the pixels that changed."""
    target, labels, source, other = pair
    frame, after = paste_parts(target.frame, labels, source, other, np.random.default_rng(seed), max_pasted=3)
    return frame, after, (frame.depth_m != target.frame.depth_m)


@pytest.mark.parametrize("seed", range(6))
def test_pasted_pixels_carry_the_labels_of_their_part(pair, seed: int) -> None:
    """Their centre is as far from them as in the view they come from, in the image and in depth."""
    _, _, source, other = pair
    frame, after, changed = pasted(pair, seed)
    assert changed.any()
    rows, columns = np.nonzero(changed)
    places = np.stack(np.nonzero(changed)[::-1], -1)
    offset = after.center_px[changed] - places
    height = after.center_depth_m[changed] - frame.depth_m[changed]
    matched = np.zeros(len(rows), bool)
    for instance in range(len(source.object_ids)):
        own = source.instance_ids == instance
        own_places = np.stack(np.nonzero(own)[::-1], -1)
        own_offset = other.center_px[own] - own_places
        own_height = other.center_depth_m[own] - source.frame.depth_m[own]
        box = own_offset.min(0) - 0.01, own_offset.max(0) + 0.01
        is_own = ((offset >= box[0]) & (offset <= box[1])).all(1) & (
            after.class_ids[changed] == other.class_ids[own][0]
        )
        is_own &= (height > own_height.min() - 1e-4) & (height < own_height.max() + 1e-4)
        matched |= is_own
    assert matched.all()
    np.testing.assert_array_equal(frame.color[rows[:1], columns[:1]].shape, (1, 3))


@pytest.mark.parametrize("seed", range(6))
def test_the_rest_of_the_view_stays(pair, seed: int) -> None:
    target, labels, _, _ = pair
    frame, after, changed = pasted(pair, seed)
    kept = (frame.color == target.frame.color).all(-1) & ~changed
    for one, other in zip(
        (labels.class_ids, labels.center_px, labels.center_depth_m),
        (after.class_ids, after.center_px, after.center_depth_m),
        strict=True,
    ):
        # A pasted pixel may lie at the very depth of what it covers.
        assert (one[kept] != other[kept]).mean() < 2e-5
    # Neither the view nor its labels were written to.
    assert not np.shares_memory(frame.color, target.frame.color)
    assert not np.shares_memory(after.class_ids, labels.class_ids)


def test_a_pasted_part_lies_in_front_and_where_parts_are(pair) -> None:
    target, labels, _, _ = pair
    for seed in range(6):
        frame, _, changed = pasted(pair, seed)
        assert np.mean(frame.depth_m[changed] < target.frame.depth_m[changed] + 1e-6) > 0.7
        assert (labels.class_ids[changed] > 0).any()


def test_a_pasted_part_is_whole(pair) -> None:
    """As many pixels of its colour as in its own view: nothing is cut off by the border."""
    target, labels, source, other = pair
    sizes = {int((source.instance_ids == i).sum()) for i in range(len(source.object_ids))}
    for seed in range(6):
        rng = np.random.default_rng(seed)
        frame, _ = paste_parts(target.frame, labels, source, other, rng, max_pasted=1)
        changed = int((frame.depth_m != target.frame.depth_m).sum())
        assert changed == 0 or min(abs(changed - size) for size in sizes) <= 3


def test_nothing_is_pasted_without_depth_or_parts(pair) -> None:
    target, labels, source, other = pair
    blind = replace(target.frame, depth_m=None)
    assert paste_parts(blind, labels, source, other, np.random.default_rng(0), 3) == (blind, labels)
    empty = replace(labels, class_ids=np.zeros_like(labels.class_ids))
    frame, after = paste_parts(target.frame, empty, source, other, np.random.default_rng(0), 3)
    np.testing.assert_array_equal(frame.depth_m, target.frame.depth_m)
    assert not after.class_ids.any()


def test_colours_change_and_stay_an_image(views, rng: np.random.Generator) -> None:
    color = views[0].frame.color
    before = color.copy()
    drawn = [recolored(color, rng) for _ in range(8)]
    for image in drawn:
        assert image.dtype == np.uint8 and image.shape == color.shape
        # Bright places stay brighter than dark ones, whatever the exposure.
        gray, was = image.mean(-1), color.mean(-1)
        if gray.std() > 2:
            assert np.corrcoef(gray.ravel(), was.ravel())[0, 1] > 0.3
    np.testing.assert_array_equal(color, before)
    assert np.std([image.mean() for image in drawn]) > 5


def test_senses_go_missing_as_often_as_stated(views) -> None:
    frame = views[0].frame
    config = AugmentationConfig(no_depth=0.2, no_color=0.3, mono=0.1)
    rng = np.random.default_rng(0)
    kinds = []
    for _ in range(600):
        out = with_missing_sense(frame, config, rng)
        if out.depth_m is None:
            kinds.append("no depth")
        elif out.color.ndim == 2:
            kinds.append("no color" if (out.color == 128).all() else "mono")
        else:
            assert out is frame
            kinds.append("whole")
    shares = {kind: kinds.count(kind) / len(kinds) for kind in set(kinds)}
    wanted = {"no depth": 0.2, "no color": 0.3, "mono": 0.1, "whole": 0.4}
    assert shares.keys() == wanted.keys()
    assert all(abs(shares[kind] - share) < 0.06 for kind, share in wanted.items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"paste": 1.5}, "paste"),
        ({"no_depth": 0.6, "mono": 0.6}, "no_depth"),
        ({"max_pasted": 0}, "max_pasted"),
        ({"gsd_jitter": (1.2, 0.8)}, "gsd_jitter"),
    ],
)
def test_nonsense_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(BinposeError, match=message):
        AugmentationConfig(**changes)


@pytest.mark.parametrize("seed", range(6))
def test_explained_parts_are_background_and_the_others_stay(views, objects, seed: int) -> None:
    view = views[0]
    labels = view_labels(view, objects, NAMES)
    erased, after = explain_parts(labels, view, np.random.default_rng(seed))
    explained = [i for i in range(len(view.object_ids)) if (after.class_ids[view.instance_ids == i] == 0).all()]
    parts = np.isin(view.instance_ids, explained)
    assert (after.weights[parts] == 1).all()
    np.testing.assert_array_equal(after.class_ids[~parts], labels.class_ids[~parts])
    fringe = erased & ~parts
    assert (after.weights[fringe] == 0).all()
    np.testing.assert_array_equal(after.weights[~parts & ~fringe], labels.weights[~parts & ~fringe])
    inner = cv2.erode(parts.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    outer = cv2.dilate(parts.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert not (inner & ~erased).any() and not (erased & ~outer).any()


def test_parts_are_explained_in_as_many_views_as_stated(views, objects) -> None:
    config = DetectorConfig(NAMES)
    for fraction in (0.0, 1.0):
        augmentation = AugmentationConfig(paste=0, no_depth=0, no_color=0, mono=0, explained=fraction)
        grey = []
        for seed in range(8):
            working, _ = augmented_view(views, objects, config, augmentation, np.random.default_rng(seed))
            grey.append(((working.color == ERASED_COLOR).all(-1) & (working.depth_m == 0)).mean() > 0.01)
        assert np.mean(grey) >= 0.6 if fraction else not any(grey)
