"""The page of a self-training in a real browser, at the widths of a desk and of a phone."""

import html
import json
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from binpose.self_training_report import self_training_page
from binpose_self_training.recorded_frames import NamedFrames

from .binpose_self_training.test_rounds import recordings, run, store  # noqa: F401  # fixtures
from .test_report_in_browser import browser  # noqa: F401

# Facts of the page, which lies in frames of several widths; errors are those of scripts and those on the console.
PROBE = """
<script>
const errors = [];
addEventListener("error", event => errors.push(event.message || "not loaded: " + event.target.outerHTML), true);
addEventListener("unhandledrejection", event => errors.push(String(event.reason)));
console.error = (...words) => errors.push(words.join(" "));
addEventListener("load", () => setTimeout(() => {
  const pictures = [...document.images], root = document.documentElement;
  parent.postMessage({
    errors, pictures: pictures.length,
    decoded: pictures.filter(image => image.complete && image.naturalWidth > 1).length,
    sections: [...document.querySelectorAll("h2")].map(heading => heading.textContent),
    tops: [...document.querySelectorAll("h2")].map(heading => heading.getBoundingClientRect().top),
    width: root.clientWidth, content: root.scrollWidth,
  }, "*");
}, 1000));
</script>
"""
FRAMES = """<!doctype html><title></title><script>
const facts = [];
addEventListener("message", event => { facts.push(event.data); document.title = JSON.stringify(facts); });
</script>"""


def facts_at(browser: str, page: str, widths: Sequence[int], folder: Path) -> dict[int, dict[str, Any]]:  # noqa: F811
    """Facts of the page by its width in pixels."""
    probed = html.escape(page.replace("<head>", f"<head>{PROBE}", 1), quote=True)
    frames = "".join(f'<iframe width="{width}" height="900" srcdoc="{probed}"></iframe>' for width in widths)
    path = folder / "frames.html"
    path.write_text(FRAMES + frames, encoding="utf-8")
    options = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}")
    done = subprocess.run(
        [browser, *options, "--window-size=1400,2000", "--virtual-time-budget=20000", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.S)
    assert title is not None and title.group(1), done.stderr[-2000:]
    found = {round(facts["width"] / 20) * 20: facts for facts in json.loads(html.unescape(title.group(1)))}
    assert len(found) == len(widths)
    return {width: found[min(found, key=lambda known: abs(known - width))] for width in widths}


@pytest.fixture
def page(run: Callable[..., Any], recordings: list[NamedFrames], tmp_path: Path) -> str:  # noqa: F811
    """The page of a run with known poses, whose student the gate could not prove better."""
    result = run()(recordings)
    assert result.verdict is not None
    return self_training_page(result, tmp_path / "run", 0.1)


def test_the_page_is_whole_at_every_width(browser: str, page: str, tmp_path: Path) -> None:  # noqa: F811
    found = facts_at(browser, page, (1280, 400), tmp_path)
    for width, facts in found.items():
        assert facts["errors"] == [], f"at {width} px"
        assert facts["pictures"] == facts["decoded"] >= 3
        assert facts["content"] <= facts["width"], f"content of {facts['content']} px at {facts['width']} px"
        names = facts["sections"]
        assert [names.index(name) for name in ("Rounds", "Labels of round 3", "Before and after", "Time")] == sorted(
            names.index(name) for name in ("Rounds", "Labels of round 3", "Before and after", "Time")
        )
        assert facts["tops"] == sorted(facts["tops"]) and len(set(facts["tops"])) == len(names)
    assert found[400]["width"] < 420 < 1200 < found[1280]["width"]


def test_errors_and_wide_content_are_found(browser: str, tmp_path: Path) -> None:  # noqa: F811
    broken = (
        "<html><head></head><body><h2>Rounds</h2><img src='data:image/png;base64,AAAA'>"
        "<div style='width: 700px'>wide</div><script>missing()</script></body></html>"
    )
    (facts,) = facts_at(browser, broken, (400,), tmp_path).values()
    assert any("missing" in error for error in facts["errors"]) and any("not loaded" in e for e in facts["errors"])
    assert facts["decoded"] == 0 and facts["content"] > facts["width"]
