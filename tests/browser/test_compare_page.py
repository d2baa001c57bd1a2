"""The page of `keel compare` in a real browser: it opens from the file, complete, wide and narrow, light and dark."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from keel.runners.compare.comparison import compare_runs
from keel.runners.run import Run

from .chromium import Chromium

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def comparison(chromium: Chromium, trainings: list[Run]) -> str:
    """The address of the page, as a file."""
    folder = Path("results/comparison").resolve()
    compare_runs(trainings, folder)
    return (folder / "compare.html").as_uri()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_opens(chromium: Chromium, comparison: str, pictures: Path, width: int, dark: bool) -> None:
    page = chromium.open(comparison, width=width, height=2400, dark=dark)
    for word in ("CartPole-v1", "ppo", "dqn"):
        page.wait_for(f"document.body.innerText.includes('{word}')")
    page.wait_for("document.querySelectorAll('svg path, canvas').length > 0")
    page.picture(pictures / f"compare-{width}-{'dark' if dark else 'light'}.png")
    assert page.overflow_pixels() == 0
    assert page.complaints() == []
    assert {urlsplit(url).scheme for url in page.requests()} <= {"file", "data", "blob"}
    page.close()
