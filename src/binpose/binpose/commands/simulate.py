"""`binpose simulate`: write simulated bins as a BOP data set."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from binpose.commands.bin_options import BinOptions
from binpose.commands.command import Command, console, preparing, progress_bar, split_names, waiting
from binpose.commands.renderer_options import RendererOptions
from binpose.commands.workers_option import opened_workers
from binpose_core.base.errors import BinposeError
from binpose_simulation.viewpoint import ViewpointConfig

if TYPE_CHECKING:
    from binpose_simulation.scene import SceneConfig


@dataclass(frozen=True, kw_only=True)
class Simulate(BinOptions, RendererOptions, Command):
    """Simulate bins of parts and write the camera images and all poses as a BOP data set.

    To continue an interrupted simulation, call the command again with the same options.

    Example: binpose simulate --parts --frames 20 --out data/sim --bin-size 300,200,120

    Frames that look like photographs: binpose simulate --parts --renderer path_traced --frames 20 --out data/cell

    Three views of each bin: binpose simulate --parts --frames 30 --views 3 --out data/views
    """

    out: Path
    """Folder of the data set."""
    frames: int = 20
    """Number of frames."""
    views: int = 0
    """Views of each bin by one camera from all sides; 0 = four unrelated views of each."""
    fixed_cameras: bool = False
    """With --views: the same directions for each bin, as with cameras on a frame; otherwise as with a wrist camera."""
    objects: str = ""
    """Parts of the catalogue, separated by commas."""
    parts: bool = False
    """Use the parts that binpose generates instead."""
    catalogue: Path = Path("objects")
    """Folder of the catalogue."""
    split: str = "sim"
    """Name of the split."""
    seed: int = 0
    """Random seed, and number of the scene."""
    width: int = ViewpointConfig.width
    """Width of the images in pixels."""
    height: int = ViewpointConfig.height
    """Height of the images in pixels."""
    workers: int = 0
    """Number of simulation processes; 0 = one per CPU."""
    ray: str | None = None
    """Share the simulation over a Ray cluster instead: auto, local or host:port (extra `ray`)."""
    bag: Path | None = None
    """Also write the frames as a ROS 2 bag into this new folder; needs no ROS."""

    def run(self) -> int:
        """Simulate and write, frame by frame."""
        from binpose_core.parts.catalogue import LIBRARY
        from binpose_simulation.export import check_count, export_bop, views_there
        from binpose_simulation.scene import SceneConfig
        from binpose_training.chosen_parts import chosen_objects

        if self.parts and self.objects:
            raise BinposeError(
                f"--parts and --objects {self.objects} were given; expected one of them; leave the other out."
            )
        names = (LIBRARY,) if self.parts else split_names(self.objects, "--objects")
        if self.bag is not None and self.bag.exists():
            raise BinposeError(f"{self.bag} exists already; expected a new folder for --bag; choose another.")
        if not names:
            raise BinposeError("No parts were named; expected --objects a,b from the catalogue, or --parts.")
        check_count(self.frames)
        path_traced = self.path_traced()
        scene = self.with_bin(SceneConfig())
        scene = replace(scene, viewpoint=replace(scene.viewpoint, width=self.width, height=self.height))
        scene = self._with_views(scene)
        with waiting("Preparing the parts ..."):
            objects = chosen_objects(names, self.catalogue)
        with opened_workers(self.ray, self.workers) as workers, progress_bar() as progress:
            there = views_there(self.out, self.split, self.seed)
            task = progress.add_task("Simulating", total=max(self.frames, there), completed=there)
            written = export_bop(
                self.out,
                objects,
                self.frames,
                scene,
                self.seed,
                self.split,
                workers,
                lambda done, total: progress.update(task, completed=done, description="Simulating"),
                preparing(progress, task),
                path_traced,
            )
        console.print(f"{written} frames of {len(objects)} part types written to {self.out}, split {self.split}.")
        if self.bag is not None:
            count = write_scene(self.out, self.split, self.seed, self.bag)
            console.print(f"{count} frames written as a bag to {self.bag}.")
        return 0

    def _with_views(self, scene: "SceneConfig") -> "SceneConfig":
        """The settings with the wanted views of each bin."""
        from binpose_simulation.view_set_config import ViewSetConfig

        if self.views < 0 or (self.fixed_cameras and not self.views):
            raise BinposeError(
                f"--views {self.views}{' with --fixed-cameras' if self.fixed_cameras else ''}; expected a number of "
                "views of each bin, such as --views 3; leave both out for unrelated views."
            )
        return scene.with_view_set(ViewSetConfig(self.views, fixed=self.fixed_cameras)) if self.views else scene


def write_scene(dataset: Path, split: str, scene_id: int, bag: Path) -> int:
    """Write the frames of a BOP scene as a bag; returns their number.

    Raises:
        BinposeError: for a frame that cannot be read, or a folder that cannot be written.
    """
    from binpose_core.datasets.bop import BopDataset
    from binpose_recording.frame_bag import write_frames

    frames = (frame for frame in BopDataset(dataset).frames(split) if frame.scene_id == scene_id)
    return write_frames(bag, (frame.read() for frame in frames))
