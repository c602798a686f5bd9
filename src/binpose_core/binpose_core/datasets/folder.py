"""A plain folder of images, and one function to open any kind of recorded frames.

A folder contains pairs of files with the same name, in one of two layouts, and a camera file:

    <name>.png  <name>_depth.png  camera.json          one folder for both
    color/<name>.png  depth/<name>.png  camera.json    or rgb/ or gray/ instead of color/

Colour is RGB or mono with 8 or 16 bits (PNG, JPEG, TIFF or BMP). Depth is 16 bit with one channel in millimetres,
multiplied by `depth_scale` if the camera file has one, or a 32 or 64 bit float TIFF in metres (REP-118). It is
optional. `camera.json`, or `<name>.json` beside an image for that image alone, contains

    {"fx": 600.0, "fy": 600.0, "cx": 319.5, "cy": 239.5, "width": 640, "height": 480,
     "depth_scale": 1.0, "distortion": [k1, k2, p1, p2, k3], "distortion_model": "plumb_bob",
     "T_world_cam": [[...], [...], [...], [0, 0, 0, 1]], "bin": "left"}

of which the last five are optional. T_world_cam is the pose of the camera's optical frame in metres, for all images or,
as {"<name>": [...]}, for each. Images with one `bin`, by default all of the folder, show one resting bin. Images are
undistorted as they are read. Extensions, suffixes and folder names are not case-sensitive.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.base.listing import EXTENSIONS, Listing, is_image_name
from binpose_core.datasets.bop import BopDataset, BopScene
from binpose_core.datasets.bop_json import read_json_object
from binpose_core.datasets.bop_layout import COLOR_KINDS, has_scenes, is_bop_dataset, is_scene
from binpose_core.datasets.camera_entries import EXAMPLE, camera_of_entry, depth_scale_mm
from binpose_core.frames.camera_view import rigid_pose
from binpose_core.frames.image_files import read_depth_m, read_image, read_picture
from binpose_core.frames.rgbd_frame import RgbdFrame, depth_from_encoding, undistort
from binpose_core.geometry.transforms import FloatArray

COLOR_DIRECTORIES = ("color", "rgb", "gray")
DEPTH_SUFFIX = "_depth"
CAMERA_FILE = "camera.json"
_NO_IMAGES = (".json", ".txt", ".md", ".csv", ".yaml", ".yml")


class FrameSource(Protocol):
    """A frame that is read on demand."""

    @property
    def name(self) -> str:
        """Usable as a file name and unique among the frames opened together."""

    @property
    def scene_id(self) -> int:
        """BOP's number of the scene, for its results file."""

    @property
    def image_id(self) -> int:
        """BOP's number of the image, for its results file."""

    def read(self) -> RgbdFrame:
        """The frame; raises BinposeError if it is damaged, after which a batch continues with the next frame."""


Source = TypeVar("Source", bound=FrameSource, covariant=True)


@dataclass(frozen=True)
class FolderFrame:
    """A pair of files in a plain folder; scene_id is 0 and image_id is the index of the sorted name."""

    name: str
    image_id: int
    color_path: Path
    depth_path: Path | None
    camera_path: Path
    scene_id: int = 0

    @property
    def bin_name(self) -> str:
        """All images of the folder show one resting bin, unless their camera files name several (key `bin`)."""
        return f"{self.color_path.parent.name}{self._entry('bin') or ''}"

    def camera_pose(self) -> FloatArray | None:
        """T_world_cam (4, 4) from the camera file, one for all images or one for each by name; None without it.

        Raises:
            BinposeError: for a file that cannot be read, or a pose that is not rigid.
        """
        value = self._entry("T_world_cam")
        return None if value is None else rigid_pose(value, "T_world_cam", f"{self.camera_path} for {self.name}")

    def _entry(self, key: str) -> Any:
        """A value of the camera file for this image."""
        if not self.camera_path.is_file():
            return None
        value = read_json_object(self.camera_path).get(key)
        return value.get(self.name) if isinstance(value, dict) else value

    def read(self) -> RgbdFrame:
        """The undistorted images, depth in metres or None.

        Raises:
            BinposeError: for files that are missing, damaged or do not match the camera.
        """
        if not self.camera_path.is_file():
            raise BinposeError(
                f"No camera for image {self.color_path}: neither {self.color_path.stem}.json nor camera.json; "
                f"write {self.camera_path} such as {EXAMPLE}."
            )
        info = read_json_object(self.camera_path)
        checked = camera_of_entry(info, str(self.camera_path))
        depth_m = None if self.depth_path is None else _depth_m(self.depth_path, info, self.camera_path)
        picture = read_picture(self.color_path)
        notes = (*checked.notes, *picture.notes)
        return undistort(RgbdFrame(picture.color, depth_m, checked.camera, name=self.name, notes=notes))


@dataclass(frozen=True)
class Recorded(Generic[Source]):
    """Frames that are not read yet, and a sentence about each item that is skipped."""

    frames: Sequence[Source]
    notes: tuple[str, ...] = ()


def open_frames(path: Path | str, split: str | None = None, sensor: str | None = None) -> Sequence[FrameSource]:
    """The frames that `open_recorded` finds."""
    return open_recorded(path, split, sensor).frames


def open_recorded(path: Path | str, split: str | None = None, sensor: str | None = None) -> Recorded[FrameSource]:
    """The frames at `path`, not read yet.

    Args:
        path: a BOP data set, one of its splits or scenes, a plain folder, or one colour image of such a folder.
        split: of a BOP data set; optional if there is only one, or if the path contains it.
        sensor: of a BOP data set whose scenes have images of several sensors.

    Raises:
        BinposeError: if there is nothing to read, or the choice of split or sensor is ambiguous.
    """
    path = Path(path)
    if not path.exists():
        raise BinposeError(
            f"Nothing at {path}; expected a BOP data set, a folder of images or an image; check the path."
        )
    if path.is_file():
        return _single(path, split, sensor)
    if is_scene(path):
        _check_split(split, path.parent.name, path)
        scene = _scene(path, sensor)
        return Recorded(list(scene.frames()), scene.notes)
    if not is_bop_dataset(path) and has_scenes(path):
        _check_split(split, path.name, path)
        return _dataset_frames(path.parent, path.name, sensor)
    if split is not None or is_bop_dataset(path):
        return _dataset_frames(path, split, sensor)
    if sensor is not None:
        raise BinposeError(f"{path} is no BOP data set, which alone has sensors to choose from; leave out --sensor.")
    return folder_frames(path)


def _check_split(wanted: str | None, actual: str | None, path: Path) -> None:
    """Reject a split that differs from the path's own; None for a path outside of a data set."""
    if wanted not in (None, actual):
        found = "no BOP data set" if actual is None else f"the split {actual!r}"
        raise BinposeError(
            f"{path} is of {found}, not of the split {wanted!r}; leave out the split, or give another path."
        )


def folder_frames(directory: Path) -> Recorded[FolderFrame]:
    """The frames of a plain folder by name.

    Raises:
        BinposeError: for a folder without images.
    """
    nested = _subfolder(directory, *COLOR_DIRECTORIES)
    color_directory = nested or directory
    files = [path for path in sorted(color_directory.iterdir()) if path.is_file() and not path.name.startswith(".")]
    colors = [path for path in files if is_image_name(path) and (nested or not _is_depth(path))]
    if not colors:
        raise _no_images(color_directory, files)
    if len({path.stem for path in colors}) < len(colors):
        raise BinposeError(
            f"Two images in {color_directory} have the same name but for the format; remove one of each."
        )
    depths = _depths(colors, _subfolder(directory, "depth") if nested else directory, "" if nested else DEPTH_SUFFIX)
    beside, around = Listing(color_directory), Listing(directory)
    cameras = [
        beside.find(f"{path.stem}.json") or around.find(f"{path.stem}.json", CAMERA_FILE) or directory / CAMERA_FILE
        for path in colors
    ]
    files_of_frames = zip(colors, depths, cameras, strict=True)
    return Recorded(
        [FolderFrame(paths[0].stem, number, *paths) for number, paths in enumerate(files_of_frames)],
        _left_out(color_directory, files),
    )


def _subfolder(directory: Path, *names: str) -> Path | None:
    listing = Listing(directory)
    return next((path for name in names if (path := listing.find(name)) is not None and path.is_dir()), None)


def _is_depth(path: Path) -> bool:
    return path.stem.lower().endswith(DEPTH_SUFFIX)


def _depths(colors: list[Path], directory: Path | None, suffix: str) -> list[Path | None]:
    """The depth image of each colour image; None if no frame has one.

    If other frames have depth, the path of a missing depth image is returned, so that reading it raises an error.
    """
    if directory is None:
        return [None] * len(colors)
    listing = Listing(directory)
    found = [listing.image(color.stem + suffix) for color in colors]
    if not any(found):
        return found
    return [path or directory / f"{color.stem}{suffix}.png" for color, path in zip(colors, found, strict=True)]


def _no_images(directory: Path, files: list[Path]) -> BinposeError:
    others = f" (it has {', '.join(path.name for path in files[:3])})" if files else ""
    return BinposeError(
        f"No images in {directory}{others}; expected <name>.png with <name>{DEPTH_SUFFIX}.png and {CAMERA_FILE}, "
        f"color/ and depth/ with {CAMERA_FILE}, or a BOP data set; check the path."
    )


def _left_out(directory: Path, files: list[Path]) -> tuple[str, ...]:
    others = sorted({path.suffix for path in files if path.suffix.lower() not in (*EXTENSIONS, *_NO_IMAGES)})
    return (f"Left out of {directory}: files that end with {', '.join(map(repr, others))}.",) if others else ()


def _single(path: Path, split: str | None, sensor: str | None) -> Recorded[FrameSource]:
    """The frame of one colour image."""
    scene = path.parent.parent
    if is_scene(scene):
        _check_split(split, scene.parent.name, path)
        kind, _, own = path.parent.name.partition("_")
        opened = _scene(scene, sensor or (own if kind in COLOR_KINDS and own else None))
        found: list[FrameSource] = [frame for frame in opened.frames() if frame.is_color(path)]
    else:
        _check_split(split, None, path)
        nested = path.parent.name.lower() in COLOR_DIRECTORIES
        found = [frame for frame in folder_frames(scene if nested else path.parent).frames if frame.color_path == path]
    if not found:
        raise BinposeError(
            f"{path} is not a colour image of its folder; give the colour image ({', '.join(EXTENSIONS)}), whose depth "
            f"is found by its name ({path.stem}{DEPTH_SUFFIX}.png)."
        )
    return Recorded(found)


def _scene(directory: Path, sensor: str | None) -> BopScene:
    dataset = BopDataset(directory.parent.parent, sensor)
    (scene,) = dataset.scenes(directory.parent.name, only=directory.name)
    return scene


def _dataset_frames(root: Path, split: str | None, sensor: str | None) -> Recorded[FrameSource]:
    dataset = BopDataset(root, sensor)
    split = dataset.choose_split(split)
    scenes = dataset.scenes(split)
    frames = [frame for scene in scenes for frame in scene.frames()]
    return Recorded(frames, (*scenes[0].notes, *dataset.notes(split)))


def _depth_m(path: Path, info: Mapping[str, Any], camera_path: Path) -> npt.NDArray[np.float32]:
    scale_mm = depth_scale_mm(info.get("depth_scale", 1.0), str(camera_path))
    if path.suffix.lower() in (".tif", ".tiff") and (image := read_image(path)).dtype.kind == "f":
        return depth_from_encoding(image.astype(np.float32), "32FC1", name=path.stem)
    return read_depth_m(path, scale_mm)
