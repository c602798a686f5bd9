"""Data sets in the format of the BOP challenge, read; `bop_writer` writes them, `bop_results` exchanges poses.

    <root>/camera.json                      the sensor: fx, fy, cx, cy, width, height, depth_scale
    <root>/models/obj_000001.ply            meshes, millimetres; models_info.json beside them
    <root>/<split>/<scene>/scene_camera.json   per image: cam_K, depth_scale (millimetres per unit)
    <root>/<split>/<scene>/rgb/000000.png      or gray/, and depth/ where the sensor has it
    <root>/<split>/<scene>/scene_gt.json, scene_gt_info.json, mask_visib/   where poses are known

Outside this module and the writer everything is in metres. Reading is lazy: listing a split opens one
JSON file per scene, and a frame that is damaged or missing raises when it is read, not when it is listed.

Source: bop_toolkit, docs/bop_datasets_format.md.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose_core.bop_json import (
    Annotation,
    as_annotation,
    as_entries,
    as_entry,
    as_pixels,
    entries_by_image,
    finite_array,
    is_number,
    read_json_object,
)
from binpose_core.bop_results import BopResult, read_results, write_results
from binpose_core.bop_writer import BopWriter, write_models
from binpose_core.camera import Camera
from binpose_core.errors import BinposeError
from binpose_core.frames import RgbdFrame
from binpose_core.image_files import find_image, read_color, read_depth_m, read_mask

__all__ = [
    "Annotation", "BopDataset", "BopFrame", "BopModel", "BopResult", "BopScene", "BopWriter",
    "is_bop_dataset", "read_results", "write_models", "write_results",
]  # fmt: skip

MODEL_DIRECTORIES = ("models", "models_cad", "models_reconst", "models_eval")
COLOR_DIRECTORIES = ("rgb", "gray")


@dataclass(frozen=True)
class BopModel:
    """An entry of the folder of models; object_id is its name there, or obj_000001."""

    obj_id: int
    object_id: str
    path: Path
    info: dict[str, Any]

    @property
    def diameter_m(self) -> float:
        """The diameter in metres as models_info.json gives it, NaN where it does not."""
        diameter_mm = self.info.get("diameter")
        return float(diameter_mm) * 1e-3 if is_number(diameter_mm) else float("nan")


class BopDataset:
    """A data set in BOP's layout.

    Raises:
        BinposeError: for a folder that is none.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise BinposeError(f"No data set at {self.root}; expected a folder in BOP layout; check the path.")
        if not self.splits() and not self.models:
            raise BinposeError(
                f"{self.root} is not a BOP data set: it has neither models/obj_*.ply nor scenes such as "
                "test/000001/scene_camera.json; give the folder that holds the splits."
            )

    def splits(self) -> tuple[str, ...]:
        """The names of the folders with numbered scenes."""
        return tuple(sorted(path.name for path in self.root.iterdir() if path.is_dir() and _scene_ids(path)))

    def scenes(self, split: str) -> tuple["BopScene", ...]:
        """The scenes of a split, by number.

        Raises:
            BinposeError: for a split that is not there, or a scene without its camera file.
        """
        if split not in self.splits():
            raise BinposeError(
                f"No split {split!r} in {self.root}; there are: {', '.join(self.splits()) or 'none'}; "
                "choose one with --split."
            )
        scenes = tuple(
            BopScene(self, split, scene_id, directory) for scene_id, directory in _scene_ids(self.root / split).items()
        )
        for scene in scenes:
            scene.cameras  # noqa: B018  a batch should stop before its first frame, not in the middle
        return scenes

    def frames(self, split: str) -> Iterator["BopFrame"]:
        """Every image that the camera files list, whether its files are there or not; nothing is read yet."""
        for scene in self.scenes(split):
            yield from scene.frames()

    @cached_property
    def camera_info(self) -> dict[str, Any]:
        """camera.json, or an empty dictionary."""
        path = self.root / "camera.json"
        return read_json_object(path) if path.is_file() else {}

    @cached_property
    def models(self) -> dict[int, BopModel]:
        """The models by their number, from the first folder of models there is."""
        directory = next(
            (self.root / name for name in MODEL_DIRECTORIES if (self.root / name).is_dir()),
            None,
        )
        if directory is None:
            return {}
        path = directory / "models_info.json"
        infos = read_json_object(path) if path.is_file() else {}
        paths = {int(path.stem[4:]): path for path in sorted(directory.glob("obj_*.ply")) if path.stem[4:].isdigit()}
        entries = {key: as_entry(infos.get(str(key), {}), f"{path} for object {key}") for key in paths}
        return {key: _model(key, paths[key], entry) for key, entry in entries.items()}

    def model(self, obj_id: int) -> BopModel:
        """The model of that number.

        Raises:
            BinposeError: for an unknown one.
        """
        if obj_id not in self.models:
            known = ", ".join(f"{model.obj_id} {model.object_id}" for model in self.models.values()) or "none"
            raise BinposeError(
                f"No model for obj_id {obj_id} in {self.root}; known: {known}; add models/obj_{obj_id:06d}.ply or "
                "use the data set that the results belong to."
            )
        return self.models[obj_id]


class BopScene:
    """One numbered folder of a split, its JSON files read once."""

    def __init__(self, dataset: BopDataset, split: str, scene_id: int, directory: Path) -> None:
        self.dataset = dataset
        self.split = split
        self.scene_id = scene_id
        self.directory = directory

    @cached_property
    def cameras(self) -> dict[int, Any]:
        """scene_camera.json: image number -> cam_K, depth_scale, ..."""
        path = self.directory / "scene_camera.json"
        if not path.is_file():
            raise BinposeError(
                f"No {path}; expected cam_K and depth_scale for every image there; add it or remove the scene."
            )
        return entries_by_image(path)

    @cached_property
    def truths(self) -> dict[int, Any]:
        """scene_gt.json: image number -> the annotated parts."""
        path = self.directory / "scene_gt.json"
        if not path.is_file():
            raise BinposeError(f"No {path}: the poses of this scene are not known; choose a split with ground truth.")
        return entries_by_image(path)

    @cached_property
    def truth_infos(self) -> dict[int, Any]:
        """scene_gt_info.json, or an empty dictionary."""
        path = self.directory / "scene_gt_info.json"
        return entries_by_image(path) if path.is_file() else {}

    def frames(self) -> list["BopFrame"]:
        """The frames by number."""
        return [BopFrame(self, image_id) for image_id in sorted(self.cameras)]


@dataclass(frozen=True)
class BopFrame:
    """An image of a scene, not read yet."""

    scene: BopScene
    image_id: int

    @property
    def scene_id(self) -> int:
        """The number of its scene."""
        return self.scene.scene_id

    @property
    def name(self) -> str:
        """Unique within the split and fit for a file name, e.g. 000014_000000."""
        return f"{self.scene_id:06d}_{self.image_id:06d}"

    def read(self) -> RgbdFrame:
        """The images in metres; depth_m is None where the scene has no folder of depth.

        Raises:
            BinposeError: for files that are missing, damaged or do not fit the camera.
        """
        color_path = self._image(*(name for name in COLOR_DIRECTORIES if (self.scene.directory / name).is_dir()))
        color = read_color(color_path)
        depth_m = None
        if (self.scene.directory / "depth").is_dir():
            depth_m = read_depth_m(self._image("depth"), self._depth_scale_mm())
        return RgbdFrame(color, depth_m, self.camera(color.shape[1], color.shape[0]), name=self.name)

    def camera(self, width: int, height: int) -> Camera:
        """The intrinsics of an image of that size, or of the size that the data set states for them.

        BOP gives no size per image. The one in camera.json holds where its focal lengths and
        principal point are those of cam_K; elsewhere the image was cropped and brings its own.
        """
        where, entry, sensor = self._where("scene_camera.json"), self._camera_entry(), self.scene.dataset.camera_info
        sensor_K = [sensor[key] if is_number(sensor.get(key)) else np.nan for key in ("fx", "fy", "cx", "cy")]
        cam_K = entry.get("cam_K")
        if cam_K is None:
            cam_K = [sensor_K[0], 0, sensor_K[2], 0, sensor_K[1], sensor_K[3], 0, 0, 1]
        K = finite_array(cam_K, (3, 3), "cam_K", where)
        size: Mapping[str, Any] = {}
        if "width" in entry and "height" in entry:
            size = entry
        elif np.allclose([K[0, 0], K[1, 1], K[0, 2], K[1, 2]], sensor_K, atol=0.01):
            size, where = sensor, str(self.scene.dataset.root / "camera.json")
        width = as_pixels(size.get("width", width), "width", where)
        height = as_pixels(size.get("height", height), "height", where)
        return Camera.from_K(K, width, height)

    def ground_truth(self) -> list[Annotation]:
        """The annotated parts in the order of the file.

        Raises:
            BinposeError: where the scene has no scene_gt.json or the frame no entry in it.
        """
        if self.image_id not in self.scene.truths:
            raise BinposeError(
                f"No entry in {self._where('scene_gt.json')}; expected a list of poses, which may be empty."
            )
        where, info_where = self._where("scene_gt.json"), self._where("scene_gt_info.json")
        truths = as_entries(self.scene.truths[self.image_id], where)
        infos = as_entries(self.scene.truth_infos.get(self.image_id, [{}] * len(truths)), info_where)
        if len(infos) != len(truths):
            raise BinposeError(
                f"{len(infos)} entries in {info_where} for {len(truths)} poses in scene_gt.json; expected one each; "
                "compute it again or remove it."
            )
        return [as_annotation(truth, info, where) for truth, info in zip(truths, infos, strict=True)]

    def masks(self, kind: str = "mask_visib") -> npt.NDArray[np.bool_]:
        """Masks (N, H, W) of the annotated parts: of their visible pixels, or with kind "mask" their silhouettes."""
        paths = [self._image(kind, suffix=f"_{index:06d}") for index in range(len(self.ground_truth()))]
        return np.stack([read_mask(path) for path in paths]) if paths else np.zeros((0, 0, 0), dtype=bool)

    def _depth_scale_mm(self) -> float:
        scale = self._camera_entry().get("depth_scale", self.scene.dataset.camera_info.get("depth_scale"))
        if not is_number(scale) or not scale > 0:
            raise BinposeError(
                f"depth_scale is {scale} in {self._where('scene_camera.json')}; expected the millimetres of one unit "
                "of the depth image, such as 1.0 or 0.1; add it there or to camera.json."
            )
        return float(scale)

    def _camera_entry(self) -> dict[str, Any]:
        return as_entry(self.scene.cameras[self.image_id], self._where("scene_camera.json"))

    def _image(self, *directories: str, suffix: str = "") -> Path:
        """The file of this frame in the first directory that has it, its number written with or without zeros."""
        stems = (f"{self.image_id:06d}{suffix}", f"{self.image_id}{suffix}")
        found = (find_image(self.scene.directory / name, stem) for name in directories for stem in stems)
        path = next((path for path in found if path is not None), None)
        if path is None:
            folder = " or ".join(f"{name}/" for name in directories or COLOR_DIRECTORIES)
            raise BinposeError(
                f"Frame {self.name}: no image {stems[0]} in {folder} of {self.scene.directory}, "
                "though scene_camera.json lists it; copy the missing file or remove the entry."
            )
        return path

    def _where(self, file: str) -> str:
        return f"{self.scene.directory / file} for image {self.image_id}"


def is_bop_dataset(root: Path) -> bool:
    """Whether the folder holds at least one scene with its camera file."""
    return next(root.glob("*/*/scene_camera.json"), None) is not None


def _scene_ids(split: Path) -> dict[int, Path]:
    found = {int(path.name): path for path in split.iterdir() if path.name.isdigit() and path.is_dir()}
    return dict(sorted(found.items()))


def _model(obj_id: int, path: Path, info: dict[str, Any]) -> BopModel:
    return BopModel(obj_id, str(info.get("name", path.stem)), path, info)
