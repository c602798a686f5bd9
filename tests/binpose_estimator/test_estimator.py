"""With a network that knows the truth, the estimator's poses are the truth."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.frames.label_image import label_image
from binpose_core.frames.types import Detection
from binpose_core.frames.working_view import make_working_view
from binpose_core.geometry.transforms import random_rotation, rotation_angle_rad, transform
from binpose_estimator import (
    DefaultPreset,
    EstimatorConfig,
    HypothesesHead,
    PoseEstimator,
    PoseNetwork,
    PosePrediction,
    build_network,
)
from binpose_estimator.candidates import center_of
from binpose_estimator.crops import QUARTER_TURN, Crops, look_at
from binpose_estimator.estimator import _posterior
from binpose_estimator.head import at_cells
from binpose_estimator.poses import DecodedPoses

NAMES = ("block", "rod", "bracket")
CONFIG = EstimatorConfig(NAMES, gsd_m=1e-3, preset=DefaultPreset((8, 8, 8), hypotheses=2))


def centers_of(known, objects) -> np.ndarray:
    pairs = zip(known.object_ids, known.T_cam_obj, strict=True)
    return np.array([transform(T, objects[name].center_m[None])[0] for name, T in pairs])


def detections_of(known, objects, error_m: np.ndarray | float = 0.0) -> list[Detection]:
    """What a detector would say, its centres off by error_m (N, 3)."""
    found = []
    for instance, center in enumerate(centers_of(known, objects) + error_m):
        u, v = known.frame.camera.project(center).tolist()
        mask = known.instance_ids == instance
        found.append(Detection.from_mask(known.object_ids[instance], 0.9, mask, (u, v), float(center[2])))
    return found


class Oracle(torch.nn.Module):
    """Says the true poses, in the frames of virtual cameras that look at the detected centres.

    By its first hypothesis of two, the other being nonsense; or by its object coordinates alone. In one look: what it
    says in the others is nonsense, of which it is not sure.
    """

    decode = HypothesesHead.decode

    def __init__(self, known, objects, detections, by_coordinates: bool = False, look: int = 0) -> None:
        super().__init__()
        self.look, self.asked = look, 0
        camera = known.frame.camera
        places = np.array([[*d.center_px, 1.0] for d in detections])
        rays = np.c_[(places[:, :2] - [camera.cx, camera.cy]) / [camera.fx, camera.fy], np.ones(len(places))]
        places = rays * np.array([[d.center_depth_m] for d in detections])
        R_crop_cam = look_at(places, np.zeros(len(places))).transpose(0, 2, 1)
        diameters = np.array([[objects[name].diameter_m] for name in known.object_ids])
        local = (R_crop_cam @ centers_of(known, objects)[..., None])[..., 0]
        local[:, 2] -= np.linalg.norm(places, axis=1)
        self.rotation = torch.from_numpy(R_crop_cam @ known.T_cam_obj[:, :3, :3])
        self.center = torch.from_numpy(local / diameters)
        self.by_coordinates = by_coordinates
        self.classes: list[int] = []

    def forward(self, crops: torch.Tensor, classes: torch.Tensor) -> PosePrediction:
        self.classes = classes.tolist()
        turn = torch.from_numpy(np.linalg.matrix_power(QUARTER_TURN, 2 * self.asked)).double()
        blind, self.asked = self.asked != self.look, self.asked + 1
        rotation, center = turn @ self.rotation, self.center @ turn.T
        nonsense = torch.from_numpy(random_rotation(np.random.default_rng(0), (len(classes),)))
        first = nonsense if self.by_coordinates or blind else rotation
        observed = at_cells(crops[:, :3]).double()
        coordinates = torch.einsum("bji,bjhw->bihw", rotation, observed - center[..., None, None])
        told = self.by_coordinates and not blind
        return PosePrediction(
            torch.stack([first, nonsense], 1).float(),
            torch.stack([center, center + 0.3], 1).float(),
            torch.tensor([[0.0, 0.0] if self.by_coordinates or blind else [6.0, 0.0]]).repeat(len(classes), 1),
            coordinates.float() if told else torch.zeros_like(coordinates).float(),
            torch.zeros(len(classes), 16, 16),
            torch.full((len(classes),), 6.0),
        )


@pytest.mark.parametrize("look", [0, 1], ids=["at the first look", "upside down"])
@pytest.mark.parametrize("number", range(3))
def test_the_truth_comes_through(views, objects, number: int, look: int, rng: np.random.Generator) -> None:
    """In the camera's frame, for parts far from its axis whose origin is not their centre."""
    known = views[number]
    detections = detections_of(known, objects, rng.normal(0, 0.003, (5, 3)))
    oracle = Oracle(known, objects, detections, look=look)
    estimates = PoseEstimator(oracle, CONFIG, objects)(known.frame, detections)
    assert oracle.classes == [NAMES.index(name) for name in known.object_ids]
    for index, (detection, estimate, T_cam_obj) in enumerate(zip(detections, estimates, known.T_cam_obj, strict=True)):
        assert estimate.detection_index == index and estimate.object_id == detection.object_id
        np.testing.assert_allclose(estimate.T_cam_obj, T_cam_obj, atol=2e-6)
        scores = [h.score for h in estimate.hypotheses]
        assert scores == sorted(scores, reverse=True) and estimate.score == scores[0] > 0.8
        np.testing.assert_array_equal(estimate.hypotheses[0].T_cam_obj, estimate.T_cam_obj)


@pytest.mark.parametrize("look", [0, 1], ids=["at the first look", "upside down"])
@pytest.mark.parametrize("number", range(3))
def test_true_coordinates_alone_give_the_truth(
    views, objects, number: int, look: int, rng: np.random.Generator
) -> None:
    known = views[number]
    detections = detections_of(known, objects, rng.normal(0, 0.003, (5, 3)))
    oracle = Oracle(known, objects, detections, True, look)
    estimates = PoseEstimator(oracle, CONFIG, objects)(known.frame, detections)
    for estimate, T_cam_obj in zip(estimates, known.T_cam_obj, strict=True):
        assert rotation_angle_rad(estimate.T_cam_obj[:3, :3], T_cam_obj[:3, :3]) < 1e-3
        np.testing.assert_allclose(estimate.T_cam_obj[:3, 3], T_cam_obj[:3, 3], atol=1e-4)
        assert estimate.score > 0.85  # the share of inliers, by the detection's score
    assert oracle.asked == look + 1, "nobody looks again at what is sure"


@pytest.fixture(scope="module")
def untrained(objects) -> PoseEstimator:
    torch.manual_seed(0)
    return PoseEstimator(build_network(CONFIG), CONFIG, objects)


def test_another_class_is_tried_too(views, objects, untrained: PoseEstimator) -> None:
    known = views[0]
    detections = detections_of(known, objects)
    detections[0] = replace(detections[0], alternatives=(("rod", 0.3),))
    estimates = untrained(known.frame, detections)
    assert {h.object_id for h in estimates[0].hypotheses} == {"block", "rod"}
    assert {h.object_id for h in estimates[1].hypotheses} == {"rod"}
    shares = {
        name: sum(h.score for h in estimates[0].hypotheses[:] if h.object_id == name) for name in ("block", "rod")
    }
    assert shares["rod"] < shares["block"]


def test_the_crops_decide_between_the_classes(views, objects) -> None:
    """What the network recognises outweighs the detector's first guess, and what it does not is not pursued."""
    known = views[0]
    detections = detections_of(known, objects)[:1]
    detections[0] = replace(detections[0], alternatives=(("rod", 0.3),))

    class Judge(PoseNetwork):
        def forward(self, crops: torch.Tensor, classes: torch.Tensor) -> PosePrediction:
            return replace(super().forward(crops, classes), match=torch.tensor([-3.0, 3.0])[classes])

    torch.manual_seed(0)
    plain = build_network(CONFIG)
    (estimate,) = PoseEstimator(Judge(plain.backbone, plain.head), CONFIG, objects)(known.frame, detections)
    assert {h.object_id for h in estimate.hypotheses} == {"rod"}


def test_posteriors_weigh_prior_and_crop() -> None:
    owners, shares = np.array([0, 0, 1], np.int32), np.array([0.6, 0.4, 0.9])
    even = _posterior(owners, shares, np.zeros(3, np.float32))
    np.testing.assert_allclose(even, [0.6 / 1.05, 0.4 / 1.05, 0.9 / 0.95])
    turned = _posterior(owners, shares, np.array([-2, 2, -5], np.float32))
    assert turned[1] > 0.9 and turned[0] < 0.05 and turned[2] < 0.2  # the last one is none of the known parts
    assert np.isfinite(_posterior(owners, shares, np.array([1e6, -1e6, 0], np.float32))).all()


def test_a_detection_without_depth_gets_a_crop_from_what_is_around_it(views, objects, untrained) -> None:
    known = views[0]
    blind = [replace(d, center_depth_m=float("nan")) for d in detections_of(known, objects)]
    estimates = untrained(known.frame, blind)
    depths = [e.T_cam_obj[2, 3] for e in estimates]
    assert len(estimates) == 5 and (np.abs(np.array(depths) - 0.55) < 0.15).all()


def test_part_without_any_depth_pixel_is_survived(views, objects, untrained) -> None:
    known = views[0]
    depth_m = np.where(known.instance_ids == 0, 0, known.frame.depth_m)
    x0, y0, x1, y1 = detections_of(known, objects)[0].bbox_xyxy
    depth_m[max(0, y0 - 20) : y1 + 20, max(0, x0 - 20) : x1 + 20] = 0
    frame = replace(known.frame, depth_m=depth_m)
    blind = [replace(d, center_depth_m=float("nan")) for d in detections_of(known, objects)]
    for estimate in untrained(frame, blind):
        assert np.isfinite(estimate.T_cam_obj).all()


def test_masks_are_placed_where_the_labels_are(views, objects) -> None:
    for gsd_m in (0.8e-3, 1e-3, 1.7e-3, 2.6e-3):
        known = views[1]
        view = make_working_view(known.frame, gsd_m, 640 * 480)
        labels = label_image(detections_of(known, objects), *view.frame_shape)
        np.testing.assert_array_equal(view.labels(labels), view.labels(known.instance_ids))


def test_rival_proposals_for_its_pixels_change_no_crop(views, objects, untrained: PoseEstimator) -> None:
    """Each detection is also proposed by half of its mask, before and after it."""
    known = views[0]
    detections = detections_of(known, objects)
    halves = []
    for detection in detections:
        mask = detection.mask.copy()
        mask[: len(mask) // 2] = False
        if mask.any():
            halves.append(replace(detection, mask=mask))
    view = make_working_view(known.frame, CONFIG.gsd_m, CONFIG.max_pixels)

    def cropped(all_detections: list[Detection], owners: np.ndarray) -> Crops:
        names = [all_detections[i].object_id for i in owners]
        centers = np.array([center_of(all_detections[i], known.frame, 0.05) for i in owners])
        return untrained.crops(view, all_detections, owners.astype(np.int32), names, centers)

    alone = cropped(detections, np.arange(len(detections)))
    for order in (detections + halves, halves + detections):
        places = np.array([next(i for i, d in enumerate(order) if d is own) for own in detections])
        among = cropped(order, places)
        np.testing.assert_array_equal(among.flags, alone.flags)
        np.testing.assert_array_equal(among.depth, alone.depth)


def test_no_detection_gives_no_pose(views, untrained: PoseEstimator) -> None:
    assert untrained(views[0].frame, []) == []


def test_a_frame_without_depth_is_refused(views, objects, untrained: PoseEstimator) -> None:
    frame = replace(views[0].frame, depth_m=None)
    with pytest.raises(BinposeError, match=r"'view 0' has no depth.*expected an aligned depth image"):
        untrained(frame, detections_of(views[0], objects))


def test_a_part_that_the_weights_do_not_know_is_refused(views, objects, untrained: PoseEstimator) -> None:
    stranger = replace(detections_of(views[0], objects)[0], object_id="cog")
    with pytest.raises(BinposeError, match="Detections of cog, but the pose weights know block, rod, bracket"):
        untrained(views[0].frame, [stranger])


def test_a_part_without_mesh_is_refused(objects) -> None:
    with pytest.raises(BinposeError, match="no mesh for bracket"):
        PoseEstimator(build_network(CONFIG), CONFIG, {n: objects[n] for n in ("block", "rod")})


def test_a_stored_estimator_says_the_same(views, objects, untrained: PoseEstimator) -> None:
    detections = detections_of(views[0], objects)
    tensors, config = untrained.to_tensors()
    other = PoseEstimator.from_tensors(tensors, config, objects)
    assert other.config == untrained.config
    for one, two in zip(untrained(views[0].frame, detections), other(views[0].frame, detections), strict=True):
        np.testing.assert_array_equal(one.T_cam_obj, two.T_cam_obj)
        assert [h.score for h in one.hypotheses] == [h.score for h in two.hypotheses]


def test_weights_of_another_shape_are_refused(objects, untrained: PoseEstimator) -> None:
    tensors, config = untrained.to_tensors()
    with pytest.raises(BinposeError, match="pose weights do not fit"):
        PoseEstimator.from_tensors(tensors, config | {"hypotheses": 3}, objects)
    name = "head.rotation.weight"
    with pytest.raises(BinposeError, match="NaN"):
        PoseEstimator.from_tensors(tensors | {name: np.full_like(tensors[name], np.nan)}, config, objects)


@pytest.mark.parametrize("changes", [{"objects": ()}, {"objects": ("a", "a")}, {"test_time_rotations": 3}])
def test_nonsense_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(BinposeError, match="must be"):
        EstimatorConfig(**{"objects": NAMES, **changes})


@pytest.mark.parametrize(("rotatable", "passes"), [(True, 4), (False, 1)])
def test_crops_are_rotated_where_the_preset_allows_it(views, objects, rotatable: bool, passes: int) -> None:
    known = views[0]
    detections = detections_of(known, objects)
    preset = type("Fixed", (DefaultPreset,), {"rotatable": rotatable})((8, 8, 8), hypotheses=2)
    oracle = Oracle(known, objects, detections, look=5)  # never certain
    PoseEstimator(oracle, replace(CONFIG, test_time_rotations=4, preset=preset), objects)(known.frame, detections)
    assert oracle.asked == passes


def test_a_detection_without_a_pose_is_left_out(views, objects, monkeypatch: pytest.MonkeyPatch) -> None:
    known = views[0]
    detections = detections_of(known, objects)
    oracle = Oracle(known, objects, detections)

    def decode(prediction: PosePrediction, inputs, parts) -> DecodedPoses:
        poses = HypothesesHead.decode(oracle, prediction, inputs, parts)
        nothing = np.array([part.id == "rod" for part in parts])
        return replace(poses, score=np.where(nothing[:, None], 0.0, poses.score))

    monkeypatch.setattr(oracle, "decode", decode)
    estimates = PoseEstimator(oracle, CONFIG, objects)(known.frame, detections)
    expected = [i for i, d in enumerate(detections) if d.object_id != "rod"]
    assert [e.detection_index for e in estimates] == expected


def test_settings_with_the_estimators_names_are_refused() -> None:
    @dataclass(frozen=True)
    class Clash(DefaultPreset):
        gsd_m: float = 1.0

    with pytest.raises(BinposeError, match="'default' has settings named gsd_m; expected other names"):
        EstimatorConfig(NAMES, preset=Clash())


def test_without_any_depth_a_part_is_where_its_size_says(views, objects) -> None:
    known = views[0]
    frame = replace(known.frame, depth_m=None)
    for detection, center in zip(detections_of(known, objects), centers_of(known, objects), strict=True):
        blind = replace(detection, center_depth_m=float("nan"))
        diameter_m = objects[detection.object_id].diameter_m
        assert np.linalg.norm(center_of(blind, frame, diameter_m) - center) < 0.4 * center[2]
        assert center_of(blind, replace(frame, distance_m=0.7), diameter_m)[2] == 0.7
        np.testing.assert_allclose(center_of(detection, frame, diameter_m), center, atol=1e-9)
