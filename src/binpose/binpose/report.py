"""One self-contained HTML page with embedded images, tables and 3D scene."""

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from numbers import Real

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Cell = str | int | float | None
LONG_TEXT = 60  # number of characters from which table cells wrap their text
_NUMBER = re.compile(r"-|[-+]?[0-9.]+( %| mm| ms)?")


@dataclass
class Report:
    """Sections of HTML that are rendered to one page.

    Text passed to its methods is escaped; only `add_html` accepts markup.
    """

    title: str
    subtitle: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    _sections: list[str] = field(default_factory=list)
    _scripts: list[str] = field(default_factory=list)

    def add_section(self, title: str, text: str = "") -> None:
        """A heading with an optional paragraph below."""
        paragraph = f"<p class='lead'>{html.escape(text)}</p>" if text else ""
        self._sections.append(f"<h2>{html.escape(title)}</h2>{paragraph}")

    def add_text(self, text: str) -> None:
        """A paragraph."""
        self._sections.append(f"<p>{html.escape(text)}</p>")

    def add_status(self, text: str, good: bool) -> None:
        """A framed paragraph, green if good and orange for a warning."""
        self._sections.append(f"<p class='status {'good' if good else 'bad'}'>{html.escape(text)}</p>")

    def add_html(self, markup: str) -> None:
        """Unescaped markup."""
        self._sections.append(markup)

    def add_script(self, source: str) -> None:
        """JavaScript that runs after the page; repeated scripts run once."""
        if source not in self._scripts:
            self._scripts.append(source)

    def add_table(self, header: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str = "") -> None:
        """A table; numbers are aligned right, None becomes a dash."""
        right = [any(_is_number(row[n]) for row in rows) for n in range(len(header))]
        head = "".join(
            f"<th{' class=number' if numeric else ''}>{html.escape(name)}</th>"
            for name, numeric in zip(header, right, strict=True)
        )
        body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
        note = f"<p class='note'>{html.escape(caption)}</p>" if caption else ""
        self._sections.append(
            f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{note}"
        )

    def add_figures(self, figures: Sequence[str]) -> None:
        """Figures from `picture` or `comparison`, side by side if there is room."""
        self._sections.append(f"<div class='grid'>{''.join(figures)}</div>")

    def render(self) -> str:
        """The whole page."""
        facts = "".join(f"<div><dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd></div>" for k, v in self.facts.items())
        return _asset("report.html").format(
            title=html.escape(self.title),
            subtitle=html.escape(self.subtitle),
            style=_asset("report.css"),
            facts=f"<dl class='facts'>{facts}</dl>" if facts else "",
            body="\n".join(self._sections),
            scripts="\n".join(f"<script>{source}</script>" for source in [*self._scripts, _asset("report.js")]),
        )


def picture(image: Image, caption: str, max_width_px: int = 1600, lossless: bool = False) -> str:
    """A figure of an image (H, W, 3) RGB or (H, W) uint8."""
    return (
        f"<figure><img src='{image_uri(image, max_width_px, lossless)}' alt='{html.escape(caption)}'>"
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def comparison(before: Image, after: Image, caption: str, max_width_px: int = 1600) -> str:
    """A figure of two images of the same size with a divider to drag between them."""
    return (
        "<figure class='comparison'><div class='stack'>"
        f"<img src='{image_uri(before, max_width_px)}' alt='input: {html.escape(caption)}'>"
        f"<img class='after' src='{image_uri(after, max_width_px)}' alt='estimates: {html.escape(caption)}'>"
        "<input type='range' min='0' max='100' value='0' aria-label='Show more of the input picture'></div>"
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def percent_text(value: float | None) -> str:
    """A fraction in percent with one digit, a dash for None and NaN."""
    return "-" if value is None or not np.isfinite(value) else f"{100 * value:.1f} %"


def image_uri(image: Image, max_width_px: int = 1600, lossless: bool = False) -> str:
    """A data URI of an image (H, W, 3) RGB or (H, W) uint8, made smaller than max_width_px."""
    if image.shape[1] > max_width_px:
        height = round(image.shape[0] * max_width_px / image.shape[1])
        image = cv2.resize(image, (max_width_px, height), interpolation=cv2.INTER_AREA)
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    kind, options = (".png", []) if lossless else (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 90])
    _, data = cv2.imencode(kind, pixels, options)
    mime = "png" if lossless else "jpeg"
    return f"data:image/{mime};base64,{base64.b64encode(data.tobytes()).decode()}"


def _cell(value: Cell) -> str:
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "<td class='number'>-</td>"
    if isinstance(value, str):
        kind = " class=number" if _is_number(value) else " class=text" if len(value) > LONG_TEXT else ""
        return f"<td{kind}>{html.escape(value)}</td>"
    return f"<td class='number'>{value:.3g}</td>" if isinstance(value, float) else f"<td class='number'>{value}</td>"


def _is_number(value: Cell) -> bool:
    """Whether a cell is a number, or text that represents one."""
    return isinstance(value, Real) or (isinstance(value, str) and _NUMBER.fullmatch(value) is not None)


def _asset(name: str) -> str:
    return resources.files("binpose").joinpath("assets", name).read_text(encoding="utf-8")
