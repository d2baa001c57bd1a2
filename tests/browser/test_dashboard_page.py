"""`keel dashboard` in a real browser: the runs, their curves and films, live, and nothing from elsewhere."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from keel.runners.run import Run
from keel.runners.tracker import JsonLines

from .chromium import Chromium, Page
from .conftest import train_for_show

pytestmark = pytest.mark.browser

COMMAND = [
    sys.executable,
    "-c",
    "import sys; from keel.runners.dashboard.command import main; sys.exit(main(sys.argv[1:]))",
]
CURVES = "document.querySelectorAll('.plot-container[data-metric=\"{}\"] :is(canvas, svg)').length > 0"


@pytest.fixture(scope="module")
def address(chromium: Chromium, trainings: list[Run]) -> Iterator[str]:
    """The page of the command in a process of its own, which Ctrl-C ends in order."""
    command = [*COMMAND, "--json", "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        yield json.loads(line or process.communicate()[1])["url"]
    finally:
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, ""), error
    assert "Traceback" not in error


def check_quiet(page: Page) -> None:
    """Nothing went wrong on the page, and nothing came from another machine."""
    assert page.complaints() == []
    addresses = [urlsplit(url) for url in page.requests()]
    assert {url.hostname for url in addresses if url.scheme in ("http", "https", "ws", "wss")} == {"127.0.0.1"}
    assert {url.scheme for url in addresses} <= {"http", "data", "blob"}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_runs_and_their_curves(
    chromium: Chromium, address: str, trainings: list[Run], pictures: Path, width: int, dark: bool
) -> None:
    page = chromium.open(address, width=width, dark=dark)
    for metric in ("eval/return", "train/episode_return", "loss/policy"):
        page.wait_for(CURVES.format(metric))
    for run in trainings if width > 1000 else ():  # on a narrow page their list is folded away
        page.wait_for(f"document.body.innerText.includes({json.dumps(run.name)})")
    page.picture(pictures / f"dashboard-{width}-{'dark' if dark else 'light'}.png")
    assert page.overflow_pixels() == 0
    check_quiet(page)
    page.close()


def test_films_can_be_played(chromium: Chromium, address: str, trainings: list[Run], pictures: Path) -> None:
    page = chromium.open(address.replace("/?", "/media?"))
    page.wait_for(f"document.querySelectorAll('video').length === {len(trainings)}")
    page.wait_for("[...document.querySelectorAll('video')].every(film => film.videoWidth === 128)")
    page.picture(pictures / "dashboard-films.png")
    check_quiet(page)
    page.close()


def test_a_training_is_followed(chromium: Chromium, address: str, trainings: list[Run], pictures: Path) -> None:
    """The last test of this file: it changes what the others see."""
    page = chromium.open(address)
    page.wait_for(CURVES.format("eval/return"))
    assert not page.value(CURVES.format("world/pole_angle"))
    rows = JsonLines(trainings[0])
    for step in (42_000, 43_000):
        rows.log(step, {"world/pole_angle": 0.1})
    page.wait_for(CURVES.format("world/pole_angle"))
    rows.finish("finished")
    train_for_show("r2d2", "CartPole-v1", 7, 1e-3)
    page.wait_for("document.body.innerText.includes('CartPole-v1-r2d2-7')")
    check_quiet(page)
    page.close()

    page = chromium.open(address.replace("/?", "/runs?"))
    page.wait_for("document.body.innerText.includes('43000')")
    page.picture(pictures / "dashboard-runs.png")
    check_quiet(page)
    page.close()
