"""One process per stage: `detection` decides which model is used, the others follow, whatever ends or is refused."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_messages import latched_qos, parts

FOLLOWERS = ("pose_estimator", "refinement")


@pytest.fixture(scope="module")
def live(graph: Any, store: Path) -> Any:
    """All stages and the camera, with a watched store that has golden frames."""
    from vision_msgs.msg import Detection3DArray

    from binpose_core.datasets.bop import BopWriter
    from binpose_core.evaluation.golden import FOLDER
    from binpose_simulation.node import CameraSettings, simulate_views

    known = parts()
    with BopWriter(store / FOLDER, "test", 0, list(known.values())) as writer:
        for view in simulate_views(known, CameraSettings(views=2, parts=6), 0):
            writer.write(view.frame, view.object_ids, view.T_cam_obj, view.instance_ids)
    graph.poses = graph.listen("/refinement/poses", Detection3DArray)
    for name in (*FOLLOWERS, "detection"):
        start(graph, store, name)
    graph.start("simulated_camera", rate_hz=1.0, hold=1000, views=1, parts=6)
    graph.wait(lambda: any(array.detections for array in list(graph.poses)), "poses")
    return graph


def start(live: Any, store: Path, name: str) -> None:
    """Start a node, and wait until it works."""
    more = {"followers": FOLLOWERS} if name == "detection" else {}
    before = live.log(name).count("Active, with model")
    live.start(name, model=str(store), watch_s=0.5, **more)
    live.wait(lambda: live.log(name).count("Active, with model") > before, f"the active {name}")


def killed_and_started(live: Any, store: Path, name: str) -> None:
    assert live.stop(name, signal.SIGKILL) == -signal.SIGKILL
    start(live, store, name)


def poses_of_version(live: Any, version: str) -> None:
    """Wait for poses of a model that come from now on."""
    from binpose_ros.vision_arrays import split_id

    before = len(live.poses)

    def came() -> bool:
        return any(split_id(d.id)[0] == version[:12] for array in live.poses[before:] for d in array.detections)

    live.wait(came, f"poses of model {version[:12]}")


def without(store: Path, part: str, scale: float = 0.0) -> str:
    """A version of the model in which the weights of a network are nothing."""
    from binpose_core.learning.model_store import ModelStore

    models = ModelStore(store)
    stored = models.load()
    tensors = {
        name: value * np.float32(scale) if name.startswith(f"{part}/") and value.dtype == np.float32 else value
        for name, value in stored.tensors.items()
    }
    return models.save({**tensors, "mark": np.random.default_rng().random(4)}, stored.header)


def refused(live: Any, reason: str) -> None:
    live.wait(lambda: reason in live.status("detection").get("model_refused", ""), f"the refusal with {reason!r}")


def no_refusal(live: Any) -> None:
    live.wait(lambda: live.status("detection").get("model_refused") == "", "diagnostics without a refusal")


def load(live: Any, node: str, version: str) -> Any:
    from binpose_interfaces.srv import LoadModel

    return live.call(f"/{node}/load_model", LoadModel, store="", version=version)


def test_a_worse_pose_network_is_refused_by_all(live: Any, store: Path) -> None:
    from binpose_core.learning.model_store import ModelStore

    in_use, worse = str(ModelStore(store).current()), without(store, "estimator")
    answer = load(live, "detection", worse)
    assert not answer.success and answer.version == in_use
    assert f"pose_estimator: Model {worse[:12]} scores 0.000 on the golden frames" in answer.message
    no_refusal(live)  # who asked was told, and the store's current model is in use
    poses_of_version(live, in_use)


def test_refused_models_do_not_drive_the_one_in_use_out(live: Any, store: Path) -> None:
    from binpose_core.learning.model_store import ModelStore

    models = ModelStore(store)
    in_use = str(models.current())
    try:
        for worse in (without(store, "segmenter"), without(store, "segmenter"), without(store, "estimator")):
            models.promote(worse)
            refused(live, worse[:12])
            poses_of_version(live, in_use)
        killed_and_started(live, store, "pose_estimator")  # with the store's current model, until it hears more
        poses_of_version(live, in_use)
        models.promote(nan := without(store, "segmenter", np.nan))
        refused(live, nan[:12])
        killed_and_started(live, store, "refinement")  # with the model in use, as the store's current one is none
        poses_of_version(live, in_use)
    finally:
        models.promote(in_use)
    no_refusal(live)


def test_a_model_is_rolled_back_in_all_stages_though_one_was_started_again(live: Any, store: Path) -> None:
    from binpose_interfaces.msg import ModelStatus
    from std_srvs.srv import Trigger

    from binpose_core.learning.model_store import ModelStore

    models = ModelStore(store)
    first = str(models.current())
    second = next(version for version in models.versions() if models.header(version)["parent"] == first)
    models.promote(second)
    poses_of_version(live, second)
    killed_and_started(live, store, "refinement")
    poses_of_version(live, second)
    answer = live.call("/refinement/rollback", Trigger)
    assert not answer.success and "call the service of detection" in answer.message
    answer = live.call("/detection/rollback", Trigger)
    assert answer.success, answer.message
    poses_of_version(live, first)
    for name in FOLLOWERS:
        statuses = live.listen(f"/{name}/model_status", ModelStatus, latched_qos())
        live.wait(lambda heard=statuses: heard and heard[-1].version == first, f"the model of {name}")
    models.promote(first)


def test_the_others_follow_when_the_one_that_decides_is_started_again(live: Any, store: Path) -> None:
    from binpose_core.learning.model_store import ModelStore

    models = ModelStore(store)
    first = str(models.current())
    other = without(store, "segmenter", 1 + 1e-6)
    live.stop("detection", signal.SIGKILL)
    models.promote(other)
    start(live, store, "detection")
    poses_of_version(live, other)
    models.promote(first)
    poses_of_version(live, first)


def test_a_model_waits_for_a_follower_that_is_away(live: Any, store: Path) -> None:
    from binpose_core.learning.model_store import ModelStore

    models = ModelStore(store)
    other = without(store, "segmenter", 1 - 1e-6)
    live.set_parameters("detection", follow_s=1.0)
    live.stop("refinement")
    models.promote(other)
    refused(live, "refinement did not load model")
    start(live, store, "refinement")
    poses_of_version(live, other)
    no_refusal(live)
