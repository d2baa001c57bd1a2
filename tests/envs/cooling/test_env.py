"""The family of worlds: options, spaces, chance, and the same course alone and in a batch."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from keel.envs.cooling import faults, layout
from keel.envs.cooling.env import DataCenterCooling
from keel.envs.local import LocalBackend
from keel.envs.make import metric_names
from keel.envs.protocol import Array, Step
from keel.envs.registry import BY_ID
from keel.envs.vector import Vector, make_vec

from .plants import INLETS, constant_load_file, run

IDS = tuple(env_id for env_id in BY_ID if "DataCenterCooling" in env_id)
DAY = {"days": 1}
WATER = [layout.CHILLED_SUPPLY, layout.CONDENSER_SUPPLY]

# What is wrong, and what the message has to say: the field, the value, and what would be right.
BAD = [
    ({"weather": "tampaa"}, ("weather", "'tampaa'", "stockholm", "did you mean 'tampa'?")),
    ({"weather": 3}, ("weather is 3", "a name or the path of a file")),
    ({"weather": "nowhere.epw"}, ("nowhere.epw", "path of an existing text file")),
    ({"workload": "syntetic"}, ("workload", "'syntetic'", "did you mean 'synthetic'?")),
    ({"price": "time-of-us"}, ("price", "'time-of-us'", "did you mean 'time-of-use'?")),
    ({"carbon": "solr"}, ("carbon", "'solr'", "did you mean 'solar'?")),
    ({"days": 0}, ("days is 0", "from 1 to 366")),
    ({"days": 7.0}, ("days is 7.0", "whole number from 1 to 366")),
    ({"days": True}, ("days is True", "whole number")),
    ({"days": 367}, ("days is 367", "1 to 366")),
    ({"week": 52}, ("week is 52", "0 to 51")),
    ({"week": -1}, ("week is -1", "0 to 51")),
    ({"halls": 9}, ("halls is 9", "1 to 8")),
    ({"halls": "3"}, ("halls is '3'", "whole number from 1 to 8")),
    ({"actions": 27}, ("actions is 27", "box, 9, 81, multi")),
    ({"actions": "81"}, ("actions is '81'", "box, 9, 81, multi")),
    ({"actions": True}, ("actions is True", "box")),
    ({"actions": 81, "halls": 2}, ("actions is 81", "halls is 2", "use 'box'")),
    ({"sensors": "perfec"}, ("sensors", "'perfec'", "did you mean 'perfect'?")),
    ({"objective": "cst"}, ("objective", "'cst'", "energy, cost, carbon, water", "did you mean 'cost'?")),
    ({"reward": "rew"}, ("reward", "'rew'", "relative, raw")),
    ({"excess_weight": -1.0}, ("excess_weight is -1.0", "from 0 to 1000")),
    ({"soft_limit": 90}, ("soft_limit is 90", "from 18 to 45")),
    ({"move_weight": "0.2"}, ("move_weight is '0.2'", "from 0 to 1000")),
    ({"fault": "chiler"}, ("fault", "'chiler'", "did you mean 'chiller'?", "any")),
    ({"fault": None}, ("fault is None", "none, crah")),
    ({"shield": 1}, ("shield is 1", "true or false")),
    ({"shield_margin": -0.1}, ("shield_margin is -0.1", "from 0 to 5")),
    ({"shield_margin": float("nan")}, ("shield_margin is nan", "from 0 to 5")),
    ({"controller": "b4"}, ("controller", "'b4'", "b0, b1, b2, b3")),
    ({"supply_most": 22.0}, ("supply_most", "22.0", "for controller b3")),
    ({"controller": "b2", "lift_most": 14.0}, ("lift_most", "14.0", "for controller b3")),
    ({"last_celsius": 20}, ("last_celsius is 20", "from 27 to 100")),
    ({"last_celsius": "hot"}, ("last_celsius is 'hot'", "from 27 to 100")),
]
TUNED = {"controller": "b3", "supply_most": 22.0, "chilled_most": 18.0, "lift_most": 14.0, "air_margin": 0.1}
BAD_LIMITS = [
    ({"supply_most": 28.0}, ("supply_most is 28.0", "from 18 to 27")),
    ({"chilled_most": 25}, ("chilled_most is 25", "from 7 to 20")),
    ({"lift_most": 11.0}, ("lift_most is 11.0", "from 12 to 30")),
    ({"air_margin": 1.5}, ("air_margin is 1.5", "from 0 to 1")),
]


@pytest.mark.parametrize(("options", "words"), [*BAD, *((TUNED | bad, words) for bad, words in BAD_LIMITS)])
def test_bad_options_are_refused_clearly(options: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=re.escape(words[0])) as error:
        DataCenterCooling(**options)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("make", [make_vec, gymnasium.make])
def test_bad_options_are_refused_wherever_a_world_is_made(make: Any) -> None:
    given: dict[str, Any] = {"env_options": {"halls": 9}} if make is make_vec else {"halls": 9}
    with pytest.raises(ValueError, match="halls is 9, it must be a whole number from 1 to 8"):
        make(IDS[0], **given)


def test_there_are_five_worlds_with_these_spaces() -> None:
    spaces = {env_id: (make_vec(env_id).observation_space.shape, make_vec(env_id).action_space) for env_id in IDS}
    box = gymnasium.spaces.Box(-1.0, 1.0, (4,), np.float32)
    assert spaces == {
        "keel/DataCenterCooling-v0": ((41,), box),
        "keel/DataCenterCoolingDiscrete-v0": ((41,), gymnasium.spaces.Discrete(81)),
        "keel/DataCenterCoolingPO-v0": ((41,), box),
        "keel/DataCenterCoolingMultiHall-v0": ((67,), gymnasium.spaces.Box(-1.0, 1.0, (8,), np.float32)),
        "keel/DataCenterCoolingFaults-v0": ((41,), box),
    }


def random_actions(vector: Any, steps: int, seed: int) -> list[Array]:
    vector.action_space.seed(seed)
    return [np.stack([vector.action_space.sample() for _ in range(vector.num_envs)]) for _ in range(steps)]


def as_bytes(step: Step) -> list[bytes]:
    arrays = [step.observation, step.reward, step.terminated, step.truncated, *step.metrics.values()]
    return [np.asarray(array).tobytes() for array in arrays]


@pytest.mark.parametrize("env_id", IDS)
def test_the_batch_is_bit_for_bit_the_single_environments(env_id: str) -> None:
    """Over the end of a day's episode and into the next."""
    batch = make_vec(env_id, 3, env_options=DAY)
    singles: list[Any] = [gymnasium.make(env_id, **DAY) for _ in range(3)]
    local = Vector(env_id, LocalBackend(singles, metric_names(singles[0])))
    assert np.asarray(batch.reset(4)).tobytes() == np.asarray(local.reset(4)).tobytes()
    for k, action in enumerate(random_actions(batch, 320, seed=0)):
        one, other = batch.step(action), local.step(action)
        assert set(one.metrics) == set(other.metrics) == set(layout.READING_NAMES)
        assert as_bytes(one) == as_bytes(other)
        assert one.truncated.tolist() == [k == 287] * 3
        if k == 287:
            assert np.asarray(one.final_observation).tobytes() == np.asarray(other.final_observation).tobytes()


@pytest.mark.parametrize("env_id", IDS)
def test_a_saved_batch_goes_on_bit_for_bit(env_id: str) -> None:
    original, restored = make_vec(env_id, 2, env_options=DAY), make_vec(env_id, 2, env_options=DAY)
    current = original.reset(5)
    actions = random_actions(original, 400, seed=1)
    for action in actions[:150]:
        current = original.step(action).observation
    assert np.asarray(restored.load_state_dict(original.state_dict())).tobytes() == np.asarray(current).tobytes()
    for action in actions[150:]:  # over the end of the episode
        assert as_bytes(original.step(action)) == as_bytes(restored.step(action))


def test_same_seed_same_episode_and_another_seed_another() -> None:
    world = DataCenterCooling(fault="any", weather="any", days=1)
    first, second, third = (world.start(np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert first.tobytes() == second.tobytes()
    assert (first[-288:] != third[-288:]).mean() > 0.9


def test_an_episode_of_the_batch_belongs_to_its_seed_and_place_alone() -> None:
    few, many = make_vec(IDS[0], 2, env_options=DAY), make_vec(IDS[0], 5, env_options=DAY)
    np.testing.assert_array_equal(few.reset(3), np.asarray(many.reset(3))[:2])


@pytest.mark.parametrize("days", [1, 2])
def test_an_episode_ends_after_its_days(days: int) -> None:
    env: Any = gymnasium.make(IDS[0], days=days)
    env.reset(seed=0)
    for k in range(288 * days):
        _, _, terminated, truncated, _ = env.step(np.zeros(4, np.float32))
        assert (terminated, truncated) == (False, k == 288 * days - 1)
    vector = make_vec(IDS[0], 2, env_options={"days": days})
    vector.reset(0)
    ends = [vector.step(np.zeros((2, 4), np.float32)).truncated.tolist() for _ in range(288 * days + 1)]
    assert ends == [[k == 288 * days - 1] * 2 for k in range(288 * days + 1)]


def test_measures_are_in_info_twice() -> None:
    env: Any = gymnasium.make(IDS[0], days=1)
    _, first = env.reset(seed=0)
    _, _, _, _, info = env.step(np.zeros(4, np.float32))
    for measures in (first, info):
        assert set(measures) == {*layout.READING_NAMES, "metrics"}
        assert measures["metrics"] == {name: measures[name] for name in layout.READING_NAMES}
        assert all(type(value) is float for value in measures["metrics"].values())
    for name in ("cost", "violation_minutes", "pue", "wue", "cue", "baseline_kw", "energy_residual_watts", "cop"):
        assert name in info
    assert info["pue"] > 1.0


def test_a_reset_can_ask_for_a_fault() -> None:
    env: Any = gymnasium.make(IDS[0], days=1)
    for name in ("crah", "chiller", "none"):
        env.reset(seed=0, options={"fault": name})
        seen = {env.step(np.zeros(4, np.float32))[4]["fault"] for _ in range(288)}
        assert seen == {0.0, float(faults.NUMBERS[name])}
    with pytest.raises(ValueError, match=r"fault is 'chiler'; did you mean 'chiller'\?"):
        env.reset(options={"fault": "chiler"})
    with pytest.raises(ValueError, match=r"reset takes no option .flood.*it takes: fault"):
        env.reset(options={"flood": True})


@pytest.mark.parametrize("site", ["stockholm", "ashburn", "tampa"])
def test_an_episode_starts_at_rest(site: str, tmp_path: Path) -> None:
    """With the controller that ran before, and a load that stays: an hour changes next to nothing."""
    halls_own = [layout.PLANT + part for part in (layout.COLD, layout.HOT, layout.MASS, layout.COLD_MASS)]
    options: dict[str, Any] = {"weather": site, "workload": constant_load_file(tmp_path), "controller": "b2", "days": 1}
    for week in (2, 28):
        world = DataCenterCooling(week=week, **options)
        state = world.start(np.random.default_rng(week))[None]
        before = state[0].copy()
        used = run(world, state, np.zeros(4), 12)
        assert np.abs(state[0, halls_own] - before[halls_own]).max() < 0.1
        assert np.abs(used["inlet_max_celsius"] - before[INLETS].max()).max() < 0.1
        assert np.abs(state[0, WATER] - before[WATER]).max() < 0.5
        assert np.ptp(used["total_kw"]) < 0.01 * used["total_kw"].mean()


def test_weeks_cover_the_year() -> None:
    starts = [DataCenterCooling(week=week).start(np.random.default_rng(0))[layout.FIRST_HOUR] for week in range(52)]
    assert starts == [168.0 * week for week in range(52)]
    world = DataCenterCooling(days=1)
    drawn = np.array([world.start(np.random.default_rng(seed))[layout.FIRST_HOUR] for seed in range(600)])
    assert (drawn % 24 == 0).all()
    assert np.histogram(drawn, bins=12, range=(0, 8760))[0].min() > 25, "every month"
    assert drawn.max() <= 8736


def test_a_week_has_its_season() -> None:
    def mean_dry_bulb(week: int) -> float:
        row = DataCenterCooling(weather="chicago", week=week).start(np.random.default_rng(0))
        at = int(layout.hourly_offset(layout.DRY_BULB_TRACE, 1, 7))
        return float(row[at : at + 168].mean())

    assert mean_dry_bulb(28) > mean_dry_bulb(3) + 15.0


def test_halls_have_loads_of_their_own() -> None:
    world = DataCenterCooling(halls=3, days=1)
    state = world.start(np.random.default_rng(0))[None]
    loads = [state[0, int(layout.load_offset(hall, 3, 1)) :][:289] for hall in range(3)]
    for one, other in [(0, 1), (0, 2), (1, 2)]:
        assert np.abs(loads[one] - loads[other]).mean() > 0.01
    run(world, state, np.array([20.0, 0.8] * 3 + [14.0, 0.7]), 1)
    powers = [state[0, layout.hall_offset(hall) + layout.HALL_IT] for hall in range(3)]
    assert len({round(power) for power in powers}) == 3


def test_the_traces_are_what_a_step_sees() -> None:
    """Weather between the hours, load of the step that is over, price by the hour."""
    world = DataCenterCooling(days=1, price="time-of-use", week=10)
    row = world.start(np.random.default_rng(0))
    hours = layout.hourly_count(1)
    wet_bulbs = row[int(layout.hourly_offset(layout.WET_BULB_TRACE, 1, 1)) :][:hours].copy()
    loads = row[int(layout.load_offset(0, 1, 1)) :].copy()
    prices = [0.25] * 6 + [0.41] * 5 + [0.30] * 5 + [0.27] * 6 + [0.25] * 2  # of a Monday
    state = row[None]
    for k in range(287):
        run(world, state, np.array([20.0, 0.8, 14.0, 0.7]), 1)
        expected = np.interp((k + 1) / 12, np.arange(hours), wet_bulbs)
        assert state[0, layout.WET_BULB] == pytest.approx(expected, abs=1e-9)
        assert state[0, layout.PLANT + layout.LOAD] == loads[k], "nobody sees a load before it has happened"
        assert state[0, layout.PRICE] == prices[(k + 1) // 12]


@pytest.mark.parametrize("env_id", IDS)
def test_a_controller_decides_instead_of_the_agent(env_id: str) -> None:
    options = DAY | {"controller": "b2"}
    one, other = make_vec(env_id, 1, env_options=options), make_vec(env_id, 1, env_options=options)
    one.reset(0)
    other.reset(0)
    for left, right in zip(random_actions(one, 20, 0), random_actions(other, 20, 1), strict=True):
        assert as_bytes(one.step(left)) == as_bytes(other.step(right))


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"shield": True}, {"halls": 2, "sensors": "real"}])
def test_a_million_random_steps(options: dict[str, Any]) -> None:
    """Nothing that is no number, and heat closes: any weather, any fault, 500 worlds for a week."""
    vector = make_vec(IDS[0], 500, env_options={"weather": "any", "fault": "any", **options})
    vector.reset(0)
    generator = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2016):
            action = generator.uniform(-1.0, 1.0, (500, *np.shape(vector.action_space.sample()))).astype(np.float32)
            step = vector.step(action)  # refuses rewards and observations that are no numbers
            assert all(np.isfinite(values).all() for values in step.metrics.values())
            residual = np.abs(step.metrics["energy_residual_watts"])
            assert (residual < 1e-6 * 1000.0 * step.metrics["it_kw"]).all()
