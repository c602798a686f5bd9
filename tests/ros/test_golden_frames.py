"""A model that does worse on the store's golden frames is refused while the node works, and the old one stays."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_messages import parts

FRAMES, PARTS = 2, 6


@pytest.fixture(scope="module")
def live(graph: Any, store: Path) -> Any:
    """The composed node before a camera, with a store that has golden frames."""
    from vision_msgs.msg import Detection3DArray

    from binpose_core.datasets.bop import BopWriter
    from binpose_core.evaluation.golden import FOLDER
    from binpose_simulation.node import CameraSettings, simulate_views

    known = parts()
    with BopWriter(store / FOLDER, "test", 0, list(known.values())) as writer:
        for view in simulate_views(known, CameraSettings(views=FRAMES, parts=PARTS), 0):
            writer.write(view.frame, view.object_ids, view.T_cam_obj, view.instance_ids)
    graph.poses = graph.listen("/refinement/poses", Detection3DArray)
    graph.start("bin_picking", model=str(store), watch_s=0.0)
    graph.start("simulated_camera", rate_hz=0.5, views=1, parts=PARTS)
    graph.wait(lambda: any(array.detections for array in list(graph.poses)), "poses")
    return graph


def with_estimator(stored: Any, change: Any) -> dict[str, Any]:
    """The tensors of a model with its pose network's weights changed."""
    return {
        name: change(value) if name.startswith("estimator/") and value.dtype == np.float32 else value
        for name, value in stored.tensors.items()
    }


def load(live: Any, version: str) -> Any:
    from binpose_interfaces.srv import LoadModel

    return live.call("/bin_picking/load_model", LoadModel, store="", version=version)


def test_a_model_that_scores_worse_is_refused_and_the_old_one_stays(live: Any, store: Path) -> None:
    from binpose_core.learning.model_store import ModelStore
    from binpose_ros.vision_arrays import split_id

    models = ModelStore(store)
    in_use, stored = models.current(), models.load()
    worse = models.save(with_estimator(stored, np.zeros_like), stored.header)
    answer = load(live, worse)
    assert not answer.success and answer.version == in_use
    assert f"Model {worse[:12]} scores 0.000 on the golden frames" in answer.message
    before = len(live.poses)
    live.wait(lambda: any(array.detections for array in live.poses[before:]), "poses after the refusal")
    versions = {split_id(entry.id)[0] for array in live.poses for entry in array.detections}
    assert versions == {str(in_use)[:12]}


def test_a_model_that_scores_as_well_is_taken(live: Any, store: Path) -> None:
    from binpose_core.learning.model_store import ModelStore

    models = ModelStore(store)
    other = next(v for v in models.versions() if models.header(v)["parent"] == models.current())
    answer = load(live, other)
    assert answer.success and answer.version == other, answer.message
