"""The location of a scene's files in a BOP data set: one set of files per scene, or one per sensor.

Classic data sets have rgb/, depth/ and scene_camera.json. Those of BOP-Industrial (IPD, XYZ-IBD, ITODD-MV) have a set
per sensor, such as rgb_photoneo/, depth_photoneo/, scene_camera_photoneo.json, mask_visib_photoneo/ and, beside the
splits, camera_photoneo.json. HOT3D names a sensor after its images: gray1/ and scene_camera_gray1.json.

Source: bop_toolkit, bop_toolkit_lib/dataset_params.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from binpose_core.base.errors import BinposeError
from binpose_core.datasets.bop_json import is_digits

CAMERAS = "scene_camera"
COLOR_KINDS = ("rgb", "gray")


@dataclass(frozen=True)
class SceneLayout:
    """The names of a sensor's files and folders; the sensor "" stands for a classic data set."""

    sensor: str = ""

    @property
    def suffix(self) -> str:
        """The suffix of its names."""
        return f"_{self.sensor}" if self.sensor else ""

    def json(self, name: str) -> str:
        """A JSON file, e.g. scene_gt_photoneo.json for `scene_gt`."""
        return f"{name}{self.suffix}.json"

    def folder(self, kind: str) -> str:
        """A folder of images, e.g. mask_visib_photoneo for `mask_visib`."""
        return f"{kind}{self.suffix}"

    def color_folders(self, scene: Path) -> tuple[str, ...]:
        """The folders of colour images in a scene; the usual names if there is none."""
        usual = tuple(self.folder(kind) for kind in COLOR_KINDS)
        names = (*usual, self.sensor) if self.sensor else usual
        return tuple(name for name in names if (scene / name).is_dir()) or usual


def is_scene(directory: Path) -> bool:
    """Whether a folder of any name is a scene: it has a camera file."""
    return next(directory.glob(f"{CAMERAS}*.json"), None) is not None


def has_scenes(directory: Path) -> bool:
    """Whether a folder contains a scene, as a split does."""
    return next(directory.glob(f"*/{CAMERAS}*.json"), None) is not None


def is_bop_dataset(root: Path) -> bool:
    """Whether one of the folder's subfolders contains a scene with its camera file."""
    return next(root.glob(f"*/*/{CAMERAS}*.json"), None) is not None


def sensors_of(scene: Path) -> set[str]:
    """The sensors of a scene, "" for a classic data set.

    A sensor has a camera file and colour images. If no sensor has both, those with one of them are returned.
    """
    cameras = {path.stem[len(CAMERAS) + 1 :] for path in scene.glob(f"{CAMERAS}_*.json")}
    cameras |= {""} if (scene / f"{CAMERAS}.json").is_file() else set()
    images = {path.name[len(kind) + 1 :] for kind in COLOR_KINDS for path in scene.glob(f"{kind}_?*") if path.is_dir()}
    images |= {sensor for sensor in cameras if sensor and (scene / sensor).is_dir()}
    images |= {""} if any((scene / kind).is_dir() for kind in COLOR_KINDS) else set()
    return cameras & images or cameras or images


def numbered_scenes(split: Path) -> dict[int, Path]:
    """The scenes of a split by number: its folders with numbers as names.

    Raises:
        BinposeError: for two folders with the same number.
    """
    found: dict[int, Path] = {}
    for path in sorted(split.iterdir()):
        if not (is_digits(path.name) and path.is_dir()):
            continue
        if int(path.name) in found:
            raise BinposeError(
                f"{split} has two folders for scene {int(path.name)}, {found[int(path.name)].name} and {path.name}; "
                "expected one each; rename one."
            )
        found[int(path.name)] = path
    return dict(sorted(found.items()))


def misnamed_scenes(split: Path) -> list[Path]:
    """Folders of a split that contain a scene but are not named by a number."""
    scenes = {path.parent for path in split.glob(f"*/{CAMERAS}*.json")}
    return sorted(path for path in scenes if not is_digits(path.name))


def misnamed_error(paths: Iterable[Path]) -> BinposeError:
    """The error for scenes with these names."""
    shown = ", ".join(str(path) for path in list(paths)[:3])
    return BinposeError(
        f"Scenes of a BOP data set are folders called by their number, such as 000001; found {shown}; rename them, "
        "because results name scenes by number."
    )


def choose_sensor(found: Iterable[str], wanted: str | None, where: Path) -> SceneLayout:
    """The layout of the given sensor, or of the only one.

    Raises:
        BinposeError: if the sensor does not exist, or none is given and there are several.
    """
    sensors = sorted(found)
    named = [sensor for sensor in sensors if sensor]
    if wanted is not None:
        if wanted in named:
            return SceneLayout(wanted)
        there = f"the sensors {', '.join(named)}" if named else "no sensors to choose from"
        raise BinposeError(
            f"No sensor {wanted!r} in {where}, which has {there}; "
            f"{'choose one with --sensor' if named else 'leave out --sensor'}."
        )
    if "" in sensors or not named:
        return SceneLayout()
    if len(named) > 1:
        raise BinposeError(f"{where} has the sensors {', '.join(named)}; choose one with --sensor.")
    return SceneLayout(named[0])
