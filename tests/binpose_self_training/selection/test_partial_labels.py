from dataclasses import replace

import numpy as np

from binpose_core.frames.types import BACKGROUND, UNKNOWN
from binpose_refinement.hypothesis_batch import PartRenderer
from binpose_self_training.selection.balance import LEAST_WEIGHT, seen_from, view_weights
from binpose_self_training.selection.partial_labels import partial_labels

from ..conftest import moved


def labels(known, parts, accepted, doubtful=(), detections=None, **options):
    frame = known.scene.frame
    found = known.detections if detections is None else detections
    return partial_labels(frame, accepted, list(doubtful), found, PartRenderer(parts, (5000,)), **options)


def test_accepted_true_poses_give_the_true_labels(known, parts):
    view = labels(known, parts, known.poses)
    shown = known.scene.instance_ids >= 0
    np.testing.assert_array_equal(view.instance_ids[shown], known.scene.instance_ids[shown])
    assert view.object_ids == known.scene.object_ids and (view.visible_fraction > 0.95).all()


def test_what_was_not_accepted_is_unknown_and_the_floor_away_from_it_is_background(known, parts):
    view = labels(known, parts, known.poses[:1], known.poses[1:])
    others = known.scene.instance_ids > 0
    assert (view.instance_ids[others] == UNKNOWN).all()
    background = view.instance_ids == BACKGROUND
    assert background.any() and not (background & (known.scene.instance_ids >= 0)).any()


def test_a_part_that_nobody_detected_is_not_background(known, parts):
    """It stands on the floor, so it is no floor."""
    view = labels(known, parts, known.poses[:1], detections=known.detections[:1])
    missed = known.scene.instance_ids > 0
    assert (view.instance_ids[missed] == UNKNOWN).mean() > 0.9


def test_without_background_only_parts_are_known(known, parts):
    view = labels(known, parts, known.poses[:1], background=False)
    assert set(np.unique(view.instance_ids)) == {UNKNOWN, 0}


def test_pixels_where_the_depth_contradicts_are_unknown(known, parts):
    depth = known.scene.frame.depth_m.copy()
    half = (known.scene.instance_ids == 0) & (np.arange(160) % 2 == 0)
    depth[half] -= 0.05
    changed = replace(known, scene=replace(known.scene, frame=replace(known.scene.frame, depth_m=depth)))
    view = labels(changed, parts, known.poses)
    assert (view.instance_ids[half] != 0).all()
    assert 0.3 < view.visible_fraction[0] < 0.7


def test_rare_directions_weigh_more_than_frequent_ones(known):
    pose = known.poses[0]
    rare = moved(pose, turn_rad=(np.pi, 0, 0))
    assert seen_from(rare) != seen_from(pose)
    weights = view_weights([[pose]] * 60 + [[rare]] * 4)
    assert weights[-1][0] == 1.0 and LEAST_WEIGHT <= weights[0][0] < 0.8
    assert view_weights([[pose]] * 5)[0][0] == 1.0
