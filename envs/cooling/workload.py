"""How busy the servers are: CPU utilisation of each hall every 5 minutes, drawn or from a CSV file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Protocol

import numpy as np

from keel.envs.compiled import kernel
from keel.envs.cooling.files import Column, read_column, wrapped
from keel.envs.errors import closest
from keel.envs.protocol import Array

STEPS_PER_HOUR = 12
STEPS_PER_DAY = 24 * STEPS_PER_HOUR
MAX_CSV_BYTES = 50_000_000
MIN_CSV_ROWS = 12  # an hour
UTILISATION_COLUMN = Column(("util", "cpu"), 0.0, 100.0)
SYNTHETIC = "synthetic"  # what `load_workload` calls the drawn one

LOWEST, HIGHEST = 0.05, 1.0  # what a synthetic hall's utilisation is clipped to
SHARED_NOISE = 0.6  # the share of the noise's variance that all halls have in common
JUMPS_PER_DAY = 0.5  # in each hall
LARGEST_JUMP = 0.30  # up or down
HALL_SHIFT_STEPS = 3 * STEPS_PER_HOUR  # from one hall to the next, in a trace that all halls read


class Workload(Protocol):
    """Utilisation of some halls over some time."""

    def steps(self, generator: np.random.Generator, first_step: int, count: int, halls: int) -> Array:
        """`count` steps of 5 minutes, the first of which starts `first_step` steps after the start of the year.

        Returns: [count halls] float64, 0 to 1.
        """
        ...


@kernel
def wave_and_noise(episode: Array, hall: Array, noise: Array, first_step: int) -> Array:
    """The utilisation [count halls] that days, weekends and AR(1) noise make, before jumps and limits.

    Args:
        episode: [4] mean, amplitude of the day, dip at the weekend, where the noise stands between calm 0 and wild 1.
        hall: [halls 2] what a hall has beyond the mean, and how many hours later its day is.
        noise: [count halls+1] standard normal, overwritten; the last column is what all halls share.
    """
    mean, amplitude, dip, wildness = episode
    # Between the measured Azure (steps of 1.5 points, autocorrelation .97) and Alibaba (6 points, .81) traces.
    correlation = 0.97 - 0.16 * wildness
    spread = 0.015 * 4.0**wildness / math.sqrt(2.0 * (1.0 - correlation))
    fresh = math.sqrt(1.0 - correlation * correlation)
    shared, own = spread * math.sqrt(SHARED_NOISE), spread * math.sqrt(1.0 - SHARED_NOISE)
    count, halls = len(noise), len(hall)
    utilisation = np.empty((count, halls))
    for step in range(count):
        if step:
            for i in range(halls + 1):
                noise[step, i] = correlation * noise[step - 1, i] + fresh * noise[step, i]
        hour = (first_step + step) / STEPS_PER_HOUR
        into_week = hour % 168.0
        # The weekend comes and goes over 6 hours; the year starts on a Monday.
        weekend = min(max((into_week - 117.0) / 6.0, 0.0), 1.0) - min(max((into_week - 162.0) / 6.0, 0.0), 1.0)
        for i in range(halls):
            day = amplitude * (1.0 - 0.5 * weekend) * math.cos(2.0 * math.pi * (hour - 15.0 - hall[i, 1]) / 24.0)
            wander = shared * noise[step, halls] + own * noise[step, i]
            utilisation[step, i] = mean + hall[i, 0] + day - dip * weekend + wander
    return utilisation


@kernel
def add_jumps(utilisation: Array, jumps: Array) -> None:
    """Raise or lower [count halls] for some hours at a time, in place, and clip.

    Args:
        jumps: [days halls 4] uniform 0 to 1: whether there is a jump that day, when, how high, how long.
    """
    count, halls = utilisation.shape
    for day in range(len(jumps)):
        for i in range(halls):
            chance, when, size, length = jumps[day, i]
            if chance < JUMPS_PER_DAY:
                start = int((day - 1 + when) * STEPS_PER_DAY)  # from a day early: it may last into the first steps
                stop = start + int((0.5 + 3.5 * length) * STEPS_PER_HOUR)
                for step in range(max(start, 0), min(stop, count)):
                    utilisation[step, i] += LARGEST_JUMP * (2.0 * size - 1.0)
    for step in range(count):
        for i in range(halls):
            utilisation[step, i] = min(max(utilisation[step, i], LOWEST), HIGHEST)


class SyntheticWorkload:
    """Drawn anew in each episode: a mean, a daily wave, a weekend, noise and jumps, as measured traces have them.

    | quantity                                     | range              |
    |----------------------------------------------|--------------------|
    | mean of an episode                           | .35 to .65         |
    | amplitude of the day, highest at 15 h        | .03 to .25         |
    | lower at weekends by                         | 0 to .10           |
    | standard deviation of a step of the noise    | .015 to .06        |
    | its autocorrelation over 5 minutes           | .97 to .81         |
    | jumps, every second day in each hall         | up to .30 up, down |
    | their length                                 | .5 to 4 hours      |
    | a hall's mean and day beside the others      | ±.03, ±1 hour      |

    The year starts on a Monday. Source: our statistics of the traces Google 2019, Azure V2 and Alibaba 2018.
    """

    def steps(self, generator: np.random.Generator, first_step: int, count: int, halls: int) -> Array:
        days = count // STEPS_PER_DAY + 2
        uniform = generator.random(4 + 2 * halls + 4 * days * halls)
        noise = generator.standard_normal((count, halls + 1))
        episode = np.array([0.35, 0.03, 0.0, 0.0]) + np.array([0.30, 0.22, 0.10, 1.0]) * uniform[:4]
        hall = (uniform[4 : 4 + 2 * halls].reshape(halls, 2) - 0.5) * np.array([0.06, 2.0])
        jumps = uniform[4 + 2 * halls :].reshape(days, halls, 4)
        utilisation = wave_and_noise(episode, hall, noise, first_step)
        add_jumps(utilisation, jumps)
        return utilisation


class CsvWorkload:
    """A trace from a CSV file: a header line, then one row each 5 minutes from the start of the year.

    The column is the first whose name has "util" or "cpu" in it, or the only one. Its values are from 0 to 1, or percent
    where any is above 2 (then all are divided by 100); a largest value above 1 and up to 2 is refused. The end is
    followed by the beginning, so that a short trace repeats. Hall k reads the trace 3 k hours ahead of hall 0. No chance.

    Raises: ValueError for a damaged file, naming line, column and value; at least 12 rows, at most 50 MB.
    """

    def __init__(self, path: str | Path) -> None:
        trace = read_column(Path(path), UTILISATION_COLUMN, MIN_CSV_ROWS, MAX_CSV_BYTES)
        if 1.0 < trace.max() <= 2.0:
            raise ValueError(
                f"{path}: the largest utilisation is {trace.max():g}; at most 1 as a share, or percent, would be right"
            )
        self._trace = trace / 100.0 if trace.max() > 1.0 else trace

    def steps(self, generator: np.random.Generator, first_step: int, count: int, halls: int) -> Array:
        traces = [wrapped(self._trace, first_step + hall * HALL_SHIFT_STEPS, count) for hall in range(halls)]
        return np.stack(traces, axis=1)


def load_workload(spec: str) -> Workload:
    """The workload that is called "synthetic", or that of a .csv file, by its path.

    Raises: ValueError for anything else and for a damaged file.
    """
    if spec == SYNTHETIC:
        return SyntheticWorkload()
    if spec.lower().endswith(".csv"):
        return CsvWorkload(spec)
    hint = closest(spec, [SYNTHETIC])
    raise ValueError(f"workload is {spec!r}; 'synthetic' or the path of a .csv file would be right{hint}")
