"""Settings of nodes: frozen dataclasses, from which ROS parameters are declared with description and range.

A field's description stands in the docstring of its class (`binpose_core.base.settings.descriptions`); its range, and
whether it may be changed while the node runs, come from `setting`. Values are checked by the class itself, so that a
parameter is refused with the class' own sentence.
"""

from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import Bounds, check_bounds, descriptions, setting
from binpose_core.frames.filters import DetectionFilter
from binpose_core.frames.region import Region
from binpose_ros.compressed import COLOR_TRANSPORTS, DEPTH_TRANSPORTS, RAW

Settings = TypeVar("Settings")
SCALARS = (bool, int, float, str)


class Spec(NamedTuple):
    """A parameter to be declared: bounds are (low, high) or None; live ones may be changed while the node runs."""

    name: str
    default: Any
    description: str
    bounds: Bounds | None
    live: bool


@dataclass(frozen=True)
class Overrides(Generic[Settings]):
    """Settings that something else, such as a stored model, has its own values for: only those that were set count.

    defaults: of the parameters, which override nothing.
    named: the fields that were set, with their values; a value that is the default's overrides like any other.
    """

    defaults: Settings
    named: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        replace(self.defaults, **self.named)  # type: ignore[type-var]  # The class refuses what is out of its range.

    def having(self, values: Mapping[str, Any]) -> "Overrides[Settings]":
        """With more fields that were set."""
        settings = with_values(self.defaults, {**self.named, **values})
        names = [entry.name for entry in fields(self.defaults) if entry.name in {*self.named, *values}]  # type: ignore[arg-type]
        return replace(self, named={name: getattr(settings, name) for name in names})


def specs(settings: Any, prefix: str = "", live: bool = False, subject: str = "") -> Iterator[Spec]:
    """The parameters of a settings object, their defaults its values; nested ones are named `<field>.<name>`.

    Args:
        settings: an instance of a dataclass. Fields other than bool, int, float, str and tuples of str are left out.
        prefix: of all names.
        live: for fields that do not say whether they may be changed at run time.
        subject: of what the settings are (`about`), added to each description.
    """
    texts = descriptions(type(settings))
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        may_change = bool(entry.metadata.get("live", live))
        if isinstance(value, Overrides):
            value = replace(value.defaults, **value.named)
        if is_dataclass(value):
            yield from specs(value, f"{prefix}{entry.name}.", may_change, entry.metadata.get("about", subject))
        elif isinstance(value, SCALARS) or _is_texts(entry, value):
            default = list(value) if isinstance(value, tuple) else value
            bounds = entry.metadata.get("bounds")
            text = texts.get(entry.name, "")
            text = f"{text.removesuffix('.')}, for {subject}." if subject and text else text
            yield Spec(prefix + entry.name, default, text, bounds, may_change)


def with_values(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """The settings with other values, by the names that `specs` gives them; others are ignored.

    Raises:
        BinposeError: when the class refuses a value.
    """
    changes: dict[str, Any] = {}
    for entry in fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, entry.name)
        if is_dataclass(value):
            begin = f"{entry.name}."
            inner = {name.removeprefix(begin): v for name, v in values.items() if name.startswith(begin)}
            changes[entry.name] = value.having(inner) if isinstance(value, Overrides) else with_values(value, inner)
        elif entry.name in values:
            given = values[entry.name]
            # ROS has no empty list of texts: one empty text stands for it.
            changes[entry.name] = tuple(t for t in given if t) if isinstance(value, tuple) else type(value)(given)
    return replace(settings, **changes)  # type: ignore[type-var]


def _is_texts(entry: Field[Any], value: Any) -> bool:
    return isinstance(value, tuple) and "str" in str(entry.type)


@dataclass(frozen=True)
class StageSettings:
    """Parameters of every perception node.

    model: folder of the model store.
    version: version of the model that is used, or its first digits; the store's current one when empty.
    device: where the networks run and the refinement draws: cpu, cuda, or cuda:1 and so on.
    required_objects: parts that a model must know to be put in use.
    watch_s: seconds after which the model store is looked at again for a new current version; 0 = never.
    rectified: the images are rectified already, as by image_proc: the camera info's P counts, and no distortion.
    color_transport: how colour images arrive: raw, or compressed (JPEG or PNG, on <topic>/compressed).
    depth_transport: how depth images arrive: raw, compressed (PNG, on <topic>/compressed) or compressedDepth.
    slop_s: largest difference of stamps of a colour image and its depth image, in seconds.
    keep: messages held per topic until their partners come.
    keep_mb: memory for the messages held per topic, in megabytes; the oldest go first.
    autostart: configure and activate without a lifecycle manager.
    """

    model: str = ""
    version: str = ""
    device: str = "cpu"
    required_objects: tuple[str, ...] = ()
    watch_s: float = setting(2.0, bounds=(0.0, 3600.0))
    rectified: bool = False
    color_transport: str = RAW
    depth_transport: str = RAW
    slop_s: float = setting(0.02, bounds=(0.0, 1.0), live=True)
    keep: int = setting(30, bounds=(2, 1000))
    keep_mb: float = setting(200.0, bounds=(1.0, 100000.0))
    autostart: bool = True

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.device not in ("cpu", "cuda") and not self.device.startswith("cuda:"):
            raise BinposeError(f"device is {self.device!r}; expected cpu or cuda.")
        for name, known in (("color_transport", COLOR_TRANSPORTS), ("depth_transport", DEPTH_TRANSPORTS)):
            if getattr(self, name) not in known:
                raise BinposeError(f"{name} is {getattr(self, name)!r}; expected {' or '.join(known)}.")


@dataclass(frozen=True)
class DetectionChoice(StageSettings):
    """Which detections are followed up.

    min_score: least score of a detection that is followed up.
    region: outline of the bin in pixels of the undistorted image, outside of which nothing is looked for:
        "300,250 1250,250 1250,800 300,800"; a semicolon divides several; everywhere when empty.
    """

    min_score: float = setting(DetectionFilter.min_score, bounds=(0.0, 1.0), live=True)
    region: str = setting("", live=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        Region.from_text(self.region)

    @property
    def chosen(self) -> DetectionFilter:
        """Gives those that are followed up."""
        return DetectionFilter(self.min_score, Region.from_text(self.region))


def check_tf_name(parameter: str, value: str) -> None:
    """Refuse what is no name of a frame; an empty one is allowed.

    Raises:
        BinposeError: naming the parameter.
    """
    if value.startswith("/") or value.endswith("/") or any(letter.isspace() for letter in value):
        raise BinposeError(f"{parameter} is {value!r}; expected a name of TF, without blanks and outer slashes.")
