"""The judge measures all poses alike, and compares similar parts in one place."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import trimesh

from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.catalogue import ObjectModel, make_object
from binpose_self_training.gate.evidence import paired_evidence
from binpose_self_training.gate.judge import Judge, JudgeConfig

from ...conftest import known_scene
from .known_poses import moved, reported


def rod(length_m: float, name: str, number: int) -> ObjectModel:
    body = trimesh.creation.cylinder(radius=0.007, height=length_m, sections=48)
    return make_object(Mesh(body.vertices.astype(np.float32), body.faces.astype(np.int32)), name, number)


@pytest.fixture(scope="module")
def rods() -> tuple[ObjectModel, ...]:
    """Two rods that differ by 5 mm in length."""
    return rod(0.036, "short", 1), rod(0.041, "long", 2)


@pytest.mark.parametrize("seed", [0, 1])
def test_swapped_similar_parts_lose_although_each_fits_alone(rods: tuple[ObjectModel, ...], seed: int) -> None:
    scene = known_scene(rods, np.random.default_rng(seed))
    judge = Judge({part.id: part for part in rods})
    right = reported(scene)
    swapped = [replace(pose, object_id="long" if pose.object_id == "short" else "short", score=0.99) for pose in right]
    found = paired_evidence(scene.frame, right, swapped, judge)
    assert found.difference < -0.1


def test_a_pose_is_measured_alike_whoever_reports_it(scenes: list[Any], judge: Judge) -> None:
    poses = reported(scenes[0])
    loud = [replace(pose, score=1.0, residuals={"depth_agreement": 1.0}, hypotheses=()) for pose in poses]
    one, other = judge(scenes[0].frame, poses, loud)
    assert [a.probability for a in one] == [b.probability for b in other]
    assert [a.agreement for a in one] == [b.agreement for b in other]
    assert [a.claimed for a in one] != [b.claimed for b in other]


def test_a_pose_without_depth_on_it_is_neither_verified_nor_wrong(scenes: list[Any], judge: Judge) -> None:
    scene = scenes[0]
    depth = np.where(scene.instance_ids == 0, np.float32(0), scene.frame.depth_m)
    frame = RgbdFrame(scene.frame.color, depth, scene.frame.camera)
    whole = reported(scene)
    judged, _ = judge(frame, whole, [])
    assert not judged[0].verified and judged[1].verified and judged[2].verified
    found = paired_evidence(frame, whole, whole[1:], judge)
    assert found.champion.verified == found.candidate.verified == 2


def test_more_pixels_may_be_demanded(scenes: list[Any], objects: tuple[ObjectModel, ...]) -> None:
    strict = Judge({part.id: part for part in objects}, config=JudgeConfig(least_px=100_000))
    judged, _ = strict(scenes[0].frame, reported(scenes[0]), [])
    assert [one.probability for one in judged] == [0.0] * 3


def test_neighbours_do_not_share_a_place(scenes: list[Any], judge: Judge) -> None:
    poses = reported(scenes[0])
    judged, _ = judge(scenes[0].frame, poses, [])
    for i, one in enumerate(judged):
        assert [judge.same_place(one.confirmed, other.confirmed) for other in judged] == [i == j for j in range(3)]
    near = replace(poses[0], T_cam_obj=moved(poses[0].T_cam_obj, (0.002, 0.0, 0.0)))
    (shifted,), _ = judge(scenes[0].frame, [near], [])
    assert judge.same_place(judged[0].confirmed, shifted.confirmed)
