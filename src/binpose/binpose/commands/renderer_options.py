"""Options for how simulated images are made."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from binpose.commands.command import described
from binpose_core.base.errors import BinposeError

if TYPE_CHECKING:
    from binpose_simulation.path_traced.config import PathTracedConfig


@described
@dataclass(frozen=True, kw_only=True)
class RendererOptions:
    """Options of the commands that make simulated images.

    renderer: How images are made: standard in milliseconds; path_traced in seconds, as a stand-in for a real cell, with
        labels for evaluation only (extra `path_traced`).
    cell: With path_traced: seed of materials, lamps and camera, which all frames share.
    samples: With path_traced: light paths per pixel of the colour image.
    """

    renderer: Literal["standard", "path_traced"] = "standard"
    cell: int = 0
    samples: int | None = None

    def path_traced(self) -> "PathTracedConfig | None":
        """The settings of the path tracer, None for the standard renderer.

        Raises:
            BinposeError: if Mitsuba is not installed, or an option belongs to the other renderer.
        """
        if self.renderer == "standard":
            if self.cell or self.samples is not None:
                raise BinposeError(
                    "--cell or --samples was given with the standard renderer; expected --renderer path_traced; add it "
                    "or leave them out."
                )
            return None
        from binpose_simulation.path_traced.backend import check_installed
        from binpose_simulation.path_traced.config import PathTracedConfig

        check_installed()
        config = PathTracedConfig(cell=self.cell)
        return config if self.samples is None else replace(config, samples=self.samples)
