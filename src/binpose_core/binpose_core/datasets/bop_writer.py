"""Writes data sets in the format of the BOP challenge (see `binpose_core.datasets.bop`), frame by frame.

Every file is written beside its target and renamed, images before the JSON files that list them. At any time, also
after an interruption, the files on disk are a valid data set with the frames listed so far. Opening the scene again
continues after the last listed frame.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError, UnknownObject
from binpose_core.base.files import read_json, remove_leftovers, write_bytes, write_json
from binpose_core.frames.camera import Camera
from binpose_core.frames.image_files import encode_png
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import BACKGROUND
from binpose_core.geometry.transforms import FloatArray
from binpose_core.meshes.mesh_files import ply_bytes
from binpose_core.parts.catalogue import ObjectModel
from binpose_core.rendering.renderer import Renderer
from binpose_core.rendering.silhouettes import Silhouette, silhouettes

if TYPE_CHECKING:
    from typing_extensions import Self

_SCENE_FILES = ("scene_gt.json", "scene_gt_info.json", "scene_camera.json")


class BopWriter:
    """Appends frames to one scene of a data set.

    Use it as a context manager, or call `flush` at the end.

    Args:
        root: the data set; its models and camera.json are written with the first frame.
        objects: the parts that may appear, each with a unique `id` and `bop_id`.
        depth_scale_mm: millimetres per unit of the depth images; 0.1 allows up to 6.55 m.
        flush_every: number of frames after which the JSON files are updated.
    """

    def __init__(
        self,
        root: Path | str,
        split: str,
        scene_id: int,
        objects: Sequence[ObjectModel],
        depth_scale_mm: float = 0.1,
        flush_every: int = 10,
    ) -> None:
        if depth_scale_mm <= 0 or flush_every < 1:
            raise BinposeError(
                f"BopWriter with depth_scale_mm={depth_scale_mm} and flush_every={flush_every}; expected both positive."
            )
        self.root = Path(root)
        self.directory = self.root / split / f"{scene_id:06d}"
        self._objects = list(objects)
        self._indices = {model.id: index for index, model in enumerate(objects)}
        self._renderer = Renderer([model.mesh for model in objects])
        self._depth_scale_mm = depth_scale_mm
        self._flush_every = flush_every
        self._unflushed = 0
        self._described = False
        for folder in (self.directory, *self.directory.glob("*/")):
            remove_leftovers(folder)
        self._lines = {name: _json_lines(self.directory / name) for name in _SCENE_FILES}
        self._next_id = max(map(int, self._lines["scene_camera.json"]), default=-1) + 1

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.flush()

    def write(
        self,
        frame: RgbdFrame,
        object_ids: Sequence[str],
        T_cam_obj: FloatArray,
        instance_ids: npt.NDArray[np.integer],
        T_cam_world: FloatArray | None = None,
        sensor: str = "",
        bin_number: int | None = None,
    ) -> int:
        """Add a frame and the parts in it.

        Args:
            frame: without distortion; mono goes to gray/, colour to rgb/, depth_m None writes no depth.
            object_ids: N ids of the writer's objects.
            T_cam_obj: (N, 4, 4), metres.
            instance_ids: (H, W) the visible part of each pixel, an index into object_ids; `BACKGROUND` = none.
            T_cam_world: (4, 4), metres, if it is known.
            sensor: kind of the depth sensor, an extra key of scene_camera.json if it is known.
            bin_number: frames of a scene with equal numbers show one resting bin; an extra key `bin`.

        Returns:
            The number of the image.

        Raises:
            BinposeError: for an object that the writer was not given, unknown pixels, or depth beyond 16 bits.
        """
        if (unknown := np.count_nonzero(instance_ids < BACKGROUND)) > 0:
            raise BinposeError(
                f"{unknown} pixels of a frame have no known label; expected full labels: BOP's format counts what has "
                "no label as background."
            )
        indices = [self._index(object_id) for object_id in object_ids]
        poses = np.asarray(T_cam_obj, dtype=np.float64).reshape(len(indices), 4, 4)
        image_id = self._next_id
        if not self._described:
            self._describe(frame.camera)
        self._write_images(frame, image_id)
        visible = [instance_ids == number for number in range(len(indices))]
        for number, mask in enumerate(visible):
            self._write(f"mask_visib/{image_id:06d}_{number:06d}.png", encode_png(mask.astype(np.uint8) * 255))
        whole = silhouettes(self._renderer, indices, poses, frame.camera)
        truths = [_truth(self._objects[index].bop_id, pose) for index, pose in zip(indices, poses, strict=True)]
        infos = [_truth_info(*masks, frame.depth_m) for masks in zip(whole, visible, strict=True)]
        self._add_lines(image_id, self._view(frame.camera, T_cam_world, sensor, bin_number), truths, infos)
        return image_id

    def flush(self) -> None:
        """Update the JSON files; the one that lists the frames is written last."""
        for name in _SCENE_FILES if self._unflushed else ():
            entries = ",\n".join(f'  "{image_id}": {entry}' for image_id, entry in self._lines[name].items())
            write_bytes(self.directory / name, f"{{\n{entries}\n}}\n".encode())
        self._unflushed = 0

    def _index(self, object_id: str) -> int:
        if object_id not in self._indices:
            raise UnknownObject(
                f"A frame shows object {object_id!r}, but the data set is written for "
                f"{', '.join(self._indices) or 'none'}; give the writer every object that may appear.",
                [object_id],
                self._indices,
            )
        return self._indices[object_id]

    def _write(self, name: str, data: bytes) -> None:
        write_bytes(self.directory / name, data, durable=False)

    def _describe(self, camera: Camera) -> None:
        """Write the files of the whole data set, with the first frame."""
        write_models(self.root, self._objects)
        path = self.root / "camera.json"
        if not path.exists():
            sensor = {key: getattr(camera, key) for key in ("fx", "fy", "cx", "cy", "width", "height")}
            write_json(path, sensor | {"depth_scale": self._depth_scale_mm})
        self._described = True

    def _write_images(self, frame: RgbdFrame, image_id: int) -> None:
        if any(frame.camera.distortion):
            raise BinposeError(
                f"Frame {frame.name!r} has lens distortion, which BOP cannot express; undistort it first "
                "(binpose_core.frames.rgbd_frame.undistort)."
            )
        depth = None if frame.depth_m is None else self._quantised(frame.depth_m, frame.name)
        self._write(f"{'gray' if frame.color.ndim == 2 else 'rgb'}/{image_id:06d}.png", encode_png(frame.color))
        if depth is not None:
            self._write(f"depth/{image_id:06d}.png", encode_png(depth))

    def _quantised(self, depth_m: npt.NDArray[np.float32], name: str) -> npt.NDArray[np.uint16]:
        units = np.rint(depth_m.astype(np.float64) * (1e3 / self._depth_scale_mm))
        if units.max() > np.iinfo(np.uint16).max:
            raise BinposeError(
                f"Frame {name!r}: depth up to {depth_m.max():.3g} m does not fit 16 bits of {self._depth_scale_mm} mm; "
                f"use a depth scale of at least {float(depth_m.max()) * 1e3 / 65535:.2g} mm."
            )
        return units.astype(np.uint16)

    def _view(
        self, camera: Camera, T_cam_world: FloatArray | None, sensor: str, bin_number: int | None
    ) -> dict[str, Any]:
        """An image's entry of scene_camera.json."""
        view: dict[str, Any] = {"cam_K": camera.K.ravel().tolist(), "depth_scale": self._depth_scale_mm}
        if T_cam_world is not None:
            view["cam_R_w2c"] = np.asarray(T_cam_world)[:3, :3].ravel().tolist()
            view["cam_t_w2c"] = (np.asarray(T_cam_world)[:3, 3] * 1e3).tolist()
        if sensor:
            view["sensor"] = sensor
        if bin_number is not None:
            view["bin"] = bin_number
        return view

    def _add_lines(
        self, image_id: int, view: dict[str, Any], truths: list[dict[str, Any]], infos: list[dict[str, Any]]
    ) -> None:
        for name, entry in zip(_SCENE_FILES, (truths, infos, view), strict=True):
            self._lines[name][str(image_id)] = json.dumps(entry)
        self._next_id, self._unflushed = image_id + 1, self._unflushed + 1
        if self._unflushed >= self._flush_every:
            self.flush()


def write_models(root: Path | str, objects: Sequence[ObjectModel]) -> None:
    """Write models/obj_*.ply in millimetres and models_info.json with names, extents and symmetries.

    Existing models with other numbers are kept.

    Raises:
        BinposeError: if an existing model has one of the numbers.
    """
    directory = Path(root) / "models"
    path = directory / "models_info.json"
    infos = read_json(path) if path.exists() else {}
    for model in objects:
        name = infos.get(str(model.bop_id), {}).get("name", model.id)
        if name != model.id:
            raise BinposeError(
                f"Model {model.bop_id} of {root} is {name!r} and not {model.id!r}; expected one part per number; write "
                "to another folder, or give the part another bop_id."
            )
        infos[str(model.bop_id)] = _model_info(model)
        write_bytes(directory / f"obj_{model.bop_id:06d}.ply", ply_bytes(model.mesh, 1e3, "unit: millimetre"))
    write_json(path, dict(sorted(infos.items(), key=lambda entry: int(entry[0]))))


def _model_info(model: ObjectModel) -> dict[str, Any]:
    low_mm, high_mm = (
        model.mesh.vertices.min(axis=0) * 1e3,
        model.mesh.vertices.max(axis=0) * 1e3,
    )
    info: dict[str, Any] = {"name": model.id, "diameter": model.diameter_m * 1e3}
    info |= {f"min_{axis}": float(value) for axis, value in zip("xyz", low_mm, strict=True)}
    info |= {f"size_{axis}": float(value) for axis, value in zip("xyz", high_mm - low_mm, strict=True)}
    return info | model.symmetries.to_bop()


def _truth(obj_id: int, T_cam_obj: FloatArray) -> dict[str, Any]:
    """A part's entry of scene_gt.json."""
    rotation, translation_mm = T_cam_obj[:3, :3].ravel().tolist(), (T_cam_obj[:3, 3] * 1e3).tolist()
    return {"cam_R_m2c": rotation, "cam_t_m2c": translation_mm, "obj_id": obj_id}


def _truth_info(
    whole: Silhouette, visible: npt.NDArray[np.bool_], depth_m: npt.NDArray[np.float32] | None
) -> dict[str, Any]:
    """A part's entry of scene_gt_info.json; pixels outside of the image count for the silhouette, as in BOP."""
    visible_px = int(visible.sum())
    return {
        "bbox_obj": whole.box_xywh,
        "bbox_visib": Silhouette(visible).box_xywh,
        "px_count_all": whole.pixels,
        "px_count_valid": 0 if depth_m is None else whole.count(depth_m > 0),
        "px_count_visib": visible_px,
        "visib_fract": whole.visible_fraction(visible_px),
    }


def _json_lines(path: Path) -> dict[str, str]:
    """Image number -> its entry as JSON, from an existing file."""
    content = read_json(path) if path.exists() else {}
    return {key: json.dumps(entry) for key, entry in content.items()}
