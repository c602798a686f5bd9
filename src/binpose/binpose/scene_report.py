"""The views of one bin side by side, for the report and beside the poses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from binpose.report import picture
from binpose.run_report import draw_checked
from binpose_core.drawing.outlines import Image
from binpose_core.drawing.overlays import OverlayDrawer
from binpose_core.frames.image_files import encode_png
from binpose_pipeline.run_checks import counted
from binpose_pipeline.scene.scene_runs import SceneDirectory, SceneOutcome

HEIGHT_PX = 480
GAP_PX = 6
MAX_SCENES = 12


@dataclass
class SceneWriter:
    """Writes each bin's files, and adds a figure to the report for the first of them.

    root: of the run. add: takes a figure.
    """

    root: Path
    drawer: OverlayDrawer
    add: Callable[[str], None]
    names: list[str] = field(default_factory=list)

    def __call__(self, scene: SceneOutcome) -> None:
        """Write a bin."""
        image = side_by_side(
            [
                draw_checked(self.drawer, view.frame, o.poses)
                for view, o in zip(scene.views, scene.outcomes, strict=True)
            ]
        )
        SceneDirectory(self.root).write(scene, encode_png(image))
        self.names.append(scene.name)
        if len(self.names) <= MAX_SCENES:
            self.add(picture(image, scene_caption(scene)))

    def finish(self) -> None:
        """Remove what an earlier run left of other bins."""
        SceneDirectory(self.root).remove_stale(self.names)


def side_by_side(images: Sequence[Image]) -> Image:
    """Images (H, W, 3) at one height beside each other."""
    scaled = [
        cv2.resize(image, (round(image.shape[1] * HEIGHT_PX / image.shape[0]), HEIGHT_PX), interpolation=cv2.INTER_AREA)
        for image in images
    ]
    gap = np.full((HEIGHT_PX, GAP_PX, 3), 255, np.uint8)
    joined = [part for image in scaled for part in (image, gap)][:-1]
    return np.concatenate(joined, axis=1)


def scene_caption(scene: SceneOutcome) -> str:
    """The bin, its views, its parts, and the verdict on the camera poses."""
    result = scene.result
    together = f"{len(result.together)} of {len(scene.views)} views together"
    return " ".join([f"Bin {scene.name}: {counted(len(scene.poses), 'part')}, {together}.", *result.notes])
