"""A plain folder of images, and one way to open whatever was recorded.

A folder holds pairs of files with the same name, in one of two layouts, and a camera file:

    <name>.png  <name>_depth.png  camera.json          one folder for both
    color/<name>.png  depth/<name>.png  camera.json    or rgb/ or gray/ instead of color/

Colour is 8 bit RGB or mono (PNG, JPEG or TIFF). Depth is 16 bit with one channel in millimetres, times
`depth_scale` where the camera file gives one, or 32 or 64 bit float TIFF in metres (REP-118); it may be missing
altogether. `camera.json`, or `<name>.json` beside an image for that image alone, holds

    {"fx": 600.0, "fy": 600.0, "cx": 319.5, "cy": 239.5, "width": 640, "height": 480,
     "depth_scale": 1.0, "distortion": [k1, k2, p1, p2, k3]}

of which the last two may be left out. Images are undistorted as they are read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from binpose_core.bop import BopDataset, is_bop_dataset
from binpose_core.bop_json import as_pixels, is_number
from binpose_core.camera import Camera
from binpose_core.errors import BinposeError
from binpose_core.files import read_json
from binpose_core.frames import RgbdFrame, depth_from_encoding, undistort
from binpose_core.image_files import EXTENSIONS, find_image, read_color, read_depth_m, read_image

COLOR_DIRECTORIES = ("color", "rgb", "gray")
DEPTH_SUFFIX = "_depth"
EXAMPLE = '{"fx": 600, "fy": 600, "cx": 319.5, "cy": 239.5, "width": 640, "height": 480}'


class FrameSource(Protocol):
    """A frame that can be read when its turn comes."""

    @property
    def name(self) -> str:
        """Fit for a file name and unique among the frames opened together."""

    @property
    def scene_id(self) -> int:
        """BOP's number of the scene, for its results file."""

    @property
    def image_id(self) -> int:
        """BOP's number of the image, for its results file."""

    def read(self) -> RgbdFrame:
        """The frame; raises BinposeError for one that is damaged, whereupon a batch goes on with the next."""


@dataclass(frozen=True)
class FolderFrame:
    """A pair of files in a plain folder; scene_id is 0 and image_id counts the sorted names."""

    name: str
    image_id: int
    color_path: Path
    depth_path: Path | None
    camera_path: Path
    scene_id: int = 0

    def read(self) -> RgbdFrame:
        """The undistorted images, depth in metres or None.

        Raises:
            BinposeError: for files that are missing, damaged or do not fit the camera.
        """
        if not self.camera_path.is_file():
            raise BinposeError(
                f"No camera for image {self.color_path}: neither {self.color_path.stem}.json nor camera.json; "
                f"write {self.camera_path} such as {EXAMPLE}."
            )
        info = read_json(self.camera_path)
        camera = _camera(info, self.camera_path)
        depth_m = None if self.depth_path is None else _depth_m(self.depth_path, info, self.camera_path)
        return undistort(RgbdFrame(read_color(self.color_path), depth_m, camera, name=self.name))


def open_frames(path: Path | str, split: str | None = None) -> list[FrameSource]:
    """The frames at `path`, not read yet.

    Args:
        path: a BOP data set, one of its splits or scenes, a plain folder, or one colour image of such a folder.
        split: of a BOP data set; may be left out where there is only one, or the path tells it.

    Raises:
        BinposeError: where there is nothing to read, or the split is not told.
    """
    path = Path(path)
    if not path.exists():
        raise BinposeError(
            f"Nothing at {path}; expected a BOP data set, a folder of images or an image; check the path."
        )
    if path.is_file():
        in_scene = (path.parent.parent / "scene_camera.json").is_file()
        _check_split(split, path.parent.parent.parent.name if in_scene else None, path)
        return _single(path)
    if (path / "scene_camera.json").is_file():
        _check_split(split, path.parent.name, path)
        return _bop_frames(path.parent.parent, path.parent.name, only_scene=path.name)
    if not is_bop_dataset(path) and next(path.glob("*/scene_camera.json"), None) is not None:
        _check_split(split, path.name, path)
        return _bop_frames(path.parent, path.name)
    if split is not None or is_bop_dataset(path):
        return _bop_frames(path, split)
    return list(folder_frames(path))


def _check_split(wanted: str | None, actual: str | None, path: Path) -> None:
    """Refuse a split that is not the one which the path lies in; None for a path outside of a data set."""
    if wanted not in (None, actual):
        found = "no BOP data set" if actual is None else f"the split {actual!r}"
        raise BinposeError(
            f"{path} is of {found}, not of the split {wanted!r}; leave out the split, or give another path."
        )


def folder_frames(directory: Path) -> list[FolderFrame]:
    """The frames of a plain folder by name.

    Raises:
        BinposeError: for a folder without images.
    """
    nested = next((directory / name for name in COLOR_DIRECTORIES if (directory / name).is_dir()), None)
    color_directory = nested or directory
    depth_directory, suffix = (directory / "depth", "") if nested else (directory, DEPTH_SUFFIX)
    colors = [path for path in sorted(color_directory.iterdir()) if _is_color(path, nested is None)]
    if not colors:
        raise BinposeError(
            f"No images in {color_directory}; expected <name>.png with <name>_depth.png and camera.json, color/ and "
            "depth/ with camera.json, or a BOP data set; check the path."
        )
    if len({path.stem for path in colors}) < len(colors):
        raise BinposeError(
            f"Two images in {color_directory} have the same name but for the format; remove one of each."
        )
    has_depth = depth_directory.is_dir() and any(_depth_of(path, depth_directory, suffix) for path in colors)
    return [_frame(path, number, directory, depth_directory, suffix, has_depth) for number, path in enumerate(colors)]


def _single(path: Path) -> list[FrameSource]:
    directory = path.parent.parent if path.parent.name in COLOR_DIRECTORIES else path.parent
    if (directory / "scene_camera.json").is_file():
        frames: Iterable[FrameSource] = _bop_frames(directory.parent.parent, directory.parent.name, directory.name)
        found = [frame for frame in frames if path.stem.isdigit() and frame.image_id == int(path.stem)]
    else:
        found = [frame for frame in folder_frames(directory) if frame.color_path == path]
    if not found:
        raise BinposeError(
            f"{path} is not a colour image of its folder; give the colour image ({', '.join(EXTENSIONS)}), whose depth "
            f"is found by its name ({path.stem}{DEPTH_SUFFIX}.png)."
        )
    return list(found)


def _bop_frames(root: Path, split: str | None, only_scene: str | None = None) -> list[FrameSource]:
    dataset = BopDataset(root)
    if split is None:
        if len(dataset.splits()) != 1:
            raise BinposeError(f"{root} has the splits {', '.join(dataset.splits())}; choose one with --split.")
        (split,) = dataset.splits()
    scenes = [scene for scene in dataset.scenes(split) if only_scene in (None, scene.directory.name)]
    return [frame for scene in scenes for frame in scene.frames()]


def _is_color(path: Path, beside_depth: bool) -> bool:
    hidden = path.name.startswith(".") or (beside_depth and path.stem.endswith(DEPTH_SUFFIX))
    return path.suffix.lower() in EXTENSIONS and path.is_file() and not hidden


def _depth_of(color: Path, depth_directory: Path, suffix: str) -> Path | None:
    return find_image(depth_directory, color.stem + suffix)


def _frame(
    color: Path, number: int, directory: Path, depth_directory: Path, suffix: str, has_depth: bool
) -> FolderFrame:
    # Where other frames have depth, a frame without it has lost a file: naming the file lets reading say so.
    missing = depth_directory / f"{color.stem}{suffix}.png" if has_depth else None
    own = next(
        (path for path in (color.with_suffix(".json"), directory / f"{color.stem}.json") if path.is_file()), None
    )
    depth = _depth_of(color, depth_directory, suffix) or missing
    return FolderFrame(color.stem, number, color, depth, own or directory / "camera.json")


def _camera(info: Any, path: Path) -> Camera:
    """The camera of a camera file."""
    keys = ("fx", "fy", "cx", "cy", "width", "height")
    missing = [key for key in keys if not isinstance(info, Mapping) or not is_number(info.get(key))]
    if missing:
        raise BinposeError(f"No number for {', '.join(missing)} in {path}; expected a file such as {EXAMPLE}.")
    distortion = info.get("distortion", [])
    if not isinstance(distortion, list) or not all(map(is_number, distortion)) or len(distortion) not in (0, 4, 5, 8):
        raise BinposeError(
            f"distortion is {distortion} in {path}; expected OpenCV's 4, 5 or 8 coefficients (k1, k2, p1, p2, k3, ...)."
        )
    fx, fy, cx, cy = (float(info[key]) for key in keys[:4])
    width, height = (as_pixels(info[key], key, str(path)) for key in keys[4:])
    return Camera(fx, fy, cx, cy, width, height, tuple(map(float, distortion)))


def _depth_m(path: Path, info: Mapping[str, Any], camera_path: Path) -> npt.NDArray[np.float32]:
    scale_mm = info.get("depth_scale", 1.0)
    if not is_number(scale_mm) or not scale_mm > 0:
        raise BinposeError(
            f"depth_scale is {scale_mm} in {camera_path}; expected the millimetres of one unit, such as 1.0."
        )
    if path.suffix.lower() in (".tif", ".tiff") and (image := read_image(path)).dtype.kind == "f":
        return depth_from_encoding(image.astype(np.float32), "32FC1", name=path.stem)
    return read_depth_m(path, float(scale_mm))
