"""Reads data sets in the format of the BOP challenge; `bop_writer` writes them, `bop_results` exchanges poses.

    <root>/camera.json                      the sensor: fx, fy, cx, cy, width, height, depth_scale
    <root>/models/obj_000001.ply            meshes, millimetres; models_info.json beside them
    <root>/<split>/<scene>/scene_camera.json   per image: cam_K, depth_scale (millimetres per unit)
    <root>/<split>/<scene>/rgb/000000.png      or gray/, and depth/ if the sensor measures depth
    <root>/<split>/<scene>/scene_gt.json, scene_gt_info.json, mask_visib/   if poses are annotated

BOP-Industrial's data sets have a set of files per sensor, see `bop_layout`.

Outside this module and the writer, all lengths are in metres. Reading is lazy: listing a split opens one JSON file per
scene, and a damaged or missing frame raises an error when it is read, not when it is listed.

Source: bop_toolkit, docs/bop_datasets_format.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BadFile, BinposeError
from binpose_core.base.listing import Listing
from binpose_core.datasets.bop_json import (
    Annotation,
    as_annotation,
    as_entries,
    as_entry,
    entries_by_image,
    finite_array,
    is_digits,
    is_number,
    read_json_object,
)
from binpose_core.datasets.bop_layout import (
    CAMERAS,
    SceneLayout,
    choose_sensor,
    is_bop_dataset,
    misnamed_error,
    misnamed_scenes,
    numbered_scenes,
    sensors_of,
)
from binpose_core.datasets.bop_results import BopResult, read_results, write_results
from binpose_core.datasets.bop_writer import BopWriter, write_models
from binpose_core.datasets.camera_entries import BOP_KEYS, INTRINSICS, camera_of_entry, depth_scale_mm
from binpose_core.frames.camera_parameters import CheckedCamera
from binpose_core.frames.camera_view import rigid_pose
from binpose_core.frames.image_files import read_depth_m, read_mask, read_picture
from binpose_core.frames.rgbd_frame import RgbdFrame, undistort
from binpose_core.geometry.transforms import FloatArray, from_rotation_translation, inverse

__all__ = [
    "Annotation", "BopDataset", "BopFrame", "BopModel", "BopResult", "BopScene", "BopWriter",
    "is_bop_dataset", "read_results", "write_models", "write_results",
]  # fmt: skip

MODEL_DIRECTORIES = ("models", "models_cad", "models_reconst", "models_eval")


@dataclass(frozen=True)
class BopModel:
    """A model of the data set; object_id is its name in models_info.json, or obj_000001."""

    obj_id: int
    object_id: str
    path: Path
    info: dict[str, Any]

    @property
    def diameter_m(self) -> float:
        """The diameter in metres from models_info.json, NaN if it has none."""
        diameter_mm = self.info.get("diameter")
        return float(diameter_mm) * 1e-3 if is_number(diameter_mm) else float("nan")


class BopDataset:
    """A data set in BOP's layout.

    Args:
        root: the folder with the splits.
        sensor: whose images are read, if a scene has images of several.

    Raises:
        BinposeError: if the folder is not a BOP data set.
    """

    def __init__(self, root: Path | str, sensor: str | None = None) -> None:
        self.root = Path(root)
        self.sensor = sensor
        self._camera_infos: dict[Path, dict[str, Any]] = {}
        if not self.root.is_dir():
            raise BinposeError(f"No data set at {self.root}; expected a folder in BOP layout; check the path.")
        if not self.splits() and not self.models:
            if misnamed := self._misnamed():
                raise misnamed_error(misnamed)
            raise BinposeError(
                f"{self.root} is not a BOP data set: it has neither models/obj_*.ply nor scenes such as "
                "test/000001/scene_camera.json; give the folder that holds the splits."
            )

    def splits(self) -> tuple[str, ...]:
        """The names of the folders with numbered scenes."""
        return tuple(sorted(path.name for path in self.root.iterdir() if path.is_dir() and numbered_scenes(path)))

    def choose_split(self, split: str | None) -> str:
        """The split of that name, or the only one.

        Raises:
            BinposeError: if the split does not exist, or none is given and there are several.
        """
        splits = self.splits()
        if split in splits or (split is None and len(splits) == 1):
            return split or splits[0]
        if split is None and splits:
            raise BinposeError(f"{self.root} has the splits {', '.join(splits)}; choose one with --split.")
        if misnamed := self._misnamed(split):
            raise misnamed_error(misnamed)
        if not splits:
            raise BinposeError(
                f"{self.root} has no scenes; expected folders such as test/000001/ with {CAMERAS}.json; check the path."
            )
        raise BinposeError(
            f"No split {split!r} in {self.root}; there are: {', '.join(splits)}; choose one with --split."
        )

    def scenes(self, split: str, only: str | None = None) -> tuple["BopScene", ...]:
        """The scenes of a split, by number.

        Args:
            split: its name.
            only: folder name of a single scene.

        Raises:
            BinposeError: if the split does not exist, a scene has no camera file, or there are several sensors.
        """
        directory = self.root / self.choose_split(split)
        found = {key: path for key, path in numbered_scenes(directory).items() if only in (None, path.name)}
        if not found:
            raise misnamed_error([directory / str(only)])
        sensors = set().union(*map(sensors_of, found.values()))
        layout = choose_sensor(sensors, self.sensor, directory)
        scenes = tuple(BopScene(self, split, key, path, layout) for key, path in found.items())
        for scene in scenes:
            scene.cameras  # noqa: B018  a batch should stop before its first frame, not in the middle
        return scenes

    def frames(self, split: str) -> Iterator["BopFrame"]:
        """Every image listed in the camera files, even if its files are missing; nothing is read yet."""
        for scene in self.scenes(split):
            yield from scene.frames()

    def notes(self, split: str) -> tuple[str, ...]:
        """A sentence about each item of a split that is skipped."""
        misnamed = [path.name for path in misnamed_scenes(self.root / split)]
        if not misnamed:
            return ()
        return (
            f"Left out of {self.root / split}, because scenes are folders called by digits: {', '.join(misnamed)}.",
        )

    def camera_info(self, layout: SceneLayout) -> dict[str, Any]:
        """The sensor's camera.json, or an empty dictionary."""
        path = self.root / layout.json("camera")
        if path not in self._camera_infos:
            self._camera_infos[path] = read_json_object(path) if path.is_file() else {}
        return self._camera_infos[path]

    @cached_property
    def models(self) -> dict[int, BopModel]:
        """The models by their number, from the first existing folder of models."""
        directory = next(
            (self.root / name for name in MODEL_DIRECTORIES if (self.root / name).is_dir()),
            None,
        )
        if directory is None:
            return {}
        path = directory / "models_info.json"
        infos = read_json_object(path) if path.is_file() else {}
        meshes = (path for path in sorted(directory.glob("obj_*")) if path.suffix.lower() == ".ply")
        paths = {int(path.stem[4:]): path for path in meshes if is_digits(path.stem[4:])}
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

    def _misnamed(self, split: str | None = None) -> list[Path]:
        """Scenes whose folder names are not numbers, in one split or in all."""
        splits = [path for path in sorted(self.root.iterdir()) if path.is_dir() and split in (None, path.name)]
        return [scene for path in splits for scene in misnamed_scenes(path)]


class BopScene:
    """One numbered folder of a split, its JSON files read once."""

    def __init__(
        self, dataset: BopDataset, split: str, scene_id: int, directory: Path, layout: SceneLayout | None = None
    ) -> None:
        self.dataset = dataset
        self.split = split
        self.scene_id = scene_id
        self.directory = directory
        self.layout = layout or SceneLayout()

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence that names the sensor, if scenes have a set of files per sensor."""
        return (f"Read the images of the sensor {self.layout.sensor}.",) if self.layout.sensor else ()

    @cached_property
    def cameras(self) -> dict[int, Any]:
        """scene_camera.json: image number -> cam_K, depth_scale, ..."""
        path = self.directory / self.layout.json(CAMERAS)
        if not path.is_file():
            raise BadFile(
                f"No {path}; expected cam_K and depth_scale for every image there; add it or remove the scene.", path
            )
        return entries_by_image(path)

    @cached_property
    def truths(self) -> dict[int, Any]:
        """scene_gt.json: image number -> the annotated parts."""
        path = self.directory / self.layout.json("scene_gt")
        if not path.is_file():
            raise BadFile(f"No {path}: the poses of this scene are not known; choose a split with ground truth.", path)
        return entries_by_image(path)

    @cached_property
    def truth_infos(self) -> dict[int, Any]:
        """scene_gt_info.json, or an empty dictionary."""
        path = self.directory / self.layout.json("scene_gt_info")
        return entries_by_image(path) if path.is_file() else {}

    def frames(self) -> list["BopFrame"]:
        """The frames by number."""
        return [BopFrame(self, image_id) for image_id in sorted(self.cameras)]


@dataclass(frozen=True)
class BopFrame:
    """An image of a scene, read on demand."""

    scene: BopScene
    image_id: int

    @property
    def scene_id(self) -> int:
        """The number of its scene."""
        return self.scene.scene_id

    @property
    def name(self) -> str:
        """Unique within the split and usable as a file name, e.g. 000014_000000."""
        return f"{self.scene_id:06d}_{self.image_id:06d}"

    def is_color(self, path: Path) -> bool:
        """Whether a file is the colour image of this frame."""
        folders = self.scene.layout.color_folders(self.scene.directory)
        return path.parent.name in folders and is_digits(path.stem) and int(path.stem) == self.image_id

    def read(self) -> RgbdFrame:
        """The undistorted images in metres; depth_m is None if the scene has no depth folder.

        Raises:
            BinposeError: for files that are missing, damaged or do not match the camera.
        """
        scene, layout = self.scene, self.scene.layout
        picture = read_picture(self._image(*layout.color_folders(scene.directory)))
        depth_m = None
        if (scene.directory / layout.folder("depth")).is_dir():
            depth_m = read_depth_m(self._image(layout.folder("depth")), self._depth_scale_mm())
        checked = self.camera(picture.color.shape[1], picture.color.shape[0])
        notes = (*checked.notes, *picture.notes)
        return undistort(RgbdFrame(picture.color, depth_m, checked.camera, name=self.name, notes=notes))

    @property
    def bin_name(self) -> str:
        """All images of a scene show one resting bin, unless their entries name several (key `bin`)."""
        entry = self.scene.cameras.get(self.image_id)
        number = entry.get("bin") if isinstance(entry, dict) else None
        return f"{self.scene_id:06d}" + ("" if number is None else f"_bin{number}")

    def camera_pose(self) -> FloatArray | None:
        """T_world_cam (4, 4) in metres from cam_R_w2c and cam_t_w2c; None without them.

        Raises:
            BinposeError: for one of the two alone, or a pose that is not rigid.
        """
        entry, where = self._camera_entry(), self._where(CAMERAS)
        if entry.get("cam_R_w2c") is None and entry.get("cam_t_w2c") is None:
            return None
        T_cam_world = from_rotation_translation(
            finite_array(entry.get("cam_R_w2c"), (3, 3), "cam_R_w2c", where),
            finite_array(entry.get("cam_t_w2c"), (3,), "cam_t_w2c", where) * 1e-3,
        )
        return inverse(rigid_pose(T_cam_world, "cam_R_w2c with cam_t_w2c in metres", where))

    def camera(self, width: int, height: int) -> CheckedCamera:
        """The intrinsics of an image of that size, or of the size stored in the data set.

        BOP stores no size per image. The sensor's camera.json gives it if its focal lengths and principal point equal
        those of cam_K; otherwise the image was cropped and has its own.
        """
        entry, sensor = self._camera_entry(), self.scene.dataset.camera_info(self.scene.layout)
        where = f"{self._where(CAMERAS)} with {self.scene.dataset.root / self.scene.layout.json('camera')}"
        if entry.get("cam_K") is None:
            entry = sensor | entry
        elif _same_intrinsics(entry["cam_K"], sensor):
            entry = {key: value for key, value in sensor.items() if key not in INTRINSICS} | entry
        elif not ("width" in entry and "height" in entry):
            entry = {key: value for key, value in entry.items() if key not in ("width", "height")}
            where = self._where(CAMERAS)
        return camera_of_entry(entry, where, size=(width, height), other_keys=BOP_KEYS)

    def ground_truth(self) -> list[Annotation]:
        """The annotated parts in the order of the file.

        Raises:
            BinposeError: if the scene has no scene_gt.json or the frame no entry in it.
        """
        if self.image_id not in self.scene.truths:
            raise BinposeError(f"No entry in {self._where('scene_gt')}; expected a list of poses, which may be empty.")
        where, info_where = self._where("scene_gt"), self._where("scene_gt_info")
        truths = as_entries(self.scene.truths[self.image_id], where)
        infos = as_entries(self.scene.truth_infos.get(self.image_id, [{}] * len(truths)), info_where)
        if len(infos) != len(truths):
            raise BinposeError(
                f"{len(infos)} entries in {info_where} for {len(truths)} poses in scene_gt.json; expected one each; "
                "compute it again or remove it."
            )
        return [as_annotation(truth, info, where) for truth, info in zip(truths, infos, strict=True)]

    def masks(self, kind: str = "mask_visib") -> npt.NDArray[np.bool_]:
        """Masks (N, H, W) of the annotated parts: of their visible pixels, or of their silhouettes for kind "mask"."""
        folder = self.scene.layout.folder(kind)
        paths = [self._image(folder, suffix=f"_{index:06d}") for index in range(len(self.ground_truth()))]
        return np.stack([read_mask(path) for path in paths]) if paths else np.zeros((0, 0, 0), dtype=bool)

    def _depth_scale_mm(self) -> float:
        sensor = self.scene.dataset.camera_info(self.scene.layout)
        scale = self._camera_entry().get("depth_scale", sensor.get("depth_scale"))
        return depth_scale_mm(scale, f"{self._where(CAMERAS)} or the data set's {self.scene.layout.json('camera')}")

    def _camera_entry(self) -> dict[str, Any]:
        return as_entry(self.scene.cameras[self.image_id], self._where(CAMERAS))

    def _image(self, *directories: str, suffix: str = "") -> Path:
        """The frame's file in the first directory that has it, with or without leading zeros in its name."""
        stems = (f"{self.image_id:06d}{suffix}", f"{self.image_id}{suffix}")
        found = (Listing(self.scene.directory / name).image(*stems) for name in directories)
        path = next((path for path in found if path is not None), None)
        if path is None:
            folder = " or ".join(f"{name}/" for name in directories)
            raise BinposeError(
                f"Frame {self.name}: no image {stems[0]} in {folder} of {self.scene.directory}, though "
                f"{self.scene.layout.json(CAMERAS)} lists it; copy the missing file or remove the entry."
            )
        return path

    def _where(self, name: str) -> str:
        return f"{self.scene.directory / self.scene.layout.json(name)} for image {self.image_id}"


def _same_intrinsics(cam_K: Any, sensor: dict[str, Any]) -> bool:
    """Whether a matrix is that of the sensor's camera.json."""
    values = [float(sensor[key]) for key in INTRINSICS if is_number(sensor.get(key))]
    try:
        K = np.array(cam_K, np.float64).reshape(3, 3)
    except (OverflowError, TypeError, ValueError):
        return False
    return len(values) == len(INTRINSICS) and np.allclose(K[(0, 1, 0, 1), (0, 1, 2, 2)], values, atol=0.01)


def _model(obj_id: int, path: Path, info: dict[str, Any]) -> BopModel:
    return BopModel(obj_id, str(info.get("name", path.stem)), path, info)
