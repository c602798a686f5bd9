"""`binpose estimate --explain`: a picture for each part, linked from the report, that shows what is left over."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from binpose import cli
from binpose.commands import estimate
from binpose.explain import AGREES, PANEL_PX, TEXT_PX, Explainer, initial_pose_of
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import exp_so3
from binpose_core.parts.symmetries import Symmetries
from binpose_pipeline.bundle import PipelineBundle


@pytest.fixture
def explainer(bundle: PipelineBundle) -> Explainer:
    return Explainer(bundle.objects)


def test_each_part_gets_a_picture_that_the_report_links(
    monkeypatch: pytest.MonkeyPatch, bundle: PipelineBundle, dataset: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(estimate, "load_bundle", lambda *_, **__: bundle)
    out = tmp_path / "run"
    assert cli.main(["estimate", str(dataset), "--model", "standin", "--out", str(out), "--explain"]) == 0
    pictures = sorted(path.relative_to(out).as_posix() for path in out.glob("frames/*/explain/*.png"))
    assert len(pictures) == 9
    page = (out / "report.html").read_text()
    assert all(f"href='{path}'" in page for path in pictures)
    assert cv2.imread(str(out / pictures[0])).shape[:2] == (TEXT_PX + 2 * (PANEL_PX + TEXT_PX), 3 * PANEL_PX)


def test_the_true_pose_leaves_no_colour_and_a_wrong_one_does(explainer: Explainer, scenes: Sequence) -> None:
    scene = scenes[0]
    true = PoseEstimate(scene.object_ids[0], scene.T_cam_obj[0], 0.9)
    T = true.T_cam_obj.copy()
    T[2, 3] += 0.004
    pictures = [explainer.draw(scene.frame, pose, ()) for pose in (true, replace(true, T_cam_obj=T))]
    colored = [saturation(picture) for picture in pictures]
    assert colored[0] < 0.15 < 0.4 < colored[1]


def saturation(picture: np.ndarray) -> float:
    """How far the last row's residual is from the colour of agreement, in [0, 1]."""
    panel = picture[-TEXT_PX - PANEL_PX : -TEXT_PX, 2 * PANEL_PX :].astype(float)
    shown = panel[panel.max(-1) > 61]
    return float(np.abs(shown - AGREES).max(-1).mean() / 170)


def test_the_guess_is_the_nearest_hypothesis_of_the_part(bundle: PipelineBundle, scenes: Sequence) -> None:
    scene = scenes[0]
    name, part = scene.object_ids[0], bundle.objects[scene.object_ids[0]]
    near, far = scene.T_cam_obj[0].copy(), scene.T_cam_obj[0].copy()
    near[0, 3] += 0.002
    far[:3, :3] = exp_so3(np.array([0.5, 0.4, 0.0])) @ far[:3, :3]
    before = [
        PoseEstimate(name, far, 0.9, detection_index=0),
        PoseEstimate(name, near, 0.4, detection_index=0),
        PoseEstimate("something else", scene.T_cam_obj[0], 0.9, detection_index=0),
    ]
    pose = PoseEstimate(name, scene.T_cam_obj[0], 0.9, detection_index=0)
    initial = initial_pose_of(pose, before, part)
    assert initial is not None and np.linalg.norm(initial[:3, 3] - near[:3, 3]) < 0.02
    assert initial_pose_of(pose, before[2:], part) is None
    for index in (None, 1):
        assert initial_pose_of(replace(pose, detection_index=index), before, part) is None


@pytest.mark.parametrize("exact", [False, True])
def test_a_guess_that_refinement_turned_is_shown_as_it_was(
    bundle: PipelineBundle, scenes: Sequence, exact: bool
) -> None:
    """Half a turn off, it is where the pose came from; only if nobody can see the turn it is drawn without."""
    scene, turn = scenes[0], np.eye(4)
    turn[:3, :3] = exp_so3(np.array([0, 0, np.pi]))
    name, part, none = scene.object_ids[0], bundle.objects[scene.object_ids[0]], np.zeros((0, 4, 4))
    symmetries = (
        Symmetries(np.stack([np.eye(4), turn]), (), none) if exact else Symmetries(np.eye(4)[None], (), turn[None])
    )
    truth = scene.T_cam_obj[0]
    beside = truth.copy()
    beside[0, 3] += 0.2 * part.diameter_m
    before = [PoseEstimate(name, T, 0.9, detection_index=0) for T in (beside, truth @ turn)]
    initial = initial_pose_of(
        PoseEstimate(name, truth, 0.9, detection_index=0), before, replace(part, symmetries=symmetries)
    )
    np.testing.assert_allclose(initial, truth if exact else truth @ turn, atol=1e-9)


def test_poses_behind_the_camera_are_drawn_without_an_error(explainer: Explainer, scenes: Sequence) -> None:
    for z in (0.0, -0.5):
        T = scenes[0].T_cam_obj[0].copy()
        T[2, 3] = z
        assert explainer.draw(scenes[0].frame, PoseEstimate(scenes[0].object_ids[0], T, 0.0), ()).size
