"""What is measured during a training."""

from dataclasses import replace

import numpy as np
import pytest

from binpose_core.frames.types import Detection
from binpose_core.parts.catalogue import make_object
from binpose_simulation.parts import make_part
from binpose_simulation.scene import SceneConfig
from binpose_simulation.stream import SimulationStream
from binpose_simulation.view_store import ViewStore
from binpose_training.training_scene import VIEWS_PER_PILE, training_scene
from binpose_training.validation import add_validation_views, detection_quality


@pytest.fixture(scope="module")
def parts():
    return {"l_bracket": make_object(make_part("l_bracket"), "l_bracket", 1)}


@pytest.fixture(scope="module")
def scene():
    default = SceneConfig()
    content = replace(default.content, parts=(3, 5), row_share=0.0, max_pieces=1)
    return replace(default, content=content, viewpoint=replace(default.viewpoint, width=160, height=120))


@pytest.fixture(scope="module")
def views(parts, scene):
    with SimulationStream(parts, scene, 4, workers=0) as stream:
        return [next(stream) for _ in range(4)]


def true_detections(view):
    """The visible pixels of each part."""
    found = []
    for i, name in enumerate(view.object_ids):
        rows, columns = np.nonzero(view.instance_ids == i)
        if len(rows) == 0:
            continue
        x0, y0, x1, y1 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        mask = (view.instance_ids == i)[y0:y1, x0:x1]
        found.append(Detection(name, 1.0, (int(x0), int(y0), int(x1), int(y1)), mask, (0.0, 0.0), 0.0))
    return found


def by_frame(views, answer):
    """A segmenter that knows the views."""
    known = {id(view.frame): view for view in views}
    return lambda frame: answer(known[id(frame)])


def test_the_truth_is_perfect_and_nothing_is_nothing(views):
    assert detection_quality(by_frame(views, true_detections), views) == {"recall": 1.0, "precision": 1.0, "f1": 1.0}
    nothing = detection_quality(by_frame(views, lambda _: []), views)
    assert nothing == {"recall": 0.0, "precision": 0.0, "f1": 0.0}


def test_detections_of_another_class_are_wrong(views):
    def renamed(view):
        return [replace(found, object_id="another") for found in true_detections(view)]

    assert detection_quality(by_frame(views, renamed), views)["f1"] == 0.0


def test_a_part_found_twice_counts_once(views):
    twice = detection_quality(by_frame(views, lambda view: 2 * true_detections(view)), views)
    assert twice["recall"] == 1.0 and twice["precision"] == 0.5


def test_the_views_are_unseen_and_kept(parts, scene, tmp_path):
    store = ViewStore(tmp_path / "views")
    add_validation_views(store, parts, scene, 4, 0, 3)
    assert len(store) == 3
    with SimulationStream(parts, scene, 4, workers=0) as stream:
        assert not np.array_equal(next(stream).T_cam_world, store[0].T_cam_world)
    add_validation_views(store, parts, scene, 4, 0, 3)
    assert len(ViewStore(tmp_path / "views")) == 3


def test_at_least_two_views_are_made_however_short_the_time(parts, scene, tmp_path):
    store = ViewStore(tmp_path / "views")
    add_validation_views(store, parts, scene, 4, 0, 9, lambda: False)
    assert len(store) == 2


def test_a_training_shows_a_pile_more_often(scene):
    assert training_scene(scene, 1e-3, 1).views_per_pile == VIEWS_PER_PILE
    assert training_scene(replace(scene, views_per_pile=30), 1e-3, 1).views_per_pile == 30
