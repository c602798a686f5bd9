"""What the pose network learns from a detector's own detections."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection
from binpose_core.geometry.transforms import transform
from binpose_core.learning.training_loop import LoopConfig
from binpose_core.parts.true_detection import true_detection
from binpose_estimator import DefaultPreset, EstimatorConfig, PoseTrainingConfig
from binpose_estimator.crop_pool import CropPool, crop_pool
from binpose_estimator.crops import MASK, TRUTH
from binpose_estimator.head import at_cells
from binpose_estimator.training import sample_batch

NAMES = ("block", "rod", "bracket")
ESTIMATOR = EstimatorConfig(NAMES, gsd_m=1e-3, preset=DefaultPreset((8, 8, 8), hypotheses=2))
OFFSET_PX = np.array([3.0, -2.0])


def training(**changes: object) -> PoseTrainingConfig:
    return PoseTrainingConfig(
        **{"loop": LoopConfig(steps=1), "batch_size": 32, "gsd_jitter": (1.0, 1.0), "detected_share": 1.0, **changes}
    )


@pytest.fixture
def detected(objects) -> Callable[..., Detection]:
    """What a detector says of an instance, its centre off by OFFSET_PX, with changes."""

    def detection(view, instance: int, **changes: object) -> Detection:
        part, mask = objects[view.object_ids[instance]], view.instance_ids == instance
        plain = true_detection(part, view.T_cam_obj[instance], mask, view.frame.camera, 0.9)
        u, v = plain.center_px + OFFSET_PX
        return replace(plain, center_px=(float(u), float(v)), **changes)

    return detection


def pool_of(view, objects, detections: Sequence[Detection], **changes: object) -> CropPool:
    return crop_pool([view], objects, ESTIMATOR, training(**changes), seed=0, detect=lambda _: detections)


def test_crops_of_detections_have_the_true_poses_in_their_frames(views, objects, detected) -> None:
    view = views[0]
    pool = pool_of(view, objects, [detected(view, i) for i in range(5)])
    assert pool.detected.all() and pool.matches.all()
    assert pool.classes.tolist() == [NAMES.index(name) for name in view.object_ids]
    for i, T in enumerate(view.T_cam_obj):
        part, R_cam_crop = objects[view.object_ids[i]], pool.crops.R_cam_crop[i]
        np.testing.assert_allclose(R_cam_crop @ pool.rotation[i], T[:3, :3], atol=1e-6)
        local = pool.center[i] + [0, 0, pool.crops.distance[i]]
        center = transform(T, part.center_m[None])[0]
        np.testing.assert_allclose(R_cam_crop @ local * part.diameter_m, center, atol=1e-6)
        assert np.linalg.norm(pool.center[i]) > 0.01  # seen from where the detector takes the centre to be


def test_the_networks_mask_is_the_detectors_and_the_truth_the_whole_part(views, objects, detected) -> None:
    view = views[0]
    whole = [detected(view, i) for i in range(5)]
    half = [replace(d, mask=d.mask & (np.arange(d.mask.shape[1]) < d.mask.shape[1] // 2)) for d in whole]
    pool = pool_of(view, objects, half, damaged_masks=1.0)
    mask, truth = (pool.crops.flags & MASK) > 0, (pool.crops.flags & TRUTH) > 0
    assert not (mask & ~truth).any()
    assert (mask.sum((1, 2)) < 0.75 * truth.sum((1, 2))).all() and mask.any((1, 2)).all()
    inputs, targets = sample_batch(pool, training(damaged_masks=1.0), np.random.default_rng(0))
    seen = {int(m.sum()) for m in inputs["mask"]}
    assert seen <= {int(m.sum()) for m in mask}, "what a detector has damaged is not damaged again"
    cells = at_cells(inputs["mask"][:, 0]) > 0
    assert (targets.covered & ~cells).any(), "coordinates are learnt beyond the mask"


def test_a_detectors_mistakes_match_nothing(views, objects, detected) -> None:
    view = views[0]
    background = np.zeros_like(view.instance_ids, bool)
    background[:12, :12] = True
    assert (view.instance_ids[background] < 0).all()
    right = detected(view, 0, alternatives=(("rod", 0.2),))
    mistakes = [
        detected(view, 1, object_id="bracket"),
        replace(detected(view, 2), bbox_xyxy=(0, 0, 12, 12), mask=background[:12, :12]),
        detected(view, 3, center_depth_m=2.0),
    ]
    pool = pool_of(view, objects, [right, *mistakes])
    assert pool.matches.tolist() == [True, False, False, False, False]
    assert pool.classes.tolist() == [0, 1, 2, 2, 2]


def test_what_is_hardly_seen_is_no_example(views, objects, detected) -> None:
    view = replace(views[0], visible_fraction=np.array([1, 0.05, 1, 1, 1]))
    pool = pool_of(view, objects, [detected(view, i) for i in range(5)])
    assert len(pool.classes) == 4 and pool.matches.all()


@pytest.mark.parametrize(("share", "asked"), [(0.0, 0), (1.0, 3)])
def test_a_share_of_the_views_is_shown_to_the_detector(views, objects, share: float, asked: int) -> None:
    """Where it finds nothing, the true masks serve."""
    frames: set[str] = set()

    def blind(frame: RgbdFrame) -> list[Detection]:
        frames.add(frame.name)
        return []

    settings = training(detected_share=share, wrong_share=0.0)
    pool = crop_pool(views, objects, ESTIMATOR, settings, seed=0, detect=blind)
    assert not pool.detected.any() and len(pool.classes) == 15
    assert len(frames) == asked
