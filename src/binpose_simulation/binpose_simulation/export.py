"""Simulated data sets on disk in the BOP format."""

from collections.abc import Callable, Sequence
from pathlib import Path

from binpose_core.bop_writer import BopWriter
from binpose_core.catalogue import ObjectModel
from binpose_core.errors import BinposeError
from binpose_core.files import read_json
from binpose_simulation.scene import SceneConfig
from binpose_simulation.stream import SimulationStream


def export_bop(
    root: Path | str,
    objects: Sequence[ObjectModel],
    count: int,
    config: SceneConfig | None = None,
    seed: int = 0,
    split: str = "sim",
    workers: int | None = None,
    on_view: Callable[[int, int], None] | None = None,
) -> int:
    """Write the first `count` views of a seed as scene `seed` of a BOP data set.

    What an interrupted run has written is kept, and the next run with the same arguments goes on behind it.

    Args:
        root: folder of the data set; models, symmetries and camera.json are written as well.
        objects: the parts, each with an id and a bop_id of its own.
        count: number of views that the scene has in the end.
        config: what is simulated.
        seed: the sequence of views, and the number of the scene.
        split: name of the folder beside models.
        workers: processes; None = one per CPU.
        on_view: called with (views there, count) after each view.

    Returns:
        The number of views written now.

    Raises:
        BinposeError: for a count below 1, or objects that share an id.
    """
    models = {model.id: model for model in objects}
    if count < 1 or len(models) != len(objects) or len({model.bop_id for model in objects}) != len(objects):
        raise BinposeError(
            f"Export of {count} views of objects {[(model.id, model.bop_id) for model in objects]}; expected at least "
            "1 view, and an id and a bop_id of its own for every object."
        )
    start = views_there(root, split, seed)
    with (
        BopWriter(root, split, seed, objects) as writer,
        SimulationStream(models, config, seed, workers, start=start) as stream,
    ):
        for done in range(start, count):
            view = next(stream)
            writer.write(view.frame, view.object_ids, view.T_cam_obj, view.instance_ids, view.T_cam_world)
            if on_view:
                on_view(done + 1, count)
    return max(count - start, 0)


def views_there(root: Path | str, split: str, scene_id: int) -> int:
    """How many images a scene lists already."""
    path = Path(root) / split / f"{scene_id:06d}" / "scene_camera.json"
    return max(map(int, read_json(path)), default=-1) + 1 if path.exists() else 0
