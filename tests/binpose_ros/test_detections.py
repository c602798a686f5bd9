"""Detections and their masks go through messages without loss, and carry their model's version."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera import Camera
from binpose_core.frames.types import Detection
from binpose_ros.detections import instance_labels, read_detections, write_detections
from binpose_ros.images import from_labels
from binpose_ros.serialized import serialized_header
from binpose_ros.stamps import Header, from_header
from binpose_ros.vision_arrays import array_length, instance_id

VERSION = "0123456789abcdef" * 4


@pytest.fixture
def detections(rng: np.random.Generator) -> list[Detection]:
    """Two that do not overlap, though their boxes do; the second one without depth and with another class."""
    stripes = np.zeros((20, 30), bool)
    stripes[::2] = True
    return [
        Detection("gear", 0.9, (5, 7, 35, 27), stripes, (19.25, 16.5), 0.537),
        Detection("bolt", 0.4, (5, 7, 35, 27), ~stripes, (21.0, 17.75), float("nan"), (("gear", 0.3), ("hinge", 0.1))),
    ]


def sent(detections: list[Detection], camera: Camera, header: Header, types: Any) -> tuple[bytes, Any]:
    labels = instance_labels(detections, camera)
    return write_detections(detections, camera, header, VERSION), types.sent(from_labels(labels, header, types))


def test_detections_come_back_as_they_were_sent(
    detections: list[Detection], camera: Camera, header: Header, types: Any
) -> None:
    data, mask = sent(detections, camera, header, types)
    received, version = read_detections(data, mask, camera)
    assert version and VERSION.startswith(version)
    for before, after in zip(detections, received, strict=True):
        np.testing.assert_array_equal(after.mask, before.mask)
        np.testing.assert_allclose(after.center_px, before.center_px, atol=1e-9)
        np.testing.assert_equal(after.center_depth_m, before.center_depth_m)
        plain = {"mask": None, "center_px": (), "center_depth_m": 0.0}
        assert vars(after) | plain == vars(before) | plain


def test_it_is_the_message_that_ros_knows(
    detections: list[Detection], camera: Camera, header: Header, types: Any
) -> None:
    data, _ = sent(detections, camera, header, types)
    array = types.read(data, "Detection2DArray")
    assert types.serialized(array) == data
    assert {from_header(array), *(from_header(entry) for entry in array.detections)} == {header}
    for number, (detection, entry) in enumerate(zip(detections, array.detections, strict=True)):
        assert entry.id == f"{VERSION[:12]}/{number}"
        results = [(result.hypothesis.class_id, result.hypothesis.score) for result in entry.results]
        assert results == [(detection.object_id, detection.score), *detection.alternatives]
        center, size = entry.bbox.center.position, (entry.bbox.size_x, entry.bbox.size_y)
        assert (center.x, center.y, *size) == (20.0, 17.0, 30.0, 20.0)


def test_the_position_is_the_centre_in_space(
    detections: list[Detection], camera: Camera, header: Header, types: Any
) -> None:
    data, _ = sent(detections, camera, header, types)
    p = types.read(data, "Detection2DArray").detections[0].results[0].pose.pose.position
    np.testing.assert_allclose(camera.project(np.array([p.x, p.y, p.z])), detections[0].center_px)
    assert p.z == detections[0].center_depth_m


def test_none_found_is_an_empty_array_with_a_header(camera: Camera, header: Header, types: Any) -> None:
    data, mask = sent([], camera, header, types)
    assert serialized_header(data) == from_header(mask) == header
    assert read_detections(data, mask, camera) == ([], "") and array_length(data) == 0


def test_where_masks_overlap_the_better_detection_has_the_pixel(
    detections: list[Detection], camera: Camera, header: Header, types: Any
) -> None:
    both = [replace(d, mask=np.ones_like(d.mask)) for d in detections]
    received, _ = read_detections(*sent(both, camera, header, types), camera)
    assert received[0].mask.all() and not received[1].mask.any()


def test_a_mask_of_another_size_is_refused(
    detections: list[Detection], camera: Camera, header: Header, types: Any
) -> None:
    data, mask = sent(detections, camera, header, types)
    with pytest.raises(BinposeError, match="128x96"):
        read_detections(data, mask, camera.resized(128, 96))


def test_detections_of_two_models_are_refused(
    detections: list[Detection], camera: Camera, header: Header, types: Any
) -> None:
    data, mask = sent(detections, camera, header, types)
    array = types.read(data, "Detection2DArray")
    object.__setattr__(array.detections[1], "id", instance_id("feedbeef" * 8, 1))
    with pytest.raises(BinposeError, match="one model"):
        read_detections(types.serialized(array), mask, camera)


def test_a_detection_without_a_class_is_refused(
    detections: list[Detection], camera: Camera, header: Header, types: Any
) -> None:
    data, mask = sent(detections, camera, header, types)
    array = types.read(data, "Detection2DArray")
    object.__setattr__(array.detections[1], "results", [])
    with pytest.raises(BinposeError, match="no result"):
        read_detections(types.serialized(array), mask, camera)
