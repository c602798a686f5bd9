import re
from pathlib import Path

from binpose_core.base.reasons import Reason
from binpose_recording.config import Role
from binpose_recording.recorder import RecorderStatus
from binpose_recording.selection import SelectionCounts
from binpose_ros.problems import message_of
from binpose_ros.settings import specs, with_values
from binpose_self_training.node_settings import SelfTrainingSettings, status_problems, status_values


def resolve(name):
    return name if name.startswith("/") else f"/cell/{name}"


def test_every_setting_is_a_described_parameter_that_reaches_the_recorder():
    found = {spec.name: spec for spec in specs(SelfTrainingSettings())}
    assert all(spec.description for spec in found.values())
    changed = {"directory": "/data/bags", "recorder.quota_gb": 7.0, "recorder.bag.compression": "none"}
    assert changed.keys() <= found.keys()
    config = with_values(SelfTrainingSettings(), changed).config
    assert (config.directory, config.quota_gb, config.bag.compression) == (Path("/data/bags"), 7.0, "none")
    assert SelfTrainingSettings().config.directory == Path.home() / "binpose_recordings"


def test_the_documented_parameters_are_those_of_the_node():
    page = (Path(__file__).parents[2] / "docs" / "recording.md").read_text()
    named = set(re.findall(r"`(?:-p )?(recorder\.[a-z_.]+)", page))
    known = {spec.name for spec in specs(SelfTrainingSettings())}
    groups = {name.rpartition(".")[0] for name in known}
    assert len(named) >= 7 and named <= known | groups


def test_the_model_in_use_is_recorded_of_every_graph():
    """The separate nodes, or all stages in one."""
    events = SelfTrainingSettings().events
    assert {f"{node}/model_status" for node in ("detection", "pose_estimator", "refinement", "bin_picking")} <= {
        *events
    }


def test_the_topics_follow_the_namespace_and_a_camera_without_depth_has_none():
    settings = SelfTrainingSettings(results=("refinement/poses",), events=("/pick",))
    roles = settings.roles(resolve)
    assert roles["/cell/color/image_raw"] is Role.COLOR and roles["/cell/refinement/poses"] is Role.RESULT
    assert roles["/tf"] is Role.CONTEXT and roles["/tf_static"] is roles["/pick"] is Role.EVENT
    assert {topic.name: topic.role for topic in settings.camera_topics(resolve)}.items() <= roles.items()
    flat = SelfTrainingSettings(with_depth=False)
    assert Role.DEPTH not in {*flat.roles(resolve).values(), *(topic.role for topic in flat.camera_topics(resolve))}


def test_diagnostics_show_what_is_wrong_with_its_code():
    assert status_problems(RecorderStatus(), ["/a"]) == []  # Nothing is recorded, so nothing is missing.
    recording = RecorderStatus(is_recording=True, frames=SelectionCounts(keyframes=3))
    assert status_problems(recording, []) == [] and status_values(recording)["keyframes"] == "3"
    (missing,) = status_problems(recording, ["/a", "/b"])
    assert "/a, /b" in missing.message and missing.reason is Reason.NO_PUBLISHER
    bad = RecorderStatus(reason="The disk is full.", dropped=4, frames=SelectionCounts(unreadable=1, reason="bayer_42"))
    found = status_problems(bad, [])
    assert found[0].reason is Reason.RECORDING_STOPPED
    assert all(text in message_of(found) for text in ("full", "4 messages", "bayer_42"))
