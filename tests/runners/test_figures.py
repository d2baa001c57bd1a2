"""Figures: what is on them, and that pages can colour them."""

from __future__ import annotations

import numpy as np
import pytest

from keel.runners.figures import PALETTE, Line, histogram, inline_svg, learning_curve, short_number

STEPS = np.arange(1000.0)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.25, "0.25"), (-500, "−500"), (1500, "1500"), (20_000, "20k"), (1_500_000, "1.5M"), (3e9, "3G")],
)
def test_short_number(value: float, shown: str) -> None:
    assert short_number(value) == shown


def test_a_learning_curve_shows_each_line_in_its_colour_and_no_more_points_than_needed() -> None:
    band = (STEPS - 1, STEPS + 1)
    figure = learning_curve([Line("one", (STEPS, STEPS), band), Line("two", (STEPS, -STEPS))], title="both")
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.get_lines()] == ["one", "two"]
    assert [line.get_color() for line in axes.get_lines()] == list(PALETTE[:2])
    x = np.asarray(axes.get_lines()[0].get_xdata())
    assert len(x) <= 500
    assert (x[0], x[-1]) == (0, 999)
    assert len(axes.collections) == 1  # one band


def test_more_lines_than_colours_differ_in_their_dashes() -> None:
    figure = learning_curve([Line(str(index), (STEPS, STEPS)) for index in range(10)], title="many")
    looks = {(line.get_color(), str(line.get_linestyle())) for line in figure.axes[0].get_lines()}
    assert len(looks) == 10


def test_a_histogram_counts_every_value_once() -> None:
    for values in ([5.0] * 7, [1.0, 2.0, 2.0, 900.0], list(np.random.default_rng(0).normal(size=3000))):
        bars = histogram(values, title="", x_label="return").axes[0].patches
        assert sum(bar.get_height() for bar in bars) == len(values)  # type: ignore[attr-defined]
        assert len(bars) <= 40


def test_inline_svg_takes_its_colours_from_the_page_and_says_what_it_shows() -> None:
    svg = inline_svg(
        lambda width: learning_curve([Line("a <b> $", (STEPS, STEPS))], title="t", width_inches=width),
        name="curve",
        description='a "curve"',
    )
    assert svg.count("<svg") == 2
    assert "var(--series-1)" in svg
    assert not any(colour in svg for colour in PALETTE)
    assert 'aria-label="a &quot;curve&quot;"' in svg
    assert "a &lt;b&gt; $" in svg
    assert svg.startswith('<div class="wide">')


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one line"):
        learning_curve([], title="")
    with pytest.raises(ValueError, match="at least one value"):
        histogram([], title="", x_label="")
