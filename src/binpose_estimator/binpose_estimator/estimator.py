"""Poses of all detected instances of a frame, in one batch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from binpose_core.base.errors import BinposeError, NoDepth, UnknownObject
from binpose_core.base.precision import autocast, channels_last
from binpose_core.frames.label_image import label_image
from binpose_core.frames.layers import layers_of, rival_detections
from binpose_core.frames.prepared_frame import AnyFrame, prepared
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, Hypothesis, PoseEstimate
from binpose_core.frames.working_view import WorkingView
from binpose_core.geometry.transforms import FloatArray, from_rotation_translation
from binpose_core.learning.model_store import StoredModel
from binpose_core.learning.stored_parts import without_prefix
from binpose_core.learning.weights import load_arrays, to_arrays
from binpose_core.parts.catalogue import ObjectModel
from binpose_estimator.candidates import candidates, center_of
from binpose_estimator.crops import CropInputs, Crops, concatenate, extract_crops, network_input
from binpose_estimator.network import PoseNetwork
from binpose_estimator.onnx_engine import ONNXRUNTIME, TORCH, OnnxPoseNetwork, check_engine
from binpose_estimator.poses import DecodedPoses, Prediction
from binpose_estimator.presets import DefaultPreset, Preset, find_preset

NO_PART = 0.05
"""Weight of a detection being none of its classes, against the likelihood ratios of the crops."""
LEAST_SHARE = 0.03
"""Classes this much less likely than a detection's best one are not pursued."""
SURE = 0.5
"""Crops whose poses are this certain are not rotated and tried again."""


@dataclass(frozen=True)
class EstimatorConfig:
    """What the weights belong to, and how often the network runs.

    objects: ids in the order of the classes. gsd_m, max_pixels: of the working view.
    test_time_rotations: 1, 2 or 4 rotations of each crop about the line of sight, where the preset allows them. The
        first is enough where its poses are certain.
    preset: the kind of estimator, with the settings of its network.
    """

    objects: tuple[str, ...]
    gsd_m: float = 1e-3
    max_pixels: int = 640 * 480
    test_time_rotations: int = 2
    preset: Preset = field(default_factory=DefaultPreset)

    def __post_init__(self) -> None:
        if not self.objects or len(set(self.objects)) != len(self.objects):
            raise BinposeError(f"objects must be distinct and at least one, got {self.objects}.")
        if not 1e-5 < self.gsd_m < 0.1:
            raise BinposeError(f"gsd_m must be between 0.01 mm and 100 mm per pixel, got {self.gsd_m}.")
        if self.max_pixels < 1:
            raise BinposeError(f"max_pixels must be >= 1, got {self.max_pixels}.")
        if self.test_time_rotations not in (1, 2, 4):
            raise BinposeError(f"test_time_rotations must be 1, 2 or 4, got {self.test_time_rotations}.")
        own = {entry.name for entry in fields(self)}
        if taken := own & set(self.preset.settings()):
            raise BinposeError(
                f"The preset {self.preset.name!r} has settings named {', '.join(sorted(taken))}; expected other names "
                f"than the estimator's, {', '.join(sorted(own))}; rename them."
            )

    @property
    def rotations(self) -> tuple[int, ...]:
        """Quarter turns of a crop after the first pass."""
        step = 4 // self.test_time_rotations
        return tuple(range(step, 4, step)) if self.preset.rotatable else ()

    def to_header(self) -> dict[str, Any]:
        """As plain JSON data: the preset's name, and its settings beside the others."""
        own = {name: value for name, value in asdict(self).items() if name != "preset"}
        return {**own, "preset": self.preset.name, **self.preset.settings()}

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> "EstimatorConfig":
        """The inverse of `to_header`, also for headers that name no preset: theirs is the default.

        Raises:
            BinposeError: for an unknown preset, or values that it refuses.
        """
        values = dict(header)
        if "looks" in values:  # The name in models of binpose 0.1.
            values["test_time_rotations"] = values.pop("looks")
        preset = find_preset(values.pop("preset", DefaultPreset.name))
        own = {entry.name: values.pop(entry.name) for entry in fields(cls) if entry.name in values}
        own["objects"] = tuple(own["objects"])
        return cls(**own, preset=preset.from_settings(values))


def build_network(config: EstimatorConfig) -> PoseNetwork:
    """An untrained network for the configuration's parts."""
    return config.preset.build(len(config.objects))


class PoseEstimator:
    """frame, detections -> a PoseEstimate with its hypotheses, best first, per detection that has a pose.

    Args:
        network: trained weights; put into evaluation mode.
        objects: the parts of `config.objects` by id.
        device: where the network runs.
        engine: what runs the network: torch, or on the CPU onnxruntime, always in float32.
    """

    def __init__(
        self,
        network: PoseNetwork,
        config: EstimatorConfig,
        objects: Mapping[str, ObjectModel],
        device: str = "cpu",
        engine: str = TORCH,
    ) -> None:
        check_engine(engine, device)
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
        exported = (config.preset.content, len(config.objects))
        self._onnx = OnnxPoseNetwork(self.network, *exported) if engine == ONNXRUNTIME else None

    def __call__(self, frame: AnyFrame, detections: Sequence[Detection]) -> list[PoseEstimate]:
        """Poses of the detections, in their order; those without a pose are left out.

        Raises:
            BinposeError: if the preset needs depth and the frame has none, or for a detection of a part that the
                weights do not know.
        """
        given = prepared(frame)
        frame = given.frame
        self._check(frame, detections)
        if not detections:
            return []
        view = given.view(self.config.gsd_m, self.config.max_pixels)
        owners, names, scores = candidates(detections)
        diameters = [self.objects[name].diameter_m for name in names]
        centers = np.array([center_of(detections[i], frame, d) for i, d in zip(owners, diameters, strict=True)])
        crops = self.crops(view, detections, owners, names, centers)
        first = self.run_network(crops, names)
        scores = scores if len(self.config.objects) == 1 else _posterior(owners, scores, first.match)
        likely = np.flatnonzero(scores >= LEAST_SHARE * _largest(scores, owners))
        names = [names[i] for i in likely]
        rounds = self._rounds(crops[likely], names, first.take(likely))
        return self._estimates(detections, owners[likely], names, scores[likely], centers[likely], rounds)

    def _check(self, frame: RgbdFrame, detections: Sequence[Detection]) -> None:
        if frame.depth_m is None and self.config.preset.needs_depth:
            raise NoDepth(
                f"Frame {frame.name!r} has no depth, but this pose model needs it; expected an aligned depth image in "
                "metres; record depth too, and lay it where the frame's layout has it (depth/, or <name>_depth.png).",
                frame.name,
            )
        names = {name for d in detections for name in (d.object_id, *(other for other, _ in d.alternatives))}
        if unknown := names - set(self.config.objects):
            raise UnknownObject(
                f"Detections of {', '.join(sorted(unknown))}, but the pose weights know "
                f"{', '.join(self.config.objects)}; use the detector of the same model.",
                sorted(unknown),
                self.config.objects,
            )

    def crops(
        self,
        view: WorkingView,
        detections: Sequence[Detection],
        owners: npt.NDArray[np.int32],
        names: Sequence[str],
        centers: FloatArray,
    ) -> Crops:
        """One crop per (detection, class): owners (B,) indices of detections, names (B,) classes, centers (B, 3)."""
        diameters = np.array([self.objects[name].diameter_m for name in names])
        parts, rows = [], []
        for layer in layers_of(detections, range(len(detections)), rival_detections(detections)):
            labels = view.labels(label_image(detections, *view.frame_shape, order=sorted(layer)))
            own = np.flatnonzero(np.isin(owners, layer))
            rows.append(own)
            content = self.config.preset.content
            parts.append(extract_crops(view, content, labels, owners[own], centers[own], diameters[own]))
        return concatenate(parts)[np.argsort(np.concatenate(rows))]

    def run_network(self, crops: Crops, names: Sequence[str]) -> "NetworkPass":
        """Run the network on B crops of parts `names`."""
        inputs = network_input(crops, self.device)
        x = inputs.x.to(memory_format=torch.channels_last)
        return NetworkPass(inputs, self.predict(x, names))

    @torch.inference_mode()
    def predict(self, x: torch.Tensor, names: Sequence[str]) -> Prediction:
        """Run the network on B inputs (B, C, n, n) of parts `names`."""
        classes = torch.tensor([self.config.objects.index(name) for name in names], device=self.device)
        if self._onnx is not None:
            return self._onnx(x, classes)
        with autocast(self.device):
            prediction: Prediction = self.network(x, classes)
        return prediction

    def decode(self, network_pass: "NetworkPass", names: Sequence[str]) -> DecodedPoses:
        """The poses that the network's head makes of its prediction for B crops of parts `names`."""
        parts = [self.objects[name] for name in names]
        return self.network.decode(network_pass.prediction, network_pass.inputs, parts)

    def _rounds(self, crops: Crops, names: Sequence[str], first: "NetworkPass") -> list["_Round"]:
        """The poses of the first pass, and those of rotated crops where it is not certain."""
        rounds = [_Round(np.arange(len(names)), crops.R_cam_crop, self.decode(first, names))]
        again = np.flatnonzero(rounds[0].poses.certainty < SURE)
        for quarters in self.config.rotations if len(again) else ():
            turned, uncertain = crops[again].turned(quarters), [names[int(i)] for i in again]
            poses = self.decode(self.run_network(turned, uncertain), uncertain)
            rounds.append(_Round(again, turned.R_cam_crop, poses))
        return rounds

    def _estimates(
        self,
        detections: Sequence[Detection],
        owners: npt.NDArray[np.int32],
        names: Sequence[str],
        scores: FloatArray,
        centers: FloatArray,
        rounds: Sequence["_Round"],
    ) -> list[PoseEstimate]:
        found: list[list[Hypothesis]] = [[] for _ in detections]
        for rows, R_cam_crops, poses in rounds:
            for b, R_cam_crop, *hypotheses in zip(
                rows, R_cam_crops, poses.rotation, poses.center, poses.score, strict=True
            ):
                part, distance = self.objects[names[b]], np.linalg.norm(centers[b])
                for R, c, s in zip(*hypotheses, strict=True):
                    if s <= 0:
                        continue
                    R_cam_obj = R_cam_crop @ R
                    center_cam = R_cam_crop @ (c * part.diameter_m + [0, 0, distance])
                    pose = from_rotation_translation(R_cam_obj, center_cam - R_cam_obj @ part.center_m)
                    found[owners[b]].append(Hypothesis(names[b], pose, float(s * scores[b])))
        estimates = []
        for index, mine in enumerate(found):
            if mine:
                ranked = tuple(sorted(mine, key=lambda h: -h.score))
                best = ranked[0]
                estimates.append(
                    PoseEstimate(best.object_id, best.T_cam_obj, best.score, detection_index=index, hypotheses=ranked)
                )
        return estimates

    def to_tensors(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """The weights by name and the configuration as plain JSON data."""
        return to_arrays(self.network), self.config.to_header()

    @classmethod
    def from_stored(
        cls, stored: StoredModel, objects: Mapping[str, ObjectModel], device: str = "cpu", engine: str = TORCH
    ) -> "PoseEstimator":
        """The estimator that a model with these objects was saved with; raises as `from_tensors` does."""
        tensors = without_prefix("estimator/", stored.tensors)
        return cls.from_tensors(tensors, stored.header["config"]["estimator"], objects, device, engine)

    @classmethod
    def from_tensors(
        cls,
        tensors: Mapping[str, npt.NDArray[Any]],
        config: Mapping[str, Any],
        objects: Mapping[str, ObjectModel],
        device: str = "cpu",
        engine: str = TORCH,
    ) -> "PoseEstimator":
        """The inverse of `to_tensors`; raises BinposeError if weights and configuration do not fit."""
        settings = EstimatorConfig.from_header(config)
        network = build_network(settings)
        load_arrays(network, tensors, "pose")
        return cls(network, settings, objects, device, engine)


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
    """What the network sees of B crops, and what it predicts."""

    inputs: CropInputs
    prediction: Prediction

    @property
    def match(self) -> npt.NDArray[np.float32]:
        """(B,) logit that the crop shows the part of its class."""
        return self.prediction.match.cpu().numpy()

    def take(self, index: npt.NDArray[np.int64]) -> "NetworkPass":
        """Some of the crops."""
        chosen = torch.from_numpy(index).to(self.inputs.x.device)
        return NetworkPass(self.inputs.take(chosen), self.prediction.take(chosen))


class _Round(NamedTuple):
    """A pass over some crops: rows (B,) of the likely ones, R_cam_crop (B, 3, 3) as they were turned, and the poses."""

    rows: npt.NDArray[np.int64]
    R_cam_crop: FloatArray
    poses: DecodedPoses
