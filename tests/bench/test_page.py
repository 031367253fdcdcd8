"""The HTML page: everything in it, nothing from elsewhere, and how Chromium shows it."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgeface.bench import page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
LIGHT, DARK = 1, 0
"""Chromium's own numbers for the preferred colour scheme."""


class Outline(HTMLParser):
    """Checks that tags close in order, and keeps headings and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def test_the_page_is_whole_and_needs_nothing_else(result: dict[str, Any]) -> None:
    result["rows"][2]["name"] = "<script>alert(1)</script>"
    text = page.html(result)
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
    assert outline.headings == [
        "Accuracy against frames a second",
        "Frames a second, batch 1",
        "Size of the model's file",
        "Memory for activations (arena)",
        "Time by type of operator: <script>alert(1)</script> on cpu",
        "Time by block: <script>alert(1)</script> on cpu",
        "All rows",
        "Measured: milliseconds of one inference",
        "Measured: how it ran",
        "Measured: memory, batches, whole photos",
        "Simulated",
        "Notes",
    ]
    assert not {"src", "href", "srcset", "onload"} & {name for name, _ in outline.attributes}
    assert not re.search(r"<(script|link|iframe|img)|https?:|@import|url\(", text)


def test_estimates_show_their_band_and_kind(result: dict[str, Any]) -> None:
    text = page.html(result)
    point = re.search(r'<b class="point c1 open"[^>]*title="([^"]*)"', text)
    assert point is not None
    assert point[1] == "small on rpi4 (calibrated-estimate): 66.7-100.0 fps, 91.23 %"
    assert "needs 2.1 MB of RAM, the board has 1 MB" in text
    places = [float(place) for place in re.findall(r"(?:left|bottom|width):(-?[\d.]+)%", text)]
    assert min(places) >= 0
    assert max(places) <= 100


def test_time_by_operator_has_the_colour_of_its_device(result: dict[str, Any]) -> None:
    result["rows"][3]["per_op"] = next(row["per_op"] for row in result["rows"] if row["per_op"])
    sections = re.findall(
        r"<h2>Time by type of operator: [^<]* on (\w+)</h2>.*?<i class=\"fill ([^\"]*)\"", page.html(result)
    )
    assert dict(sections) == {"cpu": "c0", "rpi4": "c1 open"}


def test_bars_of_sizes_have_the_models_names(result: dict[str, Any]) -> None:
    names = {0: "door (old)", 1: "door (litert, 2 threads) #2", 2: "gate (1 thread)"}
    for place, name in names.items():
        result["rows"][place]["name"] = name
    sizes = page.html(result).split("<h2>Size of the model", 1)[1].split("</section>", 1)[0]
    assert re.findall(r'<span class="name">([^<]*)<', sizes)[:3] == ["door (old)", "door #2", "gate"]


def test_without_accuracy_or_times_there_is_still_a_page(result: dict[str, Any]) -> None:
    result["rows"] = [{**result["rows"][4], "accuracy": None}]
    text = page.html(result)
    assert "Accuracy against" not in text
    assert "Frames a second" not in text
    assert "cortex-m7" in text


@pytest.mark.parametrize(
    ("low", "high", "ends"), [(48, 1100, (20, 2000)), (1, 9, (0.5, 10)), (2.0, 2.1, (1, 5)), (0.011, 3, (0.01, 5))]
)
def test_axis_ends_are_round_and_outside(low: float, high: float, ends: tuple[float, float]) -> None:
    assert page._decades(low, high) == pytest.approx(ends)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine; install Debian's package chromium")
@pytest.mark.parametrize(("width", "scheme"), [(400, DARK), (1400, LIGHT)])
def test_chromium_shows_it(result: dict[str, Any], tmp_path: Path, width: int, scheme: int) -> None:
    """Nothing reaches past the window, the theme is the one asked for, and the measured bars are there in colour."""
    probe = "<script>document.title = document.documentElement.scrollWidth + '/' + window.innerWidth</script></body>"
    (tmp_path / "page.html").write_text(page.html(result).replace("</body>", probe))
    picture = tmp_path / "page.png"
    command = [
        str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        "--virtual-time-budget=2000",
        f"--blink-settings=preferredColorScheme={scheme}", f"--user-data-dir={tmp_path / 'profile'}",
        f"--window-size={width},1600", f"--screenshot={picture}", "--dump-dom", (tmp_path / "page.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    size = re.search(r"<title>(\d+)/(\d+)</title>", done.stdout)
    assert size is not None
    assert int(size[1]) <= int(size[2])
    if not picture.exists():  # some versions do one of the two
        subprocess.run([part for part in command if part != "--dump-dom"], capture_output=True, timeout=120, check=True)
    image = cv2.imread(str(picture))
    assert image.shape[1] == width
    corner = int(image[2, 2].mean())
    assert (corner > 240) if scheme == LIGHT else (corner < 40)
    blue = np.array([0xEB, 0x6F, 0x1F] if scheme == LIGHT else [0xFF, 0xB0, 0x6C])
    assert (np.abs(image.astype(int) - blue).max(axis=2) < 8).mean() > 0.002
