"""Schedules: known values at known moments, and what is refused."""

import pytest

from keel.agents.schedule import Schedule


@pytest.mark.parametrize(
    ("schedule", "progress", "value"),
    [
        (Schedule(1.0, 0.05, 0.1), 0.0, 1.0),
        (Schedule(1.0, 0.05, 0.1), 0.05, 0.525),
        (Schedule(1.0, 0.05, 0.1), 0.1, 0.05),
        (Schedule(1.0, 0.05, 0.1), 0.7, 0.05),
        (Schedule(1.0, 0.05, 0.1), 1.0, 0.05),
        (Schedule(0.4, 1.0), 0.0, 0.4),
        (Schedule(0.4, 1.0), 0.25, 0.55),
        (Schedule(0.4, 1.0), 1.0, 1.0),
        (Schedule(0.9, 0.2, 0.0), 0.0, 0.2),  # no time at all: the end at once
        (Schedule(0.3, 0.3, 0.5), 0.2, 0.3),
    ],
)
def test_values(schedule, progress, value):
    assert schedule(progress) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("field", ["start", "end", "fraction"])
@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan"), float("inf")])
def test_values_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=rf"{field} is {value}: it must lie between 0 and 1"):
        Schedule(**({"start": 1.0, "end": 0.0, "fraction": 0.5} | {field: value}))
