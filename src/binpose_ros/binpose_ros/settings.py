"""Settings of nodes: frozen dataclasses, from which ROS parameters are declared with description and range.

A field's description stands in its class' docstring ("name: text."), its range in `metadata["range"]`; whether it may
be changed while the node runs in `metadata["live"]`. Values are checked by the class itself, so that a parameter is
refused with the class' own sentence.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, is_dataclass, replace
from typing import Any, NamedTuple, TypeVar

from binpose_core.errors import BinposeError
from binpose_core.region import Region
from binpose_core.types import Detection

Settings = TypeVar("Settings")
SCALARS = (bool, int, float, str)


class Spec(NamedTuple):
    """A parameter to be declared: bounds are (low, high) or None; live ones may be changed while the node runs."""

    name: str
    default: Any
    description: str
    bounds: tuple[float, float] | None
    live: bool


def setting(default: Any, *, bounds: tuple[float, float] | None = None, live: bool = False) -> Any:
    """A dataclass field with a range, and whether it may be changed while the node runs."""
    return field(default=default, metadata={"range": bounds, "live": live})


def specs(settings: Any, prefix: str = "", live: bool = False) -> Iterator[Spec]:
    """The parameters of a settings object, their defaults its values; nested ones are named `<field>.<name>`.

    Args:
        settings: an instance of a dataclass. Fields other than bool, int, float, str and tuples of str are left out.
        prefix: of all names.
        live: for fields that do not say whether they may be changed at run time.
    """
    texts = descriptions(type(settings))
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        if is_dataclass(value):
            yield from specs(value, f"{prefix}{entry.name}.", bool(entry.metadata.get("live", live)))
        elif isinstance(value, SCALARS) or _is_texts(entry, value):
            default = list(value) if isinstance(value, tuple) else value
            bounds, may_change = entry.metadata.get("range"), bool(entry.metadata.get("live", live))
            yield Spec(prefix + entry.name, default, texts.get(entry.name, ""), bounds, may_change)


def with_values(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """The settings with other values, by the names that `specs` gives them; others are ignored.

    Raises:
        BinposeError: when a value is out of its range, or the class refuses it.
    """
    changes: dict[str, Any] = {}
    for entry in fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, entry.name)
        if is_dataclass(value):
            begin = f"{entry.name}."
            inner = {name.removeprefix(begin): v for name, v in values.items() if name.startswith(begin)}
            changes[entry.name] = with_values(value, inner)
        elif entry.name in values:
            given = values[entry.name]
            # ROS has no empty list of texts: one empty text stands for it.
            changes[entry.name] = tuple(t for t in given if t) if isinstance(value, tuple) else type(value)(given)
            _check_range(entry, changes[entry.name])
    return replace(settings, **changes)  # type: ignore[type-var]


def descriptions(kind: type) -> dict[str, str]:
    """What the docstrings of a dataclass and its bases say of each field: "name: text.", names divided by commas."""
    names = [entry.name for entry in fields(kind)]
    pattern = re.compile(rf"\b((?:(?:{'|'.join(names)}),? ?(?:and )?)+): ")
    text = " ".join(" ".join(base.__doc__ or "" for base in reversed(kind.__mro__[:-1])).split())
    marks = list(pattern.finditer(text))
    found: dict[str, str] = {}
    for mark, after in zip(marks, [*marks[1:], None], strict=True):
        said = text[mark.end() : after.start() if after else len(text)].strip(" ;")
        found.update(dict.fromkeys(re.findall(r"\w+", mark.group(1)), said))
    for name in names:  # described beside another one
        found.setdefault(name, next((said for said in found.values() if f"`{name}`" in said), ""))
    return found


def _is_texts(entry: Field[Any], value: Any) -> bool:
    return isinstance(value, tuple) and "str" in str(entry.type)


def _check_range(entry: Field[Any], value: Any) -> None:
    bounds = entry.metadata.get("range")
    if bounds is not None and not bounds[0] <= value <= bounds[1]:
        raise BinposeError(f"{entry.name} is {value}; expected {bounds[0]:g} to {bounds[1]:g}.")


@dataclass(frozen=True)
class StageSettings:
    """What every perception node can be told.

    model: folder of the model store.
    version: of the model, or its first digits; the store's current one when empty.
    device: where the networks run, cpu or cuda.
    required_objects: parts that a model must know to be put in use.
    watch_s: how often the model store is looked at for a new current version, in seconds; 0 = never.
    rectified: the images are rectified already, as by image_proc: the camera info's P counts, and no distortion.
    slop_s: largest difference of stamps of a colour image and its depth image, in seconds.
    keep: messages held per topic until their partners come.
    keep_mb: memory for them per topic, in megabytes; the oldest go first.
    autostart: configure and activate without being told by a lifecycle manager.
    """

    model: str = ""
    version: str = ""
    device: str = "cpu"
    required_objects: tuple[str, ...] = ()
    watch_s: float = setting(2.0, bounds=(0.0, 3600.0))
    rectified: bool = False
    slop_s: float = setting(0.02, bounds=(0.0, 1.0), live=True)
    keep: int = setting(30, bounds=(2, 1000))
    keep_mb: float = setting(200.0, bounds=(1.0, 100000.0))
    autostart: bool = True

    def __post_init__(self) -> None:
        if self.device not in ("cpu", "cuda") and not self.device.startswith("cuda:"):
            raise BinposeError(f"device is {self.device!r}; expected cpu or cuda.")


@dataclass(frozen=True)
class DetectionChoice(StageSettings):
    """Which detections are followed up.

    min_score: detections below are left out.
    region: outline of the bin in pixels of the undistorted image, outside of which nothing is looked for:
        "300,250 1250,250 1250,800 300,800"; a semicolon divides several; everywhere when empty.
    """

    min_score: float = setting(0.0, bounds=(0.0, 1.0), live=True)
    region: str = setting("", live=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        Region.from_text(self.region)

    def chosen(self, detections: Sequence[Detection]) -> list[Detection]:
        """Those that are followed up."""
        region = Region.from_text(self.region)
        sure = [detection for detection in detections if detection.score >= self.min_score]
        return sure if region is None else region.keep(sure)
