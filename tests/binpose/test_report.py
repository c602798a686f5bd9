"""The page holds what it was given, as given, and nothing from outside."""

import base64
import json
import re
from collections.abc import Sequence

import cv2
import numpy as np

from binpose.report import Report, comparison, image_uri, picture
from binpose.scene_view import add_scene_viewer, scene_traces
from binpose_core.drawing.overlays import type_colors
from binpose_core.frames.types import PoseEstimate


def decoded(uri: str) -> np.ndarray:
    data = base64.b64decode(uri.split(",", 1)[1])
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_pictures_survive_the_page() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, 30:] = (200, 30, 60)
    np.testing.assert_array_equal(decoded(image_uri(image, lossless=True)), image)
    assert np.abs(decoded(image_uri(image)).astype(int) - image).mean() < 4
    report = Report("Title")
    report.add_figures([picture(image, "one"), comparison(image, image, "two")])
    found = re.findall(r"src='(data:image/[a-z]+;base64,[^']+)'", report.render())
    assert len(found) == 3
    assert decoded(found[0]).shape == image.shape


def test_large_pictures_are_made_smaller() -> None:
    assert decoded(image_uri(np.zeros((200, 400), np.uint8), max_width_px=100)).shape[:2] == (50, 100)


def test_text_is_escaped_and_numbers_are_short() -> None:
    report = Report("<b>", subtitle="a & b", facts={"<k>": "<v>"})
    report.add_section("<h>", "<t>")
    report.add_table(("<c>", "n", "m"), [("<x>", 0.123456, None), ("y", float("nan"), 3)])
    page = report.render()
    for raw in ("<b>", "<k>", "<v>", "<h>", "<t>", "<c>", "<x>"):
        assert raw not in page
    assert ">0.123<" in page and page.count(">-<") == 2 and ">3<" in page


def test_the_page_needs_no_network(objects: Sequence, scenes: Sequence) -> None:
    parts = {model.id: model for model in objects}
    poses = [PoseEstimate(n, T, 0.9) for n, T in zip(scenes[0].object_ids, scenes[0].T_cam_obj, strict=True)]
    report = Report("3D")
    traces = scene_traces(scenes[0].frame, poses, parts, type_colors(list(parts)))
    add_scene_viewer(report, {"one": traces, "two": traces})
    page = report.render()
    assert "Plotly" in page
    assert not re.search(r"<(script|img|link)[^>]*(src|href)=['\"]?https?:", page)
    data = json.loads(re.search(r"<script type='application/json'>(.*?)</script>", page, re.S).group(1))
    assert len(data) == 2


def test_meshes_of_the_scene_stand_where_the_poses_are(objects: Sequence, scenes: Sequence) -> None:
    parts = {model.id: model for model in objects}
    T = scenes[0].T_cam_obj[0]
    pose = PoseEstimate(scenes[0].object_ids[0], T, 0.9)
    points, mesh = scene_traces(scenes[0].frame, [pose], parts, type_colors(list(parts)), ["ADD 0.1 mm"])
    vertices = np.stack([mesh["x"], mesh["y"], mesh["z"]], -1)
    model = parts[pose.object_id]
    middle_mm = 1000 * (T[:3, :3] @ model.center_m + T[:3, 3])
    assert np.abs((vertices.min(0) + vertices.max(0)) / 2 - middle_mm).max() < 0.5 * 1000 * model.diameter_m
    assert "ADD 0.1 mm" in mesh["hovertemplate"]
    cloud = np.stack([points["x"], points["y"], points["z"]], -1)
    assert len(cloud) == len(points["marker"]["color"])
    distance = np.linalg.norm(cloud[:, None] - vertices[None], axis=-1).min(1)
    assert (distance < 10).sum() > 50  # the part was seen where it stands
