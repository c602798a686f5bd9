"""Message classes by their names, without ROS."""

import pytest

from binpose_ros.message_types import message_class


def test_a_class_is_found_by_the_full_name_of_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    from types import ModuleType

    package, module = ModuleType("other_msgs"), ModuleType("other_msgs.msg")
    module.Thing = type("Thing", (), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "other_msgs", package)
    monkeypatch.setitem(sys.modules, "other_msgs.msg", module)
    assert message_class("other_msgs/msg/Thing") is module.Thing
    with pytest.raises(AttributeError):
        message_class("other_msgs/msg/Other")
    with pytest.raises(ImportError):
        message_class("no_such_msgs/msg/Thing")


@pytest.mark.parametrize(
    "name", ["", "Image", "sensor_msgs/Image", "sensor_msgs/srv/Image", "os/msg/../path", "a/msg/b/c"]
)
def test_a_name_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected <package>/msg/<name>"):
        message_class(name)
