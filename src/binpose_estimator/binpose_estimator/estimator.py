"""Poses of all detected instances of a frame, in one batch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from binpose_core.base.errors import BinposeError, NoDepth, UnknownObject
from binpose_core.base.precision import autocast, channels_last
from binpose_core.frames.label_image import label_image
from binpose_core.frames.prepared_frame import AnyFrame, prepared
from binpose_core.frames.types import Detection, Hypothesis, PoseEstimate
from binpose_core.frames.working_view import WorkingView
from binpose_core.geometry.transforms import FloatArray, from_rotation_translation
from binpose_core.learning.model_store import StoredModel
from binpose_core.learning.stored_parts import without_prefix
from binpose_core.learning.weights import load_arrays, to_arrays
from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.candidates import candidates, center_of
from binpose_estimator.correspondences import poses_from_coordinates
from binpose_estimator.crops import Crops, extract_crops, network_input
from binpose_estimator.head import PosePrediction
from binpose_estimator.network import PoseNetwork

CELL = 4
NO_PART = 0.05
"""Weight of a detection being none of its classes, against the likelihood ratios of the crops."""
LEAST_SHARE = 0.03
"""Classes this much less likely than a detection's best one are not pursued."""
SURE = 0.5
"""Crops of which so many dense coordinates fit one pose are not rotated and tried again."""


@dataclass(frozen=True)
class EstimatorConfig:
    """What the weights belong to, and how often the network runs.

    objects: ids in the order of the classes. gsd_m, max_pixels: of the working view.
    test_time_rotations: 1, 2 or 4 rotations of each crop about the line of sight. The first is enough where its object
        coordinates fit one pose well.
    """

    objects: tuple[str, ...]
    gsd_m: float = 1e-3
    max_pixels: int = 640 * 480
    widths: tuple[int, int, int] = (48, 96, 160)
    hypotheses: int = 5
    test_time_rotations: int = 2

    def __post_init__(self) -> None:
        if not self.objects or len(set(self.objects)) != len(self.objects):
            raise BinposeError(f"objects must be distinct and at least one, got {self.objects}.")
        if not 1e-5 < self.gsd_m < 0.1:
            raise BinposeError(f"gsd_m must be between 0.01 mm and 100 mm per pixel, got {self.gsd_m}.")
        if self.max_pixels < 1:
            raise BinposeError(f"max_pixels must be >= 1, got {self.max_pixels}.")
        if self.hypotheses < 1:
            raise BinposeError(f"hypotheses must be >= 1, got {self.hypotheses}.")
        if self.test_time_rotations not in (1, 2, 4):
            raise BinposeError(f"test_time_rotations must be 1, 2 or 4, got {self.test_time_rotations}.")


class PoseEstimator:
    """frame, detections -> one PoseEstimate per detection with its hypotheses, best first.

    Args:
        network: trained weights; put into evaluation mode.
        objects: the parts of `config.objects` by id.
    """

    def __init__(
        self, network: PoseNetwork, config: EstimatorConfig, objects: Mapping[str, ObjectModel], device: str = "cpu"
    ) -> None:
        missing = [name for name in config.objects if name not in objects]
        if missing:
            raise UnknownObject(
                f"The pose weights know the parts {', '.join(config.objects)}, but there is no mesh for "
                f"{', '.join(missing)}; give the model's own objects.",
                missing,
                objects,
            )
        self.config, self.objects = config, dict(objects)
        self.device = torch.device(device)
        self.network = channels_last(network.to(self.device).eval())

    def __call__(self, frame: AnyFrame, detections: Sequence[Detection]) -> list[PoseEstimate]:
        """Poses of all detections; the list is as long as that of the detections.

        Raises:
            BinposeError: if the frame has no depth, or for a detection of a part that the weights do not know.
        """
        given = prepared(frame)
        frame = given.frame
        if frame.depth_m is None:
            raise NoDepth(
                f"Frame {frame.name!r} has no depth, but this pose model needs it; expected an aligned depth image in "
                "metres; record depth too, and lay it where the frame's layout has it (depth/, or <name>_depth.png).",
                frame.name,
            )
        if not detections:
            return []
        view = given.view(self.config.gsd_m, self.config.max_pixels)
        owners, names, scores = candidates(detections)
        if unknown := set(names) - set(self.config.objects):
            raise UnknownObject(
                f"Detections of {', '.join(sorted(unknown))}, but the pose weights know "
                f"{', '.join(self.config.objects)}; use the detector of the same model.",
                sorted(unknown),
                self.config.objects,
            )
        centers = np.array([center_of(detections[i], frame) for i in owners])
        crops = self.crops(view, detections, owners, names, centers)
        first = self.run_network(crops, names)
        scores = scores if len(self.config.objects) == 1 else _posterior(owners, scores, first.match)
        likely = np.flatnonzero(scores >= LEAST_SHARE * _largest(scores, owners))
        crops, names = crops[likely], [names[i] for i in likely]
        rounds = [(np.arange(len(likely)), decode_poses(first.take(likely)))]
        again = np.flatnonzero(rounds[0][1].surest < SURE)
        step = 4 // self.config.test_time_rotations
        for quarters in range(step, 4, step):
            if len(again):
                network_pass = self.run_network(crops[again].turned(quarters), [names[i] for i in again])
                rounds.append((again, decode_poses(network_pass)))
        return self._estimates(detections, owners[likely], names, scores[likely], centers[likely], rounds)

    def crops(
        self,
        view: WorkingView,
        detections: Sequence[Detection],
        owners: npt.NDArray[np.int32],
        names: Sequence[str],
        centers: FloatArray,
    ) -> Crops:
        """One crop per (detection, class): owners (B,) indices of detections, names (B,) classes, centers (B, 3)."""
        luma = cv2.cvtColor(view.color, cv2.COLOR_RGB2GRAY)
        labels = view.labels(label_image(detections, *view.frame_shape))
        diameters = np.array([self.objects[name].diameter_m for name in names])
        return extract_crops(view, luma, labels, owners, centers, diameters)

    def run_network(self, crops: Crops, names: Sequence[str]) -> "NetworkPass":
        """Run the network on B crops of parts `names`."""
        x = network_input(crops, self.device).to(memory_format=torch.channels_last)
        return NetworkPass(crops, x, self.predict(x, names))

    @torch.inference_mode()
    def predict(self, x: torch.Tensor, names: Sequence[str]) -> PosePrediction:
        """Run the network on B inputs (B, 9, n, n) of parts `names`."""
        classes = torch.tensor([self.config.objects.index(name) for name in names], device=self.device)
        with autocast(self.device):
            prediction: PosePrediction = self.network(x, classes)
        return prediction

    def _estimates(
        self,
        detections: Sequence[Detection],
        owners: npt.NDArray[np.int32],
        names: Sequence[str],
        scores: FloatArray,
        centers: FloatArray,
        rounds: Sequence[tuple[npt.NDArray[np.int64], "DecodedPoses"]],
    ) -> list[PoseEstimate]:
        found: list[list[Hypothesis]] = [[] for _ in detections]
        for rows, guesses in rounds:
            for b, R_cam_crop, *told in zip(
                rows, guesses.R_cam_crop, guesses.rotation, guesses.center, guesses.score, strict=True
            ):
                part, distance = self.objects[names[b]], np.linalg.norm(centers[b])
                for R, c, s in zip(*told, strict=True):
                    if s <= 0:
                        continue
                    R_cam_obj = R_cam_crop @ R
                    center_cam = R_cam_crop @ (c * part.diameter_m + [0, 0, distance])
                    pose = from_rotation_translation(R_cam_obj, center_cam - R_cam_obj @ part.center_m)
                    found[owners[b]].append(Hypothesis(names[b], pose, float(s * scores[b])))
        estimates = []
        for index, mine in enumerate(found):
            ranked = tuple(sorted(mine, key=lambda h: -h.score))
            best = ranked[0]
            estimates.append(
                PoseEstimate(best.object_id, best.T_cam_obj, best.score, detection_index=index, hypotheses=ranked)
            )
        return estimates

    def to_tensors(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """The weights by name and the configuration as plain JSON data."""
        return to_arrays(self.network), asdict(self.config)

    @classmethod
    def from_stored(
        cls, stored: StoredModel, objects: Mapping[str, ObjectModel], device: str = "cpu"
    ) -> "PoseEstimator":
        """The estimator that a model with these objects was saved with; raises as `from_tensors` does."""
        tensors = without_prefix("estimator/", stored.tensors)
        return cls.from_tensors(tensors, stored.header["config"]["estimator"], objects, device)

    @classmethod
    def from_tensors(
        cls,
        tensors: Mapping[str, npt.NDArray[Any]],
        config: Mapping[str, Any],
        objects: Mapping[str, ObjectModel],
        device: str = "cpu",
    ) -> "PoseEstimator":
        """The inverse of `to_tensors`; raises BinposeError if the weights do not fit the configuration."""
        values = dict(config) | {"objects": tuple(config["objects"]), "widths": tuple(config["widths"])}
        if "looks" in values:  # The name in models of binpose 0.1.
            values["test_time_rotations"] = values.pop("looks")
        settings = EstimatorConfig(**values)
        network = PoseNetwork(len(settings.objects), settings.widths, settings.hypotheses)
        load_arrays(network, tensors, "pose")
        return cls(network, settings, objects, device)


def _posterior(owners: npt.NDArray[np.int32], shares: FloatArray, match: npt.NDArray[np.float32]) -> FloatArray:
    """(B,) probability of each class of each detection.

    Args:
        owners: (B,) detections.
        shares: (B,) what the detector says of the class, taken as prior.
        match: (B,) logit that the crop shows it, taken as the logarithm of a likelihood ratio.
    """
    weight = shares * np.exp(np.clip(match.astype(np.float64), -8.0, 8.0))
    return np.asarray(weight / (np.bincount(owners, weight)[owners] + NO_PART))


def _largest(values: FloatArray, owners: npt.NDArray[np.int32]) -> FloatArray:
    """(B,) the largest value of each entry's owner."""
    largest = np.zeros(int(owners.max()) + 1)
    np.maximum.at(largest, owners, values)
    return largest[owners]


@dataclass(frozen=True)
class NetworkPass:
    """B crops, what the network sees of them (B, 9, n, n), and what it says."""

    crops: Crops
    x: torch.Tensor
    prediction: PosePrediction

    @property
    def match(self) -> npt.NDArray[np.float32]:
        """(B,) logit that the crop shows what was asked for."""
        return self.prediction.match.cpu().numpy()

    def take(self, index: npt.NDArray[np.int64]) -> "NetworkPass":
        """Some of the crops."""
        chosen = torch.from_numpy(index).to(self.x.device)
        return NetworkPass(self.crops[index], self.x[chosen], self.prediction.take(chosen))


@dataclass(frozen=True)
class DecodedPoses:
    """The K hypotheses of the head, and two from the dense coordinates, in the frames of B crops.

    rotation: (B, K + 2, 3, 3). center: (B, K + 2, 3) in diameters from the crop's centre. score: (B, K + 2); for the
    last two their share of inliers, 0 = no pose. R_cam_crop: (B, 3, 3).
    """

    rotation: FloatArray
    center: FloatArray
    score: FloatArray
    R_cam_crop: FloatArray

    @property
    def surest(self) -> FloatArray:
        """(B,) the larger share of inliers of the dense coordinates."""
        return self.score[:, -2:].max(1)


def decode_poses(network_pass: NetworkPass) -> DecodedPoses:
    """The hypotheses of the head and of the dense coordinates."""
    prediction = network_pass.prediction
    observed, valid = observed_cells(network_pass.x)
    coordinates = prediction.coordinates.flatten(2).transpose(1, 2).cpu().numpy()
    dense_rotation, dense_center, share = poses_from_coordinates(observed, coordinates, valid)
    rotation = np.concatenate([prediction.rotation.cpu().numpy().astype(np.float64), dense_rotation], 1)
    center = np.concatenate([prediction.center.cpu().numpy().astype(np.float64), dense_center], 1)
    score = np.concatenate([prediction.confidence.softmax(1).cpu().numpy(), share], 1)
    return DecodedPoses(rotation, center, score, network_pass.crops.R_cam_crop)


def observed_cells(x: torch.Tensor) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Observed points (B, 256, 3) in diameters from the crop's centre and whether they are valid and on the mask."""
    cells = x[:, :5, CELL // 2 :: CELL, CELL // 2 :: CELL].flatten(2).cpu()
    valid = (cells[:, 3] > 0) & (cells[:, 4] > 0)
    return cells[:, :3].transpose(1, 2).numpy().astype(np.float64), valid.numpy()
