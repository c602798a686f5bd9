"""Which images the crops of a preset carry."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from binpose_core.base.errors import BinposeError

CHANNELS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "points": ("x", "y", "z"),
        "valid": ("valid",),
        "mask": ("mask",),
        "luma": ("luma",),
        "rgb": ("red", "green", "blue"),
        "normals": ("normal_x", "normal_y", "normal_z"),
    }
)
"""The images that a crop can carry, and their channels."""
OF_DEPTH = frozenset({"points", "valid", "normals"})
CROP_PX = 64
CROP_DIAMETERS = 1.3


@dataclass(frozen=True)
class CropContent:
    """The images of a crop in the order of the network's input channels; no other image is computed.

    names: of `CHANNELS`: points in diameters from the crop's centre, validity of the depth, the detection's mask,
        brightness with its mean removed, RGB in [0, 1], surface normals towards the camera.
    size_px: width and height, a multiple of 4. diameters: width and height at the distance of the crop's centre, in
        diameters of the part.
    """

    names: tuple[str, ...]
    size_px: int = CROP_PX
    diameters: float = CROP_DIAMETERS

    def __post_init__(self) -> None:
        if set(self.names) - set(CHANNELS) or len(set(self.names)) != len(self.names):
            raise BinposeError(
                f"Crops with {', '.join(self.names)}; expected distinct ones of {', '.join(CHANNELS)}; correct the "
                "preset's content."
            )
        if self.size_px < 4 or self.size_px % 4 or self.diameters <= 0:
            raise BinposeError(
                f"Crops of {self.size_px} pixels and {self.diameters} diameters; expected a multiple of 4 and a width "
                "above 0; correct the preset's content."
            )

    @property
    def channels(self) -> int:
        """How many channels the network's input has."""
        return sum(len(CHANNELS[name]) for name in self.names)

    @property
    def has_depth(self) -> bool:
        """Whether an image is made from the frame's depth."""
        return not OF_DEPTH.isdisjoint(self.names)

    def where(self, name: str) -> slice:
        """The channels of an image that the crops carry.

        Raises:
            BinposeError: if they do not carry it.
        """
        if name not in self.names:
            raise BinposeError(
                f"The crops carry {', '.join(self.names)} but no {name}; expected it among the preset's content; add "
                "it there."
            )
        first = sum(len(CHANNELS[other]) for other in self.names[: self.names.index(name)])
        return slice(first, first + len(CHANNELS[name]))
