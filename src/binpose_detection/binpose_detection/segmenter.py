"""Instance segmentation of a full bin."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from binpose_core.base.errors import BinposeError
from binpose_core.base.precision import autocast, channels_last
from binpose_core.frames.prepared_frame import AnyFrame, prepared
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection
from binpose_core.frames.working_view import WorkingView
from binpose_core.learning.weights import load_arrays, to_arrays
from binpose_detection.features import view_features
from binpose_detection.grouping import GroupingConfig, group_cells
from binpose_detection.network import OUTPUT_STRIDE, SegmentationNetwork
from binpose_detection.votes import Votes, read_votes


@dataclass(frozen=True)
class DetectorConfig:
    """What the weights of any detector belong to, and the view that they see.

    objects: ids of the parts, in the order of the network's classes 1..C.
    gsd_m: metres per pixel of the working view. max_pixels: its largest size.
    """

    objects: tuple[str, ...]
    gsd_m: float = 1e-3
    max_pixels: int = 640 * 480

    def __post_init__(self) -> None:
        if not self.objects or len(set(self.objects)) != len(self.objects):
            raise BinposeError(f"objects must be distinct and at least one, got {self.objects}.")
        if not 1e-5 < self.gsd_m < 0.1:
            raise BinposeError(f"gsd_m must be between 0.01 mm and 100 mm per pixel, got {self.gsd_m}.")

    def view(self, frame: AnyFrame) -> WorkingView:
        """The working view that the network sees of a frame."""
        return prepared(frame).view(self.gsd_m, self.max_pixels)


@dataclass(frozen=True)
class SegmenterConfig(DetectorConfig):
    """How the votes become detections, beside what every detector's weights belong to.

    alternative_share: other classes are named where they are more than this share as likely as the first, at most
        max_alternatives of them. Parts that look alike are always compared: the verification chooses.
    affinities: whether the network tells which cells belong together, as those of earlier versions did not.
    """

    widths: tuple[int, int, int, int] = (48, 80, 128, 160)
    affinities: bool = True
    grouping: GroupingConfig = field(default_factory=GroupingConfig)
    alternative_share: float = 0.0
    max_alternatives: int = 2


class VoteSegmenter:
    """frame -> detections, best first.

    Args:
        network: trained weights; put into evaluation mode.
        config: belongs to the weights.
    """

    def __init__(self, network: SegmentationNetwork, config: SegmenterConfig, device: str = "cpu") -> None:
        self.config = config
        self.device = torch.device(device)
        self.network = channels_last(network.to(self.device).eval())

    def __call__(self, frame: AnyFrame) -> list[Detection]:
        """All instances in the frame, best first; an empty list where there is none."""
        given = prepared(frame)
        view = self.view(given)
        return self.detections(view, self.votes(view), given.frame)

    def view(self, frame: AnyFrame) -> WorkingView:
        """The working view that the network sees of a frame."""
        return self.config.view(frame)

    @torch.inference_mode()
    def votes(self, view: WorkingView) -> Votes:
        """Run the network."""
        features = torch.from_numpy(view_features(view)).permute(2, 0, 1)[None].to(self.device)
        with autocast(self.device):
            logits, centers, affinities = self.network(features.to(memory_format=torch.channels_last))
        probabilities, same = logits[0].float().softmax(0), affinities[0].float().sigmoid()
        return read_votes(probabilities.cpu().numpy(), centers[0].float().cpu().numpy(), same.cpu().numpy(), view.gsd_m)

    def detections(self, view: WorkingView, votes: Votes, frame: RgbdFrame) -> list[Detection]:
        """Group the votes and cut out one detection per instance."""
        depth = view.depth_m[::OUTPUT_STRIDE, ::OUTPUT_STRIDE]
        labels = group_cells(votes, depth / np.float32(view.gsd_m * OUTPUT_STRIDE), self.config.grouping)
        found = []
        for instance in range(int(labels.max(initial=-1)) + 1):
            rows, columns = np.nonzero(labels == instance)
            found.append(self._detection(rows, columns, votes, depth, view, frame))
        return sorted((d for d in found if d is not None), key=lambda d: -d.score)

    def _detection(
        self,
        rows: npt.NDArray[np.int64],
        columns: npt.NDArray[np.int64],
        votes: Votes,
        depth: npt.NDArray[np.float32],
        view: WorkingView,
        frame: RgbdFrame,
    ) -> Detection | None:
        share = votes.probabilities[1:, rows, columns].mean(1)
        order = np.argsort(-share)
        weight = 1.0 / (0.5 + votes.scale_px[rows, columns])
        center = (votes.center_px[rows, columns] * weight[:, None]).sum(0) / weight.sum()
        z = depth[rows, columns]
        valid = z > 0
        center_depth = np.median((z + votes.depth_offset_m[rows, columns])[valid]) if valid.sum() >= 4 else np.nan
        box, mask = mask_in_frame(rows, columns, OUTPUT_STRIDE, view, frame)
        if mask.size == 0:
            return None
        u, v = view.to_frame_px(center)
        others = [i for i in order[1:] if share[i] > self.config.alternative_share * share[order[0]]]
        return Detection(
            object_id=self.config.objects[order[0]],
            score=float(np.clip(share[order[0]], 0, 1)),
            bbox_xyxy=box,
            mask=mask,
            center_px=(float(u), float(v)),
            center_depth_m=float(center_depth),
            alternatives=tuple(
                (self.config.objects[i], float(share[i])) for i in others[: self.config.max_alternatives]
            ),
        )

    def to_tensors(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """The weights by name and the configuration as plain JSON data."""
        return to_arrays(self.network), asdict(self.config)

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, npt.NDArray[Any]], config: Mapping[str, Any], device: str = "cpu"
    ) -> "VoteSegmenter":
        """The inverse of `to_tensors`.

        Raises:
            BinposeError: if the weights do not fit the configuration.
        """
        values = dict(config)
        values["grouping"] = GroupingConfig.from_stored(values["grouping"])
        values["objects"], values["widths"] = tuple(values["objects"]), tuple(values["widths"])
        values.setdefault("affinities", False)
        settings = SegmenterConfig(**values)
        network = build_network(settings)
        load_arrays(network, tensors, "segmentation")
        return cls(network, settings, device)


def build_network(config: SegmenterConfig) -> SegmentationNetwork:
    """An untrained network."""
    return SegmentationNetwork(len(config.objects), config.widths, config.affinities)


def mask_in_frame(
    rows: npt.NDArray[np.int64],
    columns: npt.NDArray[np.int64],
    cell_px: int,
    view: WorkingView,
    frame: RgbdFrame,
) -> tuple[tuple[int, int, int, int], npt.NDArray[np.bool_]]:
    """The box and the cropped mask in frame pixels of an instance's cells of `cell_px` working pixels."""
    x0, x1, across = _cells_in_frame(columns, cell_px / view.scale[0], frame.camera.width)
    y0, y1, down = _cells_in_frame(rows, cell_px / view.scale[1], frame.camera.height)
    small = np.zeros((int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1), bool)
    small[rows - rows.min(), columns - columns.min()] = True
    return (x0, y0, x1, y1), small[np.ix_(down, across)]


def _cells_in_frame(cells: npt.NDArray[np.int64], cell_px: float, side: int) -> tuple[int, int, npt.NDArray[np.int64]]:
    """The frame's pixels start..stop-1 that cells (N,) of `cell_px` pixels cover, and which cell each lies in."""
    low, high = int(cells.min()), int(cells.max())
    start = min(int(low * cell_px), side)
    stop = min(int(np.ceil((high + 1) * cell_px)), side)
    within = np.floor((np.arange(start, stop) + 0.5) / cell_px).astype(np.int64)
    return start, stop, np.clip(within, low, high) - low


def object_classes(object_ids: Sequence[str], objects: Sequence[str]) -> npt.NDArray[np.int64]:
    """(N,) class numbers 1..C of object ids, 0 for those the network does not know."""
    index = {name: i + 1 for i, name in enumerate(objects)}
    return np.array([index.get(name, 0) for name in object_ids], np.int64)
