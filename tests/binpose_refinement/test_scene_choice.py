"""The joint choice on drawn scenes: pixels explained once, no intersecting solids, alternatives listed."""

from dataclasses import replace

import numpy as np
import pytest

from binpose_core.frames.types import Detection, Hypothesis, PoseEstimate
from binpose_refinement.calibration_fit import fit_calibration
from binpose_refinement.config import RefinerConfig
from binpose_refinement.explained import explained_pixels
from binpose_refinement.refiner import IcpRefiner
from binpose_refinement.scene_choice import SCENE_EVIDENCE
from binpose_refinement.verification import FEATURES

from .conftest import detection


def true_poses(pile):
    return [
        PoseEstimate(name, T, 0.9, detection_index=i)
        for i, (name, T) in enumerate(zip(pile.ids, pile.T_cam_obj, strict=True))
    ]


def reported(poses):
    return {pose.detection_index: pose for pose in poses if pose.score > 0}


@pytest.fixture
def measured(parts):
    """A refiner that leaves poses where they are."""
    return IcpRefiner(parts, RefinerConfig())


@pytest.fixture
def calibrated(measured):
    evidence = np.random.default_rng(0).random((200, len(FEATURES)))
    return measured.using(calibration=fit_calibration(evidence, evidence.mean(1) > 0.5))


def test_a_part_detected_twice_is_reported_once(pile, measured):
    detections = [*pile.detections, pile.detections[0]]
    poses = [*true_poses(pile), PoseEstimate(pile.ids[0], pile.T_cam_obj[0], 0.9, detection_index=len(pile.ids))]
    pool = measured.verify(pile.frame, detections, poses, refine=False)
    found = measured.choose(pile.frame, pool)
    assert len(reported(found)) == len(pile.ids)
    (left_out,) = [pose for pose in found if pose.score == 0]
    assert left_out.residuals.keys() <= {"duplicate", "no_overlap"}  # equal masks: one detection owns the pixels


def test_proposals_for_the_same_pixels_take_no_evidence_from_each_other(pile, measured):
    """Every part is also proposed by a half of its mask and merged with its neighbour."""
    plain = measured.choose(pile.frame, measured.verify(pile.frame, pile.detections, true_poses(pile), refine=False))
    detections, poses = list(pile.detections), true_poses(pile)
    for i, name in enumerate(pile.ids):
        mask = pile.detections[i].full_mask(480, 640)
        half = mask & (np.cumsum(mask.any(0)) <= mask.any(0).sum() // 2)[None]
        merged = mask | pile.detections[(i + 1) % len(pile.ids)].full_mask(480, 640)
        for other, score in ((half, 0.7), (merged, 0.6)):
            poses.append(PoseEstimate(name, pile.T_cam_obj[i], 0.5, detection_index=len(detections)))
            detections.append(detection(name, other, score))
    more = measured.choose(pile.frame, measured.verify(pile.frame, detections, poses, refine=False))
    before, after = reported(plain), reported(more)
    assert len(after) == len(before) == len(pile.ids)
    best = {pose.T_cam_obj.tobytes(): pose.score for pose in after.values()}
    for pose in before.values():
        assert best[pose.T_cam_obj.tobytes()] >= pose.score - 0.02


def test_more_hypotheses_never_lose_a_part(pile, parts, measured):
    """Wrong poses beside each part change neither what is found nor where."""
    plain = measured.choose(pile.frame, measured.verify(pile.frame, pile.detections, true_poses(pile), refine=False))
    rng = np.random.default_rng(0)
    crowded = []
    for pose in true_poses(pile):
        wrong = []
        for _ in range(6):
            T = pose.T_cam_obj.copy()
            T[:3, 3] += rng.normal(0, 0.01, 3)
            wrong.append(Hypothesis(pose.object_id, T, 0.9))
        own = Hypothesis(pose.object_id, pose.T_cam_obj, 0.9)
        crowded.append(replace(pose, hypotheses=(*wrong, own)))
    more = measured.choose(pile.frame, measured.verify(pile.frame, pile.detections, crowded, refine=False))
    before, after = reported(plain), reported(more)
    assert before.keys() == after.keys()
    for i in before:
        np.testing.assert_array_equal(before[i].T_cam_obj, after[i].T_cam_obj)


def test_the_order_of_detections_does_not_matter(pile, measured):
    order = np.random.default_rng(2).permutation(len(pile.ids))
    poses = true_poses(pile)
    shuffled = [replace(poses[i], detection_index=n) for n, i in enumerate(order)]
    one = measured.choose(pile.frame, measured.verify(pile.frame, pile.detections, poses, refine=False))
    detections = [pile.detections[i] for i in order]
    other = measured.choose(pile.frame, measured.verify(pile.frame, detections, shuffled, refine=False))
    assert {p.T_cam_obj.tobytes() for p in one if p.score > 0} == {p.T_cam_obj.tobytes() for p in other if p.score > 0}


def test_two_looks_find_what_one_look_at_everything_finds(pile, measured):
    """A pool joined from two looks is that of one look, but for who owns pixels that two masks share."""
    poses, half = true_poses(pile), len(pile.ids) // 2
    first = measured.verify(pile.frame, pile.detections[:half], poses[:half], refine=False)
    both = measured.verify(pile.frame, pile.detections, poses[half:], first, refine=False)
    assert len(both.batch) == len(poses) and both.look.max() == 1
    found = reported(measured.choose(pile.frame, both))
    assert found.keys() == reported(measured.choose(pile.frame, measured.verify(
        pile.frame, pile.detections, poses, refine=False))).keys()  # fmt: skip
    later = {i for i, pose in found.items() if pose.residuals["later_look"] == 1.0}
    assert later == {i for i in found if i >= half}
    assert all(set(SCENE_EVIDENCE) <= set(pose.residuals) for pose in found.values())


def test_the_pixels_of_right_poses_are_explained_and_those_of_shifted_ones_are_not(pile, measured):
    poses = true_poses(pile)
    explained = measured.explained(pile.frame, poses)
    covered = np.zeros_like(explained)
    for found in pile.detections:
        covered |= found.full_mask(*covered.shape)
    assert (explained & covered).sum() > 0.95 * covered.sum()
    assert (explained & ~covered).sum() < 0.02 * covered.sum()
    shifted = []
    for pose in poses:
        T = pose.T_cam_obj.copy()
        T[2, 3] -= 0.03
        shifted.append(replace(pose, T_cam_obj=T))
    assert measured.explained(pile.frame, shifted).sum() < 0.1 * covered.sum()  # 5 % of the pixels have no depth
    assert not measured.explained(pile.frame, [replace(pose, score=0.2) for pose in poses]).any()


def test_nothing_is_explained_by_no_pose(pile, measured):
    assert not explained_pixels(pile.frame, [], measured._part_renderer, 0, 0.003).any()


def test_alternatives_are_distinct_and_their_probabilities_sum_to_one_at_most(pile, parts, calibrated):
    """The pose itself comes first; poses that differ by less than the limit of a right pose are one alternative."""
    rng = np.random.default_rng(1)
    poses = []
    for pose in true_poses(pile):
        others = []
        for angle in (0.0, 0.002, np.pi, np.pi / 2):
            T = pose.T_cam_obj.copy()
            c, s = np.cos(angle), np.sin(angle)
            T[:3, :3] = T[:3, :3] @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
            others.append(Hypothesis(pose.object_id, T, float(rng.random())))
        poses.append(replace(pose, hypotheses=tuple(others)))
    pool = calibrated.verify(pile.frame, pile.detections, poses, refine=False)
    for pose in reported(calibrated.choose(pile.frame, pool)).values():
        first, *rest = pose.hypotheses
        np.testing.assert_array_equal(first.T_cam_obj, pose.T_cam_obj)
        assert first.score == pose.score
        assert sum(h.score for h in pose.hypotheses) <= 1.0 + 1e-9
        assert [h.score for h in rest] == sorted((h.score for h in rest), reverse=True)
        assert len(rest) <= 2


def test_a_detection_without_pixels_in_the_image_is_left_out(pile, measured):
    nothing = Detection(pile.ids[0], 0.5, (10, 10, 14, 14), np.zeros((4, 4), bool), (12.0, 12.0))
    poses = [*true_poses(pile), PoseEstimate(pile.ids[0], pile.T_cam_obj[0], 0.9, detection_index=len(pile.ids))]
    found = measured.choose(pile.frame, measured.verify(pile.frame, [*pile.detections, nothing], poses, refine=False))
    assert len(reported(found)) == len(pile.ids)
    assert [p.residuals for p in found if p.score == 0] == [{"mask_too_small": 1.0}]
