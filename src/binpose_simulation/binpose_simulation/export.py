"""Exports simulated data sets in the BOP format, each scene with its settings."""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from binpose_core.base.errors import BinposeError
from binpose_core.base.files import read_json, to_json, write_json
from binpose_core.base.workers import Workers
from binpose_core.datasets.bop_writer import BopWriter
from binpose_core.datasets.label_use import DATASET_INFO, EVALUATION, labels_for, mark_for_evaluation
from binpose_core.parts.catalogue import ObjectModel
from binpose_simulation.path_traced.config import PathTracedConfig
from binpose_simulation.path_traced.path_tracer import PathTracer
from binpose_simulation.prepared_parts import OnPart
from binpose_simulation.scene import SceneConfig, render_view
from binpose_simulation.stream import SimulationStream

SETTINGS = "simulation.json"
DIFFERENCES = {"parts": "other parts", "scene": "other settings", "bin": "another bin", "code": "another version"}


def export_bop(
    root: Path | str,
    objects: Sequence[ObjectModel],
    count: int,
    config: SceneConfig | None = None,
    seed: int = 0,
    split: str = "sim",
    workers: Workers | int | None = None,
    on_view: Callable[[int, int], None] | None = None,
    on_part: OnPart | None = None,
    path_traced: PathTracedConfig | None = None,
) -> int:
    """Write the first `count` views of a seed as scene `seed` of a BOP data set.

    An interrupted export is resumed by a call with the same arguments. The file `SETTINGS` beside the scene stores its
    parts and settings; a scene with other parts or settings is not resumed.

    Args:
        root: folder of the data set; models, symmetries and camera.json are written as well.
        objects: the parts, each with a unique id and bop_id.
        count: total number of views of the scene.
        config: of the simulation.
        seed: of the sequence of views; also the number of the scene.
        split: name of the folder beside models.
        workers: who simulates, or a number of processes; None = one per CPU.
        on_view: called with (existing views, count) after each view.
        on_part: called before each part is prepared for the physics.
        path_traced: of the path tracer, whose labels are for evaluation only; None = the standard renderer.

    Returns:
        The number of views written by this call.

    Raises:
        BinposeError: for a count below 1, objects that share an id, an existing scene with other settings, a bin that
            cannot be used, or a data set of the other renderer.
    """
    config = config or SceneConfig()
    models = {model.id: model for model in objects}
    check_count(count)
    if len(models) != len(objects) or len({model.bop_id for model in objects}) != len(objects):
        raise BinposeError(
            f"Export of objects {[(model.id, model.bop_id) for model in objects]}; expected an id and a bop_id of its "
            "own for every object."
        )
    scene, settings = scene_directory(root, split, seed), export_settings(objects, config, path_traced)
    if differences := changed_settings(scene, settings):
        raise BinposeError(
            f"The scene {scene} was made with {differences}; expected the same to resume it; write to another "
            "folder, use another seed, or delete that scene."
        )
    start = views_there(root, split, seed)
    _state_use_of_labels(Path(root), path_traced is not None)
    with (
        # frames that take seconds are listed one by one, so that a killed run loses none
        BopWriter(root, split, seed, objects, flush_every=1 if path_traced else 10) as writer,
        SimulationStream(
            models,
            config,
            seed,
            workers,
            start=start,
            on_part=on_part,
            render=render_view if path_traced is None else PathTracer(path_traced),
        ) as stream,
    ):
        write_json(scene / SETTINGS, settings)
        for done in range(start, count):
            view = next(stream)
            writer.write(
                view.frame, view.object_ids, view.T_cam_obj, view.instance_ids, view.T_cam_world, view.sensor,
                bin_number=done // config.views_per_pile,
            )  # fmt: skip
            if on_view:
                on_view(done + 1, count)
    return max(count - start, 0)


def check_count(count: int) -> None:
    """Reject a number of views below one before the parts are prepared.

    Raises:
        BinposeError: for a count below 1.
    """
    if count < 1:
        raise BinposeError(f"{count} frames to simulate; expected at least 1.")


def scene_directory(root: Path | str, split: str, scene_id: int) -> Path:
    """The folder of a scene of a data set."""
    return Path(root) / split / f"{scene_id:06d}"


def views_there(root: Path | str, split: str, scene_id: int) -> int:
    """The number of images that a scene already lists."""
    path = scene_directory(root, split, scene_id) / "scene_camera.json"
    return max(map(int, read_json(path)), default=-1) + 1 if path.exists() else 0


def _state_use_of_labels(root: Path, evaluation: bool) -> None:
    """Mark a new data set of path-traced views; refuse to mix views whose labels may train with others.

    Raises:
        BinposeError: for a data set of the other renderer.
    """
    begun = any(root.glob(f"*/*/{SETTINGS}"))
    if begun and (labels_for(root) == EVALUATION) != evaluation:
        raise BinposeError(
            f"{root} holds views whose labels {'may train' if evaluation else 'are for evaluation only'}; expected "
            f"{'a data set of path-traced views alone' if evaluation else 'no path-traced views'}; write to another "
            "folder."
        )
    if evaluation:
        mark_for_evaluation(root)


def export_settings(
    objects: Sequence[ObjectModel], config: SceneConfig, path_traced: PathTracedConfig | None = None
) -> dict[str, Any]:
    """Everything that the views of a seed depend on, as JSON data: parts, settings, the bin's file, the code."""
    bin_mesh = config.content.bin_mesh
    settings = {
        "parts": {model.id: [model.bop_id, model.digest] for model in objects},
        "scene": asdict(config) | ({"path_traced": asdict(path_traced)} if path_traced else {}),
        "bin": _digest([Path(bin_mesh)]) if bin_mesh and Path(bin_mesh).is_file() else None,
        "code": _digest(sorted(Path(__file__).parent.rglob("*.py"))),
    }
    return dict(json.loads(to_json(settings)))


def changed_settings(scene: Path, settings: dict[str, Any]) -> str:
    """Describe how a scene's settings differ from these; empty for a new scene or equal settings."""
    if not (scene / SETTINGS).is_file():
        return "unknown settings" if (scene / "scene_camera.json").exists() else ""
    known = read_json(scene / SETTINGS)
    if not isinstance(known, dict):
        return "unknown settings"
    return " and ".join(words for key, words in DIFFERENCES.items() if known.get(key) != settings[key])


def remove_export(root: Path | str, split: str) -> None:
    """Delete a split, the models and camera.json of a data set that contains only scenes written by `export_bop`.

    Raises:
        BinposeError: if it contains anything else; nothing is deleted then.
    """
    root = Path(root)
    for entry in sorted((root / split).glob("*")):
        if not (entry / SETTINGS).is_file():
            raise BinposeError(
                f"{entry} was not written by this simulation; expected a folder with simulated scenes only; write to "
                "another folder, or delete that one."
            )
    shutil.rmtree(root / split, ignore_errors=True)
    shutil.rmtree(root / "models", ignore_errors=True)
    for name in ("camera.json", DATASET_INFO):
        (root / name).unlink(missing_ok=True)


def _digest(paths: Sequence[Path]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
