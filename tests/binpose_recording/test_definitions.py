import pytest
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from binpose_recording.definitions import Definition, Definitions


@pytest.fixture
def share(tmp_path):
    """An installed package whose messages refer to each other, to ROS' own and to another package's."""
    files = {
        "pick_msgs/msg/Outcome.msg": "std_msgs/Header header\nGrip grip\nbool held\nother_msgs/Reason[] reasons\n",
        "pick_msgs/msg/Grip.msg": "float64 width_m\n",
        "other_msgs/msg/Reason.msg": "# why\nstring words\n",
        "lost_msgs/msg/Half.msg": "nowhere_msgs/Gone gone\n",
        "bad_msgs/msg/Bad.msg": "this is no definition at all {{{\n",
    }
    for name, content in files.items():
        path = tmp_path / "share" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path


def test_types_of_installed_packages_are_told_with_all_that_they_refer_to(share):
    definition = Definitions([share])("pick_msgs/msg/Outcome")
    store = get_typestore(Stores.ROS2_JAZZY)
    types = get_types_from_msg(definition.text, "pick_msgs/msg/Outcome")
    assert {"pick_msgs/msg/Outcome", "pick_msgs/msg/Grip", "other_msgs/msg/Reason"} <= set(types)
    store.register({name: fields for name, fields in types.items() if name not in store.fielddefs})
    assert store.hash_rihs01("pick_msgs/msg/Outcome") == definition.digest


def test_ros_own_types_need_no_ros():
    definition = Definitions([])("sensor_msgs/msg/Image")
    assert definition.digest == "RIHS01_d31d41a9a4c4bc8eae9be757b0beed306564f7526c88ea6a4588fb9582527d47"
    assert "std_msgs/Header header" in definition.text


@pytest.mark.parametrize("name", ["vision_msgs/msg/Nowhere", "lost_msgs/msg/Half", "bad_msgs/msg/Bad"])
def test_what_nobody_defines_is_empty(share, name):
    assert Definitions([share])(name) == Definition("", "")


def test_packages_are_found_where_ros_is_sourced(share, monkeypatch):
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{share}")
    assert Definitions()("pick_msgs/msg/Grip").text
    monkeypatch.delenv("AMENT_PREFIX_PATH")
    assert not Definitions()("pick_msgs/msg/Grip").text
