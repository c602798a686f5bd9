import numpy as np
import pytest
import trimesh

from binpose_refinement.hypothesis_batch import HypothesisBatch, PartRenderer
from binpose_refinement.observation import observe
from binpose_refinement.verification import FEATURES, MEASURED, heuristic_score, measure

from .conftest import detection, draw, part, pose


@pytest.fixture(scope="module")
def part_renderer(parts):
    return PartRenderer(parts, (5000,))


def evidence(part_renderer, scene, name, T, owner=0):
    """Features by name of one pose, and its hand-made score."""
    batch = HypothesisBatch(np.array([owner]), np.array([part_renderer.ids.index(name)]), np.array([T]), np.ones(1))
    found = measure(part_renderer, observe(scene.frame, scene.detections, 2e-4), batch, 0, 96, 0.002)
    return dict(zip(MEASURED, found.features[0], strict=True)), heuristic_score(found.features)[0]


def facing(distance_m=0.6, x=0.0):
    T = np.eye(4)
    T[:3, :3] = np.diag([1.0, -1.0, -1.0])
    T[:3, 3] = x, 0.0, distance_m
    return T


def test_the_true_pose_explains_everything(parts, part_renderer):
    truth = pose(np.random.default_rng(0), parts["cleat"], (0, 0, 0.6))
    f, score = evidence(part_renderer, draw(parts, ["cleat"], [truth]), "cleat", truth)
    assert f["explained"] > 0.95 and f["mask_explained"] > 0.95 and f["violation_core"] == 0.0
    assert f["normals"] > 0.9 and f["contour_confirmed"] > 0.9 and score > 0.8


def test_a_neighbour_in_front_is_no_evidence_against_but_free_space_is(parts, part_renderer):
    below = facing(0.64)
    _, score_alone = evidence(part_renderer, draw(parts, ["plate"], [below]), "plate", below)
    covered, score_covered = evidence(
        part_renderer, draw(parts, ["plate", "rod"], [below, facing(0.60)]), "plate", below
    )
    above, score_above = evidence(part_renderer, draw(parts, ["plate"], [below]), "plate", facing(0.62))
    assert covered["occluded"] > 0.05 and covered["violation_core"] == 0.0
    assert abs(score_alone - score_covered) < 0.15
    assert above["violation_core"] > 0.8 and score_above < 0.1 < score_alone


def test_a_symmetric_part_scores_the_same_under_its_symmetry(parts, part_renderer):
    truth = pose(np.random.default_rng(1), parts["rod"], (0, 0, 0.6))
    scene = draw(parts, ["rod"], [truth])
    turned = truth @ parts["rod"].symmetries.transforms(np.pi / 2)[1]
    assert evidence(part_renderer, scene, "rod", truth)[1] == pytest.approx(
        evidence(part_renderer, scene, "rod", turned)[1], abs=0.02
    )


def test_a_longer_rod_is_told_by_the_contour(parts, part_renderer):
    """A short rod laid upon a long one explains every pixel of its own; beyond its ends the surface goes on."""
    long_rod = part(trimesh.creation.cylinder(radius=0.008, height=0.16, sections=48), "long")
    lying = np.eye(4)
    lying[:3, :3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]
    lying[2, 3] = 0.6
    scene = draw({**parts, "long": long_rod}, ["long"], [lying])
    middle = scene.instance_ids == 0
    middle[:, :285], middle[:, 355:] = False, False  # the mask of a segmentation that took it for a short one
    scene.detections = [detection("rod", middle)]
    wrong, score_wrong = evidence(part_renderer, scene, "rod", lying)
    right, score_right = evidence(part_renderer, draw(parts, ["rod"], [lying]), "rod", lying)
    assert wrong["explained"] > 0.9
    assert wrong["contour_continued"] > right["contour_continued"] + 0.1
    # The long sides agree with it; its ends do not.
    assert wrong["worst_continued"] > 0.5 > right["worst_continued"] + 0.2
    assert wrong["weakest_edge"] < right["weakest_edge"] - 0.3
    assert score_right > score_wrong + 0.05


def test_pixels_of_another_detection_are_stolen(parts, part_renderer):
    truth = facing()
    scene = draw(parts, ["plate", "plate"], [truth, facing(x=0.08)])
    f, score = evidence(part_renderer, scene, "plate", facing(x=0.08), owner=0)
    assert f["stolen"] > 0.9 and score < 0.3


def test_finite_in_every_case(parts, part_renderer):
    rng = np.random.default_rng(2)
    scene = draw(parts, ["plate"], [facing()], dropout=0.9)
    for _ in range(20):
        f, score = evidence(
            part_renderer, scene, "cleat", pose(rng, parts["cleat"], rng.uniform((-0.4, -0.3, 0.1), (0.4, 0.3, 1)))
        )
        assert np.isfinite(list(f.values())).all() and 0.0 <= score <= 1.0


def test_names_are_unique():
    assert len(set(FEATURES)) == len(FEATURES)
