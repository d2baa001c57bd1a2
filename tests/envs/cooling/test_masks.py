"""Masks of legal actions: what is at its bound cannot be moved beyond it."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

from keel.envs.batches import leaves
from keel.envs.cooling import layout
from keel.envs.cooling.actions import MOVES
from keel.envs.cooling.env import DataCenterCooling
from keel.envs.local import LocalBackend
from keel.envs.make import metric_names
from keel.envs.protocol import Array, Observation
from keel.envs.vector import Vector, make_variants, make_vec

from .test_actions import START, set_points, state_at

ID = "keel/DataCenterCoolingDiscrete-v0"
LOWEST, HIGHEST = np.array([16.0, 0.3, 7.0, 0.1]), np.array([27.0, 1.0, 20.0, 1.0])
KINDS: tuple[Any, ...] = (9, 81, "multi")
SET_POINTS = [
    34,
    35,
    25,
    26,
]  # in the observation: supply air, air handlers, chilled water, tower; -1 and 1 at the bounds


def mask_at(kind: Any, points: Array) -> list[int]:
    observation: Any = DataCenterCooling(days=1, actions=kind, masks=True).observe(state_at(points))
    assert observation["observation"].shape == (1, 41)
    assert observation["action_mask"].dtype == np.int8
    return observation["action_mask"][0].tolist()


def digits_of(kind: Any, action: int) -> Array:
    """Of an action: 0 lowers, 1 keeps, 2 raises each of the four set points."""
    if kind == 81:
        return action // 3 ** np.arange(4) % 3
    digits = np.ones(4, np.int64)
    if action:
        digits[(action - 1) // 2] = 0 if action % 2 else 2
    return digits


def action_of(kind: Any, digits: Array) -> int:
    if kind == 81:
        return int((digits * 3 ** np.arange(4)).sum())
    moved = np.flatnonzero(digits != 1)
    return int(2 * moved[0] + 1 + digits[moved[0]] // 2) if len(moved) else 0


def expected_mask(kind: Any, points: Array) -> list[int]:
    """By hand: lowering is for what is above its least, raising for what is below its most."""
    can = np.stack([points > LOWEST, np.ones(4, bool), points < HIGHEST], axis=1)
    if kind == "multi":
        return can.astype(int).ravel().tolist()
    count = 9 if kind == 9 else 81
    return [int(all(can[part, digit] for part, digit in enumerate(digits_of(kind, a)))) for a in range(count)]


PLACES = {
    "between": START,
    "all lowest": LOWEST,
    "all highest": HIGHEST,
    "one of each": np.array([16.0, 1.0, 14.0, 0.1]),
    "less than a move from the bounds": LOWEST + 0.4 * MOVES,
    "less than a move below": HIGHEST - 0.4 * MOVES,
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_masks_at_set_points_by_hand(kind: Any, place: str) -> None:
    assert mask_at(kind, PLACES[place]) == expected_mask(kind, PLACES[place])


def test_nine_by_hand() -> None:
    assert mask_at(9, START) == [1] * 9
    assert mask_at(9, LOWEST) == [1, 0, 1, 0, 1, 0, 1, 0, 1]
    assert mask_at(9, HIGHEST) == [1, 1, 0, 1, 0, 1, 0, 1, 0]
    assert mask_at(9, np.array([16.0, 0.6, 20.0, 0.5])) == [1, 0, 1, 1, 1, 1, 0, 1, 1]
    assert mask_at("multi", np.array([16.0, 0.6, 20.0, 0.5])) == [0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1]


def step_from(points: Array, kind: Any, action: int) -> tuple[Array, bytes]:
    """The set points after an action, and everything else in bytes."""
    world, state = DataCenterCooling(days=1, actions=kind, masks=True), state_at(points)
    reward, ended, metrics = np.empty(1), np.empty(1, np.bool_), np.empty((1, len(layout.READING_NAMES)))
    world.step(state, np.array([action]), reward, ended, metrics)
    return set_points(state), b"".join(array.tobytes() for array in (state, reward, ended, metrics))


@pytest.mark.parametrize("place", ["between", "all lowest", "all highest", "one of each", "less than a move below"])
@pytest.mark.parametrize("kind", [9, 81])
def test_a_masked_action_changes_nothing_that_a_legal_one_does_not(kind: Any, place: str) -> None:
    points = PLACES[place]
    for action, legal in enumerate(mask_at(kind, points)):
        digits = digits_of(kind, action)
        after, everything = step_from(points, kind, action)
        if legal:
            assert ((after != points) == (digits != 1)).all(), "each move moves something"
        else:
            stuck = ((digits == 0) & (points == LOWEST)) | ((digits == 2) & (points == HIGHEST))
            other = action_of(kind, np.where(stuck, 1, digits))
            assert mask_at(kind, points)[other] == 1
            assert everything == step_from(points, kind, other)[1]
            if kind == 9:
                assert other == 0
                assert (after == points).all()


@pytest.mark.parametrize(("part", "moves"), [(0, 22), (1, 14), (2, 26), (3, 9)])
def test_rounding_leaves_no_move_that_does_nothing(part: int, moves: int) -> None:
    """From the most to the least in whole moves, whose sums round, and back."""
    points = HIGHEST.copy()
    for lower, ends in ((1, LOWEST), (0, HIGHEST)):
        action = 2 * part + (1 if lower else 2)
        taken = 0
        while mask_at(9, points)[action]:
            points, _ = step_from(points, 9, action)
            taken += 1
        assert taken == moves
        np.testing.assert_allclose(points[part], ends[part], atol=1e-9)
        beyond, _ = step_from(points, 9, action)
        np.testing.assert_allclose(beyond, points, rtol=0, atol=1e-9)


def as_bytes(observation: Observation | None) -> list[bytes]:
    return [] if observation is None else [array.tobytes() for _, array in leaves(observation)]


def legal_actions(observation: Any, generator: np.random.Generator) -> Array:
    """Legal actions at random, [B] or, of four parts, [B 4]."""
    mask = observation["action_mask"]
    if mask.shape[1] == 12:
        return np.array([[generator.choice(np.flatnonzero(part)) for part in row.reshape(4, 3)] for row in mask])
    return np.array([generator.choice(np.flatnonzero(row)) for row in mask])


def check_rows(kind: Any, observation: Any) -> None:
    """Every mask is that of the set points beside it."""
    for vector, mask in zip(observation["observation"], observation["action_mask"], strict=True):
        at = np.select([vector[SET_POINTS] <= -1.0 + 1e-6, vector[SET_POINTS] >= 1.0 - 1e-6], [LOWEST, HIGHEST], START)
        assert mask.tolist() == expected_mask(kind, at)


@pytest.mark.parametrize("kind", KINDS)
def test_batch_and_single_environments_agree_bit_for_bit(kind: Any) -> None:
    """Over the end of a day's episode, with the masks of its end and of the next one's start."""
    options: dict[str, Any] = {"days": 1, "actions": kind, "masks": True, "weather": "any"}
    batch = make_vec(ID, 3, env_options=options)
    singles: list[Any] = [gymnasium.make(ID, **options) for _ in range(3)]
    local = Vector(ID, LocalBackend(singles, metric_names(singles[0])))
    assert batch.observation_space == local.observation_space
    observation = batch.reset(4)
    assert as_bytes(observation) == as_bytes(local.reset(4))
    generator, bounded = np.random.default_rng(0), 0
    for k in range(300):
        check_rows(kind, observation)
        bounded += int((np.asarray(observation["action_mask"]) == 0).any(axis=1).sum())
        action = legal_actions(observation, generator)
        one, other = batch.step(action), local.step(action)
        assert as_bytes(one.observation) == as_bytes(other.observation)
        assert as_bytes(one.final_observation) == as_bytes(other.final_observation)
        assert one.reward.tobytes() == other.reward.tobytes()
        assert (one.final_observation is not None) == (k == 287)
        if one.final_observation is not None:
            check_rows(kind, one.final_observation)
        observation = one.observation
    assert bounded > 100


def test_masks_change_nothing_else() -> None:
    for options in ({}, {"shield": True}, {"fault": "any", "sensors": "real"}, {"controller": "b2"}):
        plain, masked = (make_vec(ID, 2, env_options={"days": 1, "masks": masks, **options}) for masks in (False, True))
        np.testing.assert_array_equal(plain.reset(1), masked.reset(1)["observation"])
        generator = np.random.default_rng(1)
        for _ in range(40):
            action = generator.integers(0, 81, 2)
            one, other = plain.step(action), masked.step(action)
            assert np.asarray(one.observation).tobytes() == other.observation["observation"].tobytes()
            assert one.reward.tobytes() == other.reward.tobytes()
            check_rows(81, other.observation)


def test_a_saved_batch_goes_on_with_its_masks() -> None:
    original, restored = (make_vec(ID, 2, env_options={"days": 1, "masks": True}) for _ in range(2))
    observation, generator = original.reset(5), np.random.default_rng(0)
    for _ in range(50):
        observation = original.step(legal_actions(observation, generator)).observation
    assert as_bytes(restored.load_state_dict(original.state_dict())) == as_bytes(observation)
    unmasked = make_vec(ID, 2, env_options={"days": 1})
    with pytest.raises(ValueError, match="observation_space"):
        unmasked.load_state_dict(original.state_dict())


def test_a_year_of_worlds_has_masks() -> None:
    worlds = make_variants(ID, [{"week": week, "days": 1, "masks": True, "actions": 9} for week in (0, 20, 40)])
    observation = worlds.reset(0)
    assert observation["action_mask"].shape == (3, 9)
    check_rows(9, worlds.step(legal_actions(observation, np.random.default_rng(0))).observation)


def test_frames_are_stacked_and_the_mask_is_that_of_now() -> None:
    options: dict[str, Any] = {"days": 1, "masks": True, "actions": 9}
    stacked, single = make_vec(ID, 1, frame_stack=3, env_options=options), make_vec(ID, 1, env_options=options)
    frames, plain = stacked.reset(2), single.reset(2)
    generator = np.random.default_rng(0)
    for _ in range(20):
        assert frames["observation"].shape == (1, 3, 41)
        np.testing.assert_array_equal(frames["observation"][:, -1], plain["observation"])
        np.testing.assert_array_equal(frames["action_mask"], plain["action_mask"])
        action = legal_actions(plain, generator)
        frames, plain = stacked.step(action).observation, single.step(action).observation


@pytest.mark.parametrize("kind", KINDS)
def test_worlds_with_masks_keep_the_contracts(kind: Any) -> None:
    env = gymnasium.make(ID, actions=kind, masks=True, disable_env_checker=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*m(in|ax)imum value is -?infinity.*")
        check_env(env.unwrapped, skip_render_check=True)
        check_env_for_sb3(env, skip_render_check=True)


@pytest.mark.parametrize("env_id", ["keel/DataCenterCooling-v0", "keel/DataCenterCoolingMultiHall-v0"])
def test_set_points_themselves_have_no_masks(env_id: str) -> None:
    with pytest.raises(ValueError, match=r"masks is true and actions is 'box'.*use actions 9, 81 or 'multi'"):
        make_vec(env_id, env_options={"masks": True})
    with pytest.raises(ValueError, match="masks is 1, it must be true or false"):
        make_vec(ID, env_options={"masks": 1})
