"""The ten validation tests of the data centre's cooling: measures them, and says beside their sources what came out.

Only numbers are measured here; `cooling_checks.py` holds tolerances, sources and verdicts, `cooling_figures.py` makes
tables and plots of them. All is computed by what users call: `make_vec`, `gymnasium.make`, the world and its kernels.
"""

from __future__ import annotations

import itertools
import math
import sys
import time
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from keel.envs.cooling import bound, hall, layout, physics, plant, step, tuning
from keel.envs.cooling.actions import ranges
from keel.envs.cooling.env import DataCenterCooling, begin_plant
from keel.envs.cooling.weather import SITES
from keel.envs.protocol import Array
from keel.envs.registry import register_all
from keel.envs.seeding import derive_seed
from keel.envs.vector import make_vec
from keel.runners.benchmarks import cooling_figures
from keel.runners.benchmarks.cooling_checks import RECORDED
from keel.runners.benchmarks.cooling_loss import loss
from keel.runners.benchmarks.cooling_oracles import published_capacity_watts, published_chiller_watts, wet_bulb, york

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORLD = "keel/DataCenterCooling-v0"
SEA_LEVEL_PASCALS = tuning.STANDARD_PRESSURE
CORNER_SITES = ("tampa", "ashburn", "stockholm")
CORNER_WEEKS = range(0, 52, 4)
BATCH = 256


def run(*, random_steps: int = 1_000_000, sites: list[str] | None = None) -> dict[str, Any]:
    """All ten tests. `random_steps`: of random actions in all; `sites`: whose years are run, by default all."""
    result = {}
    names = ("energy", "chiller", "tower", "server", "wet_bulb", "loss")
    tests = dict(zip(names, (energy, chiller, tower, server, wet_bulb, loss), strict=True)) | {
        "climates": lambda: climates(sites or list(SITES)),
        "actions": lambda: {**dimensions(), "corners": {site: corners(site) for site in CORNER_SITES}},
        "energyplus": energyplus,
        "worlds": lambda: {**same_as_single(), **halving(), **at_random(random_steps)},
    }
    for name, test in tests.items():
        started = time.perf_counter()
        result[name] = test()
        print(f"{name}: {time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)
    return result


def table(result: dict[str, Any]) -> str:
    """The ten tests: what was to be, what came out, whether it holds."""
    return cooling_figures.page(result)


def figures(result: dict[str, Any]) -> dict[str, Figure]:
    """The plots by the stems of their files."""
    return cooling_figures.plots(result)


def energy(days: int = 365) -> dict[str, float]:
    """Test 1: a year of B2 in one episode; heat in, heat out and heat stored are counted from outside each step."""
    world = DataCenterCooling(controller="b2", days=days, week=0)
    state = world.start(np.random.default_rng(0))[None]
    row, action = state[0], np.zeros((1, 4))
    reward, ended, metrics = np.zeros(1), np.zeros(1, np.bool_), np.zeros((1, len(layout.READING_NAMES)))
    heat_in = [layout.IT, layout.SERVER_FAN, layout.CRAH, layout.CHILLER, layout.CHILLED_PUMP, layout.CONDENSER_PUMP]
    residuals, reported, it_watts = np.zeros((3, world.episode_steps))
    for k in range(world.episode_steps):
        before = plant.stored_joules(row, 1)
        world.step(state, action, reward, ended, metrics)
        stored = (plant.stored_joules(row, 1) - before) / layout.STEP_SECONDS
        residuals[k] = 1000.0 * (row[heat_in].sum() - row[layout.TOWER_HEAT]) - stored
        reported[k], it_watts[k] = row[layout.RESIDUAL], 1000.0 * row[layout.IT]
    return {
        "steps": len(residuals),
        "step": float(np.max(np.abs(residuals) / it_watts)),
        "reported": float(np.max(np.abs(reported) / it_watts)),
        "year": float(abs(residuals.sum()) / it_watts.sum()),
    }


def cop(leaving: float, entering: float, share: float = 1.0) -> float:
    """Of the chiller at a share of the heat that it could take."""
    heat = share * physics.chiller_capacity_watts(leaving, entering)
    return heat / physics.chiller_power_watts(heat, leaving, entering)


def chiller() -> dict[str, Any]:
    """Test 2: COP at published points, differences from the published curves, order and range, and lines to draw."""
    leaving, entering = np.arange(7.0, 20.01, 0.25), np.arange(5.0, 40.01, 0.25)
    box = np.array([[cop(te, tc) for tc in entering] for te in leaving])
    envelope = list(
        itertools.product(
            np.linspace(*physics.CHILLER_LEAVING_RANGE_CELSIUS, 15),
            np.linspace(*physics.CHILLER_ENTERING_RANGE_CELSIUS, 15),
            np.linspace(physics.CHILLER_LEAST_PART_LOAD, 1.0, 17),
        )
    )
    part = [cop(*point) for point in envelope]
    full = [cop(te, tc) for te, tc, share in envelope if share == 1.0]
    capacity_apart, apart = 0.0, 0.0
    for te, tc, share in envelope:
        capacity, published = physics.chiller_capacity_watts(te, tc), published_capacity_watts(te, tc)
        capacity_apart = max(capacity_apart, abs(capacity / published - 1.0))
        heat = min(share * published, capacity)
        watts = physics.chiller_power_watts(heat, te, tc)
        apart = max(apart, abs(watts / published_chiller_watts(heat, te, tc) - 1.0))
    at_reference = published_chiller_watts(physics.chiller_capacity_watts(10.0, 26.67), 10.0, 26.67)
    ours = physics.chiller_power_watts(physics.chiller_capacity_watts(10.0, 26.67), 10.0, 26.67)
    shown = (7.0, 10.0, 13.0, 16.0, 20.0)
    return {
        "cop_reference": cop(10.0, 26.67),
        "cop_part": cop(10.0, 26.67, 0.6),
        "cop_cold": cop(10.0, 14.0),
        "reference_apart": abs(ours / at_reference - 1.0),
        "capacity_apart": float(capacity_apart),
        "envelope_apart": float(apart),
        "steepest_fall": float(np.diff(box, axis=1).max()),
        "least_rise": float(np.diff(box, axis=0).min()),
        "full_least": float(min(full)),
        "full_most": float(max(full)),
        "part_least": float(min(part)),
        "part_most": float(max(part)),
        "entering": entering.tolist(),
        "curves": [{"leaving": te, "cop": [cop(te, tc) for tc in entering]} for te in shown],
    }


def approach(wet_bulb_celsius: float, range_kelvin: float, speed: float = 1.0) -> float:
    """Of the tower at rest: leaving water above the wet bulb, K, where the water cools by `range_kelvin`."""
    capacity = physics.CONDENSER_KILOGRAMS_PER_SECOND * physics.WATER_HEAT_CAPACITY
    heat, leaving, per_kelvin = capacity * range_kelvin, wet_bulb_celsius + 3.0, 1.0
    for _ in range(60):
        per_kelvin, air = physics.tower_capacities(speed, wet_bulb_celsius, leaving, SEA_LEVEL_PASCALS, capacity, 1.0)
        leaving = 0.5 * (leaving + wet_bulb_celsius + heat / air)
    return heat / per_kelvin - range_kelvin


def tower() -> dict[str, Any]:
    """Test 3: approach at the rating point and in the cold, beside YorkCalc."""
    wet_bulbs = np.arange(-20.0, 26.01, 1.0).tolist()
    points = itertools.product(np.linspace(-20.0, 30.0, 26), (0.5, 2.0, 5.0, 8.0), (0.1, 0.3, 0.6, 1.0))
    cold = [approach(wet_bulb, 3.5) for wet_bulb in wet_bulbs]
    return {
        "rated": approach(25.6, 5.56),
        "rated_york": york(25.6, 5.56),
        "cold": approach(0.0, 3.5),
        "cold_york": york(0.0, 3.5),
        "least": min(approach(*point) for point in points),
        "steepest": float(np.diff(cold).max()),
        "wet_bulbs": wet_bulbs,
        "curves": [
            {
                "range": kelvin,
                "here": [approach(one, kelvin) for one in wet_bulbs],
                "york": [york(one, kelvin) for one in wet_bulbs],
            }
            for kelvin in (3.5, 5.56)
        ],
    }


def servers(utilisation: float, inlet_celsius: float) -> tuple[float, float, float]:
    """Power of a hall's servers and of their fans, W, and their flow, m3/s, where all inlets are as warm."""
    row, first = np.zeros(layout.PLANT + layout.HALL), int(layout.hall_offset(0))
    row[first + layout.LOAD] = utilisation
    row[first + layout.INLET : first + layout.INLET + layout.GROUPS] = inlet_celsius
    return hall.servers(row, first)


def server(loads: tuple[float, ...] = (0.3, 0.5, 0.7)) -> dict[str, Any]:
    """Test 4: how the power of all servers, fans included, rises with the inlet, and the law of their fans."""

    def rise(utilisation: float, low: float, high: float) -> float:
        return 100.0 * (sum(servers(utilisation, high)[:2]) / sum(servers(utilisation, low)[:2]) - 1.0)

    slow, fast = servers(0.0, 23.0), servers(0.0, 30.0)  # at rest all groups turn alike
    inlets = np.arange(18.0, 40.01, 0.5)
    return {
        "percent_per_kelvin": [rise(load, 23.0, 30.0) / 7.0 for load in loads],
        "fan_exponent": math.log(fast[1] / slow[1]) / math.log(fast[2] / slow[2]),
        "above_27": [rise(0.5, 27.0, one) for one in (29.0, 31.0, 33.0, 35.0, 37.0)],
        "inlets": inlets.tolist(),
        "curves": [{"load": load, "percent": [rise(load, 27.0, one) for one in inlets]} for load in loads],
    }


def climates(sites: list[str]) -> dict[str, Any]:
    """Test 7: a year of weeks of each site under B2, and under B0 beside."""
    result = {}
    hours = slice(int(layout.hourly_offset(layout.WET_BULB_TRACE, 1, 7)), None)
    for site in sites:
        start = tuning.year({"weather": site})
        wet_bulbs = start[:, hours][:, : 24 * 7]
        result[site] = {
            "wet_bulb": float(wet_bulbs.mean()),
            "hours_below_12": float((wet_bulbs < 12.0).sum()),
            **{name: year_of(site, name, start.copy()) for name in ("b2", "b0")},
        }
    return result


def year_of(site: str, controller: str, state: Array) -> dict[str, float]:
    """What a controller uses in the weeks that begin in the states, which are changed."""
    world = DataCenterCooling(weather=site, controller=controller)
    sums = np.zeros((len(state), len(layout.READING_NAMES)))
    tables = (world.settings, world.reference, world.table)
    tuning.operate_batch(state, world.episode_steps, world.halls, world.days, *tables, sums)
    used = tuning.Operation.from_sums(sums)
    free = sums[:, layout.ECONOMISER_SHARE - layout.READINGS].sum() / layout.STEPS_PER_HOUR
    return {
        "pue": float(used.total_kwh.sum() / used.it_kwh.sum()),
        "wue": float(used.water_litres.sum() / used.it_kwh.sum()),
        "economiser_hours": float(free),
        "violation_minutes": float(used.violation_minutes.sum()),
    }


def dimensions() -> dict[str, list[float]]:
    """Test 8, first part: what each action does within an hour to the power, kW, and to the temperature that it moves
    most, K, in a plant of three halls in summer."""
    world = DataCenterCooling(halls=3, week=28, days=7)
    size = 2 * world.halls + 2
    state = np.repeat(world.start(np.random.default_rng(0))[None], size + 1, axis=0)
    actions = np.zeros((size + 1, size))
    actions[1:] += 0.2 * np.eye(size)
    reward, ended = np.zeros(size + 1), np.zeros(size + 1, np.bool_)
    metrics = np.zeros((size + 1, len(layout.READING_NAMES)))
    for _ in range(layout.STEPS_PER_HOUR):
        world.step(state, actions, reward, ended, metrics)
    places = list(range(layout.CHILLED_SUPPLY, layout.CONDENSER_RETURN + 1))
    for index in range(world.halls):
        first = int(layout.hall_offset(index))
        places += [first + layout.HOT, *range(first + layout.INLET, first + layout.INLET + layout.GROUPS)]
    moved = np.abs(state[1:, places] - state[0, places]).max(axis=1)
    power = np.abs(state[1:, layout.TOTAL] - state[0, layout.TOTAL])
    return {"kilowatts": power.tolist(), "kelvin": moved.tolist()}


def corners(site: str, weeks: range = CORNER_WEEKS) -> dict[str, Any]:
    """Test 8, second part: every fourth week of a year under the bound's table, and under each of the 16 policies that
    hold every set point at its least or most."""
    options = {"weather": site}
    states = tuning.year(options, weeks)
    best, _ = bound.optimal_table(float(states[0, layout.PRESSURE]))
    margins = np.arange(0.0, 0.41, 0.02)  # the least energy of those with the fewest minutes above the limit
    minutes, total, margin = min(
        (*_minutes_and_energy(bound.replay(options, states, bound.with_air_margin(best, margin))), float(margin))
        for margin in margins
    )
    rows = []
    for corner in itertools.product(*zip(*ranges(1), strict=True)):
        tried = bound.replay(options, states, np.broadcast_to(np.array(corner), best.shape))
        hot, used = _minutes_and_energy(tried)
        rows.append({"set_points": list(map(float, corner)), "percent": 100.0 * (used / total - 1.0), "minutes": hot})
    return {"total_kwh": total, "violation_minutes": minutes, "air_margin": margin, "corners": rows}


def _minutes_and_energy(used: tuning.Operation) -> tuple[float, float]:
    return float(used.violation_minutes.sum()), float(used.total_kwh.sum())


def probes() -> list[float]:
    """Numbers that tell whether the physics is still that of which EnergyPlus was asked."""
    chilled = [physics.chiller_power_watts(*one) for one in ((5e5, 10.0, 20.0), (9e5, 12.5, 14.0), (1.5e5, 8.0, 25.0))]
    rejected = [approach(wet_bulb, 4.0, speed) for wet_bulb, speed in ((0.0, 0.5), (25.0, 1.0))]
    row, first = np.zeros(layout.state_size(1, 1)), int(layout.hall_offset(0))
    begin_plant(row, 1, 1)
    row[first + layout.LOAD] = 0.5
    return [*chilled, *rejected, hall.advance_hall(row, first, 1.2, 1.0, 1.0, 1.0, 0.0, 60.0)[0]]


def energyplus() -> dict[str, Any]:
    """Test 9: recorded from a run of the test that asks EnergyPlus, and whether the physics is still the same."""
    now, then = probes(), RECORDED["probes"]
    same = len(now) == len(then) and np.allclose(now, then, rtol=1e-9, atol=0.0)
    return {**RECORDED, "unchanged": int(same), "probes": now}


def same_as_single(worlds: int = 4, steps: int = 600) -> dict[str, int]:
    """Test 10, first part: numbers that differ between a batch and single environments, over the ends of episodes."""
    register_all()
    envs = make_vec(WORLD, worlds, env_options={"days": 1})
    singles = [gymnasium.make(WORLD, days=1) for _ in range(worlds)]
    episodes, different, generator = [0] * worlds, 0, np.random.default_rng(0)
    observation = np.asarray(envs.reset(0))
    for i, env in enumerate(singles):
        different += int((env.reset(seed=derive_seed(0, i, 0))[0] != observation[i]).sum())
    for _ in range(steps):
        action = generator.uniform(-1.0, 1.0, (worlds, 4)).astype(np.float32)
        batch = envs.step(action)
        for i, env in enumerate(singles):
            seen, reward, terminated, truncated, _ = env.step(action[i])
            different += int(reward != batch.reward[i]) + int(terminated != batch.terminated[i])
            different += int(truncated != batch.truncated[i])
            if truncated:
                episodes[i] += 1
                different += int((seen != np.asarray(batch.final_observation)[i]).sum())
                seen, _ = env.reset(seed=derive_seed(0, i, episodes[i]))
            different += int((seen != np.asarray(batch.observation)[i]).sum())
    return {"compared_steps": steps * worlds, "different_numbers": different, "episodes_ended": sum(episodes)}


def halving() -> dict[str, float]:
    """Test 10, second part: half an hour after all set points were moved, by sub-steps of 60, 30, 15 s and less."""
    state = tuning.steady_state(np.array([0.6]), np.array([24.0]))
    world = DataCenterCooling(controller="b2", days=1)
    tuning.operate(world, state, 48)
    state[:, layout.STEP] = 0.0
    first = int(layout.hall_offset(0))
    places = [*range(layout.CHILLED_SUPPLY, layout.CONDENSER_RETURN + 1), first + layout.HOT, first + layout.MASS]
    places += [first + layout.COLD, *range(first + layout.INLET, first + layout.INLET + layout.GROUPS)]
    ends = []
    for substeps in (5, 10, 20, 40, 320):
        row = state[0].copy()
        for _ in range(6):
            step.move_set_points(row, np.array([24.0, 0.8, 10.0, 0.9]), 1, 1.0)
            step.advance(row, 1, world.days, substeps, world.reference)
        ends.append(row[places])
    errors = [float(np.sqrt(np.mean((end - ends[-1]) ** 2))) for end in ends[:-1]]
    return {
        "error_60_s": errors[0],
        "error_30_s": errors[1],
        "error_15_s": errors[2],
        "halving_ratio": errors[0] / errors[1],
    }


def at_random(steps: int) -> dict[str, float]:
    """Test 10, third part: random actions in random weather with random faults; `Vector` itself stops at a NaN."""
    envs = make_vec(WORLD, BATCH, env_options={"weather": "any", "fault": "any"})
    generator, worst, bad, hottest = np.random.default_rng(0), 0.0, 0, 0.0
    envs.reset(0)
    rounds = -(-steps // BATCH)
    for _ in range(rounds):
        taken = envs.step(generator.uniform(-1.0, 1.0, (BATCH, 4)).astype(np.float32))
        numbers = np.stack([*taken.metrics.values(), taken.reward])
        bad += int((~np.isfinite(numbers)).sum() + (~np.isfinite(np.asarray(taken.observation))).sum())
        residual = np.abs(taken.metrics["energy_residual_watts"]) / (1000.0 * taken.metrics["it_kw"])
        worst, hottest = (
            max(worst, float(residual.max())),
            max(hottest, float(taken.metrics["inlet_max_celsius"].max())),
        )
    return {"random_steps": rounds * BATCH, "not_finite": bad, "random_residual": worst, "random_hottest": hottest}
