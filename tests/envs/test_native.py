"""Native worlds: bit for bit their Gymnasium twins, alone and in a batch."""

from __future__ import annotations

import math
import os
from typing import Any

import gymnasium
import numpy as np
import pytest

from keel.envs import native
from keel.envs.cartpole import CartPole, advance
from keel.envs.local import LocalBackend
from keel.envs.make import metric_names
from keel.envs.native import NativeBackend, NativeEnv
from keel.envs.protocol import Array
from keel.envs.registry import BY_ID
from keel.envs.vector import Vector, make_vec

# For every native world that has one: the Gymnasium environment that computes the same.
TWINS = {"keel/CartPole-v0": "CartPole-v1"}
# Those that have none on purpose: Gymnasium knows no such worlds; cooling/ tests them against physics instead.
# These hide part of what another shows; what is left is compared with it below.
PARTIAL = {"keel/CartPoleNoVelocity-v0"}
WITHOUT_TWIN = {f"keel/DataCenterCooling{kind}-v0" for kind in ("", "Discrete", "PO", "MultiHall", "Faults")}


def test_every_native_world_is_tested_against_its_twin_or_has_none_on_purpose() -> None:
    assert {entry.env_id for entry in BY_ID.values() if entry.native} == set(TWINS) | WITHOUT_TWIN | PARTIAL


def test_without_velocities_the_same_cart_is_seen_in_part() -> None:
    whole, part = make_vec("keel/CartPole-v0", 4), make_vec("keel/CartPoleNoVelocity-v0", 4)
    assert part.observation_space.shape == (2,)
    pairs = [(whole.reset(3), part.reset(3))]
    random = np.random.default_rng(0)
    for _ in range(100):
        action = random.integers(2, size=4)
        one, other = whole.step(action), part.step(action)
        np.testing.assert_array_equal(one.terminated, other.terminated)
        pairs.append((one.observation, other.observation))
    for seen, in_part in pairs:
        np.testing.assert_array_equal(np.asarray(seen)[:, [0, 2]], in_part)


@pytest.mark.parametrize(("own_id", "twin_id"), TWINS.items())
def test_100_000_steps_are_bit_equal_to_gymnasium(own_id: str, twin_id: str) -> None:
    num_envs, steps = 10, 10_000
    own, twin = make_vec(own_id, num_envs), make_vec(twin_id, num_envs)
    assert np.asarray(own.reset(3)).tobytes() == np.asarray(twin.reset(3)).tobytes()
    generator = np.random.default_rng(0)
    ends = {"terminated": 0, "truncated": 0}
    observation = np.asarray(own.reset(3))
    for _ in range(steps):
        # Half of the worlds are balanced well enough to reach the limit, half are pushed about at random.
        balanced = (observation[:, 2] + 0.5 * observation[:, 3] + 0.05 * observation[:, 0] > 0).astype(np.int64)
        action = np.where(np.arange(num_envs) % 2, balanced, generator.integers(0, 2, num_envs))
        one, other = own.step(action), twin.step(action)
        for name in ("observation", "reward", "terminated", "truncated"):
            assert getattr(one, name).tobytes() == getattr(other, name).tobytes()
            assert getattr(one, name).dtype == getattr(other, name).dtype
        for name in ends:
            ends[name] += int(getattr(one, name).sum())
        assert (one.final_observation is None) == (other.final_observation is None)
        if one.final_observation is not None:
            ended = one.terminated | one.truncated
            np.testing.assert_array_equal(one.final_observation[ended], other.final_observation[ended])  # pyright: ignore
        observation = np.asarray(one.observation)
    assert ends["terminated"] > 1000
    assert ends["truncated"] > 50


@pytest.mark.parametrize(("own_id", "twin_id"), TWINS.items())
def test_the_single_environment_is_bit_equal_to_gymnasium(own_id: str, twin_id: str) -> None:
    own, twin = gymnasium.make(own_id), gymnasium.make(twin_id)
    assert own.spec is not None
    assert twin.spec is not None
    assert own.spec.max_episode_steps == twin.spec.max_episode_steps
    assert own.spec.reward_threshold == twin.spec.reward_threshold
    assert own.observation_space == twin.observation_space
    assert own.action_space == twin.action_space
    own_first, twin_first = own.reset(seed=9)[0], twin.reset(seed=9)[0]
    np.testing.assert_array_equal(own_first, twin_first)
    generator = np.random.default_rng(1)
    for _ in range(2000):
        action = generator.integers(2)
        one, other = own.step(action), twin.step(action)
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1:4] == other[1:4]
        if one[2] or one[3]:  # without a seed the next episode goes on in the same stream of chance
            np.testing.assert_array_equal(own.reset()[0], twin.reset()[0])


@pytest.mark.parametrize("env_id", TWINS)
def test_the_batch_equals_the_list_of_single_environments(env_id: str) -> None:
    native = make_vec(env_id, 3)
    local = Vector(env_id, LocalBackend([gymnasium.make(env_id) for _ in range(3)]))
    assert np.asarray(native.reset(1)).tobytes() == np.asarray(local.reset(1)).tobytes()
    generator = np.random.default_rng(0)
    for _ in range(700):
        action = generator.integers(0, 2, 3)
        one, other = native.step(action), local.step(action)
        for name in ("observation", "reward", "terminated", "truncated"):
            assert getattr(one, name).tobytes() == getattr(other, name).tobytes()


def test_a_cartpole_step_by_hand() -> None:
    # Upright and at rest, pushed right: sin = 0, cos = 1, so thrust = 10 / 1.1 and the rest follows from the paper.
    state, reward, terminated = np.zeros((1, 4)), np.empty(1), np.empty(1, np.bool_)
    advance(state, np.array([1]), reward, terminated)
    thrust = 10 / 1.1
    angular = -thrust / (0.5 * (4 / 3 - 0.1 / 1.1))
    np.testing.assert_allclose(state[0], [0, 0.02 * (thrust - 0.05 * angular / 1.1), 0, 0.02 * angular], rtol=1e-14)
    assert (reward[0], terminated[0]) == (1.0, False)


@pytest.mark.parametrize(
    ("state", "ends"),
    [
        ([2.4, 0.0, 0.0, 0.0], False),
        ([math.nextafter(2.4, 3), 0.0, 0.0, 0.0], True),
        ([-2.41, 0.0, 0.0, 0.0], True),
        ([0.0, 0.0, math.radians(12.01), 0.0], True),
        ([0.0, 0.0, -math.radians(11.99), 0.0], False),
    ],
)
def test_a_cartpole_ends_beyond_its_limits(state: list[float], ends: bool) -> None:
    terminated = np.empty(1, np.bool_)
    advance(np.array([state]), np.array([0]), np.empty(1), terminated)
    assert terminated[0] == ends


class Walk:
    """A world with measures of its own: a walk on a line from a start drawn by chance."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    state_size = 1
    metric_names = ("distance", "effort")
    episode_steps = None
    frames_per_second = 10
    frame_size = (10, 10)

    def start(self, generator: np.random.Generator) -> Array:
        return generator.normal(size=1)

    def step(self, state: Array, action: Array, reward: Array, terminated: Array, metrics: Array) -> None:
        state += action
        reward[:] = -np.abs(state[:, 0])
        terminated[:] = np.abs(state[:, 0]) < 0.1
        metrics[:] = np.column_stack([np.abs(state[:, 0]), np.abs(action[:, 0])])

    def observe(self, state: Array) -> Array:
        return state.astype(np.float32)

    def draw(self, state: Array, canvas: Any) -> None: ...

    def text(self, state: Array) -> str:
        return str(state)


def test_a_worlds_own_measures_are_the_same_alone_and_in_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "load_world", lambda path: Walk())
    singles: list[Any] = [gymnasium.wrappers.TimeLimit(NativeEnv("walk"), 20) for _ in range(3)]
    local = Vector("Walk", LocalBackend(singles, metric_names(singles[0])))
    batch = Vector("Walk", NativeBackend([Walk()], 3, 20))
    assert np.asarray(local.reset(0)).tobytes() == np.asarray(batch.reset(0)).tobytes()
    generator, ends = np.random.default_rng(0), 0
    for _ in range(100):
        action = generator.uniform(-1, 1, (3, 1)).astype(np.float32)
        one, other = local.step(action), batch.step(action)
        for name in ("observation", "reward", "terminated", "truncated"):
            assert getattr(one, name).tobytes() == getattr(other, name).tobytes()
        assert one.metrics.keys() == other.metrics.keys() == {"distance", "effort"}
        for name in one.metrics:
            np.testing.assert_array_equal(one.metrics[name], other.metrics[name])
        np.testing.assert_array_equal(other.metrics["distance"], -other.reward)
        ends += other.final_observation is not None
    assert ends > 5


@pytest.mark.parametrize("mode", ["rgb_array", "ansi", "human", None])
def test_rendering_needs_no_display(mode: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "SDL_VIDEODRIVER", "dummy")
    env: Any = gymnasium.make("keel/CartPole-v0", render_mode=mode)
    env.reset(seed=0)
    before = env.render()
    for _ in range(9):
        env.step(1)
    after = env.render()
    env.close()
    if mode == "rgb_array":
        assert before.shape == (405, 720, 3)
        assert before.dtype == np.uint8
        assert (before != after).any()
    elif mode == "ansi":
        assert "angle" in after
        assert before != after
    else:
        assert after is None


def test_the_picture_leans_with_the_pole_and_moves_with_the_cart() -> None:
    import pygame

    def pole_and_cart(state: list[float]) -> tuple[float, float]:
        canvas = pygame.Surface(CartPole.frame_size)
        CartPole().draw(np.array(state), canvas)
        frame = pygame.surfarray.array3d(canvas)
        background, cart = frame[0, 0], np.array([0x34, 0x49, 0x5E])
        upper = (frame[:, :200] != background).any(axis=2)
        return float(np.argwhere(upper)[:, 0].mean()), float(np.argwhere((frame == cart).all(axis=2))[:, 0].mean())

    pole, cart = pole_and_cart([0, 0, 0, 0])
    assert abs(pole - cart) < 2
    assert abs(cart - CartPole.frame_size[0] / 2) < 2
    pole, cart = pole_and_cart([1.0, 0, 0.2, 0])
    assert cart > CartPole.frame_size[0] / 2 + 100
    assert pole > cart + 10


def test_an_unknown_option_of_a_native_world_is_a_type_error_of_its_own_constructor() -> None:
    with pytest.raises(TypeError, match="gravity"):
        NativeEnv("keel.envs.cartpole:CartPole", gravity=3.0)
