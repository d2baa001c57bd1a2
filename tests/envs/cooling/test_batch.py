"""Rewards and costs by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from keel.envs.cooling import layout
from keel.envs.cooling.env import DataCenterCooling
from keel.envs.protocol import Array

from .plants import HALL, INLETS, constant, run, seconds


def worth(objective: str, used: dict[str, float], baseline: float, hours: float = 1 / 12) -> float:
    """kW that an objective counts for a step; money and carbon beside the ordinary price and grid."""
    share = (used["total_kw"] - baseline) / used["total_kw"]
    if objective == "cost":
        return share * used["price_usd"] / hours / 0.12
    if objective == "carbon":
        return share * used["co2_kg"] / hours / 0.380
    litres = used["water_litres"] / hours - 1.6 * baseline
    return used["total_kw"] - baseline + (0.05 * litres if objective == "water" else 0.0)


@pytest.mark.parametrize("kind", ["relative", "raw"])
@pytest.mark.parametrize("halls", [1, 2])
@pytest.mark.parametrize("objective", ["energy", "cost", "carbon", "water"])
def test_the_reward_by_hand(objective: str, halls: int, kind: str) -> None:
    """A day of random set points with a price and a grid that change by the hour."""
    weights = {"excess_weight": 2.5, "soft_limit": 26.0, "move_weight": 0.7}
    options: dict[str, Any] = {"price": "time-of-use", "carbon": "solar", "halls": halls, "days": 1, **weights}
    world = DataCenterCooling(objective=objective, reward=kind, week=20, **options)
    state, generator = world.start(np.random.default_rng(0))[None], np.random.default_rng(1)
    reward, ended, metrics = np.empty(1), np.empty(1, np.bool_), np.empty((1, len(layout.READING_NAMES)))
    least, most = [16.0, 0.3] * halls + [7.0, 0.1], [27.0, 1.0] * halls + [20.0, 1.0]
    warm = 0
    for _ in range(world.episode_steps):
        before = set_points(state[0], halls)
        world.step_to(state, generator.uniform(least, most)[None], reward, ended, metrics)
        used = dict(zip(layout.READING_NAMES, metrics[0].tolist(), strict=True))
        moves = np.abs(set_points(state[0], halls) - before) / (np.array(most) - least)
        excess = np.maximum(all_inlets(state[0], halls) - 26.0, 0.0).sum() / halls
        warm += excess > 0.0
        value = worth(objective, used, used["baseline_kw"] if kind == "relative" else 0.0)
        expected = -value / (10.0 * halls) - 2.5 * excess - 0.7 * moves.mean()
        assert reward[0] == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert warm > 5, "some steps were warm"


def set_points(row: Array, halls: int) -> Array:
    places = [layout.hall_offset(h) + part for h in range(halls) for part in (layout.SUPPLY_SET, layout.CRAH_SET)]
    return row[[*places, layout.CHILLED_SET, layout.TOWER_SET]].copy()


def all_inlets(row: Array, halls: int) -> Array:
    return np.concatenate([row[layout.hall_offset(h) + layout.INLET :][:4] for h in range(halls)])


def test_money_carbon_and_ratios_by_hand() -> None:
    world = DataCenterCooling(days=1)
    state = constant(0.6, 22.0)[None]
    used = {name: values[0, 0] for name, values in run(world, state, np.array([20.0, 0.8, 12.0, 0.8]), 1).items()}
    cooling = sum(used[f"{part}_kw"] for part in ("crah", "chiller", "tower", "chilled_pump", "condenser_pump"))
    servers = used["it_kw"] + used["server_fan_kw"]
    ups = 0.012 * 1000.0 + 0.025 * servers
    total = servers + cooling + ups + 10.0
    removed = state[0, layout.CHILLER_HEAT] + state[0, layout.ECONOMISER_HEAT]
    expected = {
        "cooling_kw": cooling,
        "ups_kw": ups,
        "lights_kw": 10.0,
        "total_kw": total,
        "pue": total / servers,
        "wue": used["water_litres"] * 12.0 / servers,
        "cue": 0.38 * total / servers,
        "price_usd": total / 12.0 * 0.12,
        "co2_kg": total / 12.0 * 0.38,
        "cop": removed / cooling,
        "economiser_share": state[0, layout.ECONOMISER_HEAT] / removed,
        "chiller_part_load": state[0, layout.CHILLER_HEAT] / 1143.0,
    }
    for name, value in expected.items():
        assert used[name] == pytest.approx(value, rel=1e-9), name
    assert used["it_kw"] == pytest.approx(1000.0 * 0.76 * (1.0 + 0.001 * (state[0, INLETS].mean() - 22.0)), rel=0.01)


def at_28(supply: float, crah: float = 0.9) -> Array:
    """A hall of 28 degC in the cold aisle, which gets air of this temperature."""
    state = constant(0.3, 10.0)
    state[[HALL + layout.COLD, HALL + layout.COLD_MASS, HALL + layout.SUPPLY]] = 28.0
    state[[HALL + layout.HOT, HALL + layout.MASS]] = 40.0
    state[[HALL + layout.SUPPLY_SET, HALL + layout.CRAH_SET]] = supply, crah
    state[[layout.CHILLED_SUPPLY, layout.CHILLED_RETURN]] = (24.0, 36.0)
    state[HALL + layout.VALVE] = 0.5
    return state


@pytest.mark.parametrize("valve", [0.1, 0.45, 0.6, 0.7, 0.9])
def test_minutes_of_violation_by_hand(valve: float) -> None:
    """Minute by minute, at the end of each, by a second run of the plant; allowable is up to 32 degC."""
    for hotter in (0.0, 4.0):
        state = at_28(20.0)
        state[HALL + layout.VALVE] = valve
        state[[HALL + layout.COLD, HALL + layout.COLD_MASS, layout.CHILLED_SUPPLY]] += hotter
        minutes = seconds(state.copy(), 5, dt=60.0)
        used = run(DataCenterCooling(days=1), state[None], np.array([20.0, 0.9, *water(state)]), 1)
        assert used["violation_minutes"][0, 0] == (minutes > 27.0).sum()
        assert used["allowable_violation_minutes"][0, 0] == (minutes > 32.0).sum()
        assert used["inlet_max_celsius"][0, 0] == minutes.max()


def water(state: Array) -> tuple[float, float]:
    return float(state[layout.CHILLED_SET]), float(state[layout.TOWER_SET])


def test_a_hall_at_28_degrees_violates_in_every_minute_and_costs_its_kelvins() -> None:
    state = constant(0.5, 22.0)[None]
    world = DataCenterCooling(days=1)
    used = run(world, state, np.array([27.0, 0.6, 18.0, 0.8]), 200)
    inlets = state[0, INLETS]
    assert inlets.max() == pytest.approx(28.0, abs=0.5)
    assert used["violation_minutes"][-1, 0] == 5.0
    assert used["allowable_violation_minutes"][-1, 0] == 0.0
    assert used["cost"][-1, 0] == pytest.approx(np.maximum(inlets - 27.0, 0.0).sum(), rel=1e-12)
    assert used["rate_violation"][-1, 0] == 0.0


def test_a_change_of_more_than_20_kelvin_an_hour_costs_what_is_beyond() -> None:
    """From the hall's own history of twelve steps."""
    state = constant(0.5, 15.0)[None]
    world, calm = DataCenterCooling(days=1), np.array([20.0, 0.8, 14.0, 0.7])
    run(world, state, calm, 30)
    hottest = state[0, INLETS].max()
    state[0, HALL + layout.HISTORY + 33 % 12] = hottest - 23.0  # three steps from now it is forgotten
    used = run(world, state, calm, 6)
    assert used["rate_violation"][:, 0].tolist() == [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    np.testing.assert_allclose(used["cost"][:3, 0], 3.0, atol=0.1)
    assert used["cost"][3:].max() == 0.0


def test_an_inlet_as_hot_as_the_last_ends_the_episode() -> None:
    world = DataCenterCooling(days=1, last_celsius=45.0)
    state = constant(0.9, 22.0)[None]
    reward, ended, metrics = np.empty(1), np.empty(1, np.bool_), np.empty((1, len(layout.READING_NAMES)))
    hottest = []
    for _ in range(60):
        world.step_to(state, np.array([[27.0, 0.3, 20.0, 0.1]]), reward, ended, metrics)
        hottest.append(metrics[0, layout.INLET_MAX - layout.READINGS])
        assert ended[0] == (hottest[-1] > 45.0)
    assert hottest[0] < 45.0 < hottest[-1]
