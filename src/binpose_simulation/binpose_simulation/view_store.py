"""Compact storage of labelled views for training, simulated or recorded."""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import cv2
import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BadFile
from binpose_core.base.files import write_atomically
from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import UNKNOWN, LabelledView
from binpose_simulation.scene import SimulatedView

DEPTH_UNIT_M = 5e-5
JPEG_QUALITY = 95


class ViewStore(Sequence[LabelledView]):
    """Views numbered from 0 in a folder, one file each; a file is complete or absent.

    Simulated views are read as `SimulatedView`; of others, the labels and the frame's name are stored.

    Colour is stored as JPEG of quality 95, depth in steps of 0.05 mm up to 3.2 m (farther depth becomes invalid), so
    a view changes slightly when it is stored. Depth and instances are not compressed: trainings write and read views
    all the time, and PNG takes a tenth of the time of their simulation. About 1.2 MB for a view of 512 x 416. Files of
    earlier releases, with PNG inside, can be read.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self._count = 0
        self._refresh()

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> LabelledView: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[LabelledView]: ...
    def __getitem__(self, index: int | slice) -> LabelledView | Sequence[LabelledView]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"view {index} of {len(self)} in {self.directory}")
        return _read(self._path(index % len(self)))

    def append(self, view: LabelledView) -> None:
        """Add a view at the end; the first one creates the folder.

        Raises:
            BinposeError: if the disk is full or the folder cannot be written to; the store is unchanged then.
        """
        arrays: dict[str, Any] = _packed(view)
        with write_atomically(self._path(len(self)), durable=False) as temporary:
            np.savez(temporary, **arrays)
        self._count += 1

    def _path(self, index: int) -> Path:
        return self.directory / f"view-{index:06d}.npz"

    def _refresh(self) -> None:
        while self._path(self._count).exists():
            self._count += 1


def _packed(view: LabelledView) -> dict[str, npt.NDArray[Any]]:
    frame = view.frame
    color = frame.color if frame.color.ndim == 2 else frame.color[..., ::-1]
    header = {
        "camera": [*frame.camera.intrinsics.tolist(), frame.camera.width, frame.camera.height],
        "object_ids": view.object_ids,
        "has_depth": frame.depth_m is not None,
        "sensor": view.sensor,
        "name": frame.name,
    }
    depth = np.zeros(frame.gray.shape, np.float32) if frame.depth_m is None else frame.depth_m
    return {
        "header": np.frombuffer(json.dumps(header).encode(), np.uint8),
        "color": cv2.imencode(".jpg", color, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1],
        "depth": _steps(depth),
        "instances": _instances(view.instance_ids),
        "T_cam_obj": view.T_cam_obj,
        "visible_fraction": view.visible_fraction,
        **({} if view.weight is None else {"weight": view.weight}),
        **(_simulated(view) if isinstance(view, SimulatedView) else {}),
    }


def _simulated(view: SimulatedView) -> dict[str, npt.NDArray[Any]]:
    """What only simulated views have."""
    return {
        "depth_clean": _steps(view.depth_clean_m),
        "T_cam_world": view.T_cam_world,
        "visible_px": view.visible_px,
    }


def _steps(depth_m: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Depth in steps of `DEPTH_UNIT_M`; 0 where it is invalid or farther than 16 bits reach."""
    steps = np.rint(depth_m * np.float32(1 / DEPTH_UNIT_M))
    return np.where(steps <= np.iinfo(np.uint16).max, steps, 0).astype(np.uint16)


def _instances(ids: npt.NDArray[np.integer]) -> npt.NDArray[np.unsignedinteger]:
    """Instance ids + 1 in the narrowest type; the largest value of the type is that of unknown pixels."""
    kind = np.uint8 if ids.max(initial=0) + 1 < np.iinfo(np.uint8).max else np.uint16
    return np.where(ids == UNKNOWN, np.iinfo(kind).max, ids.astype(np.int32) + 1).astype(kind)


def _image(data: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """An image as it is, or decoded from JPEG or PNG (n,)."""
    if data.ndim == 2 and data.shape[1] > 1:
        return data
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("no image")
    return np.asarray(image)


def _depth(data: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return _image(data).astype(np.float32) * np.float32(DEPTH_UNIT_M)


def _read(path: Path) -> LabelledView:
    try:
        with np.load(path) as data:
            header = json.loads(data["header"].tobytes())
            color = _image(data["color"])
            depth = _depth(data["depth"])
            stored = _image(data["instances"])
            instances = np.where(stored == np.iinfo(stored.dtype).max, UNKNOWN, stored.astype(np.int16) - 1)
            arrays = {name: data[name] for name in ("T_cam_obj", "visible_fraction")}
            arrays |= {name: data[name] for name in ("weight", "T_cam_world", "visible_px") if name in data}
            if "depth_clean" in data:
                arrays["depth_clean_m"] = _depth(data["depth_clean"])
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile, cv2.error) as error:
        raise BadFile(
            f"The view {path} cannot be read ({type(error).__name__}); expected one written by binpose; delete the "
            "folder, and simulate or record its views again.",
            path,
        ) from error
    camera = Camera(*header["camera"][:4], *map(int, header["camera"][4:]))
    color = color if color.ndim == 2 else np.ascontiguousarray(color[..., ::-1])
    frame = RgbdFrame(color, depth if header["has_depth"] else None, camera, name=header.get("name") or path.stem)
    kind = SimulatedView if "depth_clean_m" in arrays else LabelledView
    return kind(
        frame=frame,
        object_ids=tuple(header["object_ids"]),
        instance_ids=instances.astype(np.int16),
        sensor=header.get("sensor", ""),
        **arrays,
    )
