"""The page in a real browser: no script error, pictures decoded, the 3D scene drawn."""

import html
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from binpose.report import Report, comparison, picture
from binpose.scene_view import add_scene_viewer, scene_traces
from binpose_core.drawing.overlays import type_colors
from binpose_core.frames.types import PoseEstimate

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Facts of the loaded page, written into its title; a script that fails leaves them out.
PROBE = """
<script>
addEventListener("error", event => { document.body.dataset.error = event.message; }, true);
addEventListener("load", () => setTimeout(() => {
  const pictures = [...document.images];
  const canvas = document.querySelector(".plot canvas");
  document.title = JSON.stringify({
    error: document.body.dataset.error || "",
    pictures: pictures.length,
    decoded: pictures.filter(image => image.complete && image.naturalWidth > 1).length,
    traces: (document.querySelector(".plot").data || []).length,
    canvas: canvas ? canvas.width * canvas.height : 0,
    tabs: document.querySelectorAll(".tabs button[aria-pressed=true]").length,
  });
}, 2000));
</script>
"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    return found


def opened(browser: str, page: Path, profile: Path) -> dict[str, object]:
    """Facts of a page after its scripts have run."""
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--use-gl=angle", "--use-angle=swiftshader")
    options += ("--enable-unsafe-swiftshader", f"--user-data-dir={profile}", "--virtual-time-budget=20000")
    done = subprocess.run(
        [browser, *options, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=180, check=True
    )
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.S)
    assert title is not None, done.stderr[-2000:]
    return dict(json.loads(html.unescape(title.group(1))))


@pytest.fixture
def page(objects: Sequence, scenes: Sequence) -> str:
    """A report with a picture, a comparison and a 3D scene."""
    parts = {model.id: model for model in objects}
    poses = [PoseEstimate(n, T, 0.9) for n, T in zip(scenes[0].object_ids, scenes[0].T_cam_obj, strict=True)]
    report = Report("A report")
    image = np.full((40, 60, 3), 90, np.uint8)
    report.add_figures([picture(image, "one"), comparison(image, image, "two")])
    traces = scene_traces(scenes[0].frame, poses, parts, type_colors(list(parts)))
    add_scene_viewer(report, {"one": traces, "two": traces})
    return report.render()


def test_a_browser_shows_pictures_and_the_scene(browser: str, page: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page.replace("</head>", PROBE + "</head>", 1), encoding="utf-8")
    seen = opened(browser, path, tmp_path / "profile")
    assert seen["error"] == ""
    assert seen["pictures"] == seen["decoded"] == 3
    assert seen["traces"] > 2 and seen["canvas"] > 0 and seen["tabs"] == 1


def test_a_script_error_is_found(browser: str, page: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    broken = page.replace("</head>", PROBE + "</head>", 1).replace("</body>", "<script>missing()</script></body>", 1)
    path.write_text(broken, encoding="utf-8")
    assert "missing" in str(opened(browser, path, tmp_path / "profile")["error"])
