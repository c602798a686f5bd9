"""Files found by their names, with upper and lower case alike: Windows and machine vision software write 1.PNG."""

from functools import cached_property
from pathlib import Path

EXTENSIONS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")  # of images


class Listing:
    """The content of a folder, which is read once and only when a name is not there exactly."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def find(self, *names: str) -> Path | None:
        """The first of these files or folders."""
        exact = next((self.directory / name for name in names if (self.directory / name).exists()), None)
        if exact is not None:
            return exact
        return next((self._paths[name.casefold()] for name in names if name.casefold() in self._paths), None)

    def image(self, *stems: str) -> Path | None:
        """The first image of one of these names, whatever its format."""
        return self.find(*(f"{stem}{extension}" for stem in stems for extension in EXTENSIONS))

    @cached_property
    def _paths(self) -> dict[str, Path]:
        if not self.directory.is_dir():
            return {}
        return {path.name.casefold(): path for path in sorted(self.directory.iterdir(), reverse=True)}


def is_image_name(path: Path) -> bool:
    """Whether a file's extension is that of an image."""
    return path.suffix.lower() in EXTENSIONS
