"""Looking into an agent shows what it does, and changes nothing of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from keel.agents.dqn import DQN, DQNConfig
from keel.agents.ppo import PPO, PPOConfig
from keel.agents.r2d2 import R2D2, R2D2Config
from keel.envs.protocol import ACTION_MASK
from keel.networks.mlp import MLPConfig
from keel.networks.plain_q import PlainQ
from keel.runners.agents import make_agent, make_worlds
from keel.runners.loop import global_chance, seed_global_chance
from keel.runners.options import default_settings
from keel.runners.subjects import Onlooker
from keel.runners.watch.episodes import Watched, play
from keel.runners.watch.insight import find_look

CPU = torch.device("cpu")
VECTOR = spaces.Box(-1.0, 1.0, (3,), np.float32)
MANY = 20_000


def ppo(action_space: spaces.Space[Any], observation_space: spaces.Space[Any] = VECTOR, **settings: Any) -> PPO:
    """An untrained agent for many worlds whose policy head is no longer nearly zero."""
    agent = PPO(
        observation_space,
        action_space,
        num_envs=MANY,
        total_steps=MANY,
        config=PPOConfig(num_steps=1, minibatch_size=MANY, **settings),
        backbone=MLPConfig(hidden=(16,)),
        seed=3,
        device=CPU,
    )
    with torch.no_grad():
        agent.network.policy.linear.weight.normal_(0.0, 1.0, generator=torch.Generator().manual_seed(5))
    return agent


def same_for_many(observation: Any) -> Any:
    if isinstance(observation, dict):
        return {key: same_for_many(part) for key, part in observation.items()}
    return np.repeat(observation, MANY, axis=0)


def insight_of(agent: Any, observation: Any, memory: Any = ()) -> Any:
    look = find_look(agent)
    assert look is not None
    return look(observation, memory, np.ones(1, bool))


ONE = np.array([[0.3, -0.8, 0.5]], np.float32)


@pytest.mark.parametrize(
    "space", [spaces.Discrete(4), spaces.Discrete(3, start=2), spaces.MultiDiscrete([3, 2]), spaces.MultiBinary(3)]
)
def test_probabilities_are_how_often_training_takes_each_action(space: spaces.Space[Any]) -> None:
    agent = ppo(space)
    insight = insight_of(agent, ONE)
    taken = agent.act(same_for_many(ONE), (), np.ones(MANY, bool), explore=True).action
    match space:
        case spaces.Discrete():
            counted = [np.mean(taken == space.start + choice) for choice in range(space.n)]
        case spaces.MultiDiscrete():
            counted = [np.mean(taken[:, 0] == choice) for choice in range(3)]
            counted += [np.mean(taken[:, 1] == choice) for choice in range(2)]
        case _:
            counted = taken.mean(axis=0)
    assert insight.kind == "probability"
    np.testing.assert_allclose(insight.numbers, counted, atol=0.016)  # 4.5 standard errors
    assert 0.02 < insight.numbers.max() < 0.98  # or the test would see nothing


def test_means_and_deviations_are_those_of_training_in_the_units_of_the_world() -> None:
    agent = ppo(spaces.Box(np.float32([0.0, -100.0]), np.float32([50.0, 100.0])), initial_log_std=-4.0)
    agent.network.policy.linear.weight.data *= 0.1
    insight = insight_of(agent, ONE)
    taken = agent.act(same_for_many(ONE), (), np.ones(MANY, bool), explore=True).action
    assert insight.kind == "mean"
    np.testing.assert_allclose(insight.numbers, taken.mean(axis=0), atol=5 * 100 * np.exp(-4) / np.sqrt(MANY))
    np.testing.assert_allclose(insight.spread, taken.std(axis=0), rtol=0.03)
    np.testing.assert_allclose(insight.spread, np.exp(-4.0) * np.array([25.0, 100.0]), rtol=1e-6)


def test_illegal_actions_are_told_and_have_no_probability() -> None:
    space = spaces.Dict({"observation": VECTOR, ACTION_MASK: spaces.MultiBinary(4)})
    agent = ppo(spaces.Discrete(4), space)
    insight = insight_of(agent, {"observation": ONE, ACTION_MASK: np.array([[1, 0, 0, 1]], np.int8)})
    assert insight.legal.tolist() == [True, False, False, True]
    assert insight.numbers[[1, 2]].max() < 1e-6
    assert insight.numbers.sum() == pytest.approx(1.0)


def test_the_value_is_that_of_the_network_and_says_where_its_units_are_others() -> None:
    agent = ppo(spaces.Discrete(2))
    weight, bias = agent.network.value.linear.weight, agent.network.value.linear.bias
    with torch.no_grad():
        weight.zero_()
        bias.fill_(7.5)
    assert insight_of(agent, ONE)[:2] == (7.5, "")
    assert insight_of(ppo(spaces.Discrete(2), normalise_reward=True), ONE).scale == "scaled rewards"


def dqn(**settings: Any) -> DQN:
    return DQN(
        VECTOR,
        spaces.Discrete(4),
        num_envs=1,
        total_steps=1,
        config=DQNConfig(**settings),
        backbone=MLPConfig(hidden=(16,)),
        seed=3,
        device=CPU,
    )


def test_action_values_are_those_of_the_whole_dueling_network() -> None:
    """Acting leaves the value stream out; the plain numpy form of learning is an implementation of its own."""
    agent = dqn(dueling=True)
    assert PlainQ.fits(agent.network)
    expected, _ = PlainQ(agent.network).forward(ONE)
    insight = insight_of(agent, ONE)
    np.testing.assert_allclose(insight.numbers, expected[0], rtol=1e-5)
    assert insight.value == pytest.approx(expected.max())
    assert insight.kind == "value"
    assert insight_of(dqn(clip_reward=1.0), ONE).scale == "clipped rewards"


@pytest.mark.parametrize("distribution", ["categorical", "quantile"])
def test_distributions_of_values_are_shown_by_their_means(distribution: Any) -> None:
    agent = dqn(distribution=distribution, atoms=5, lowest_value=0.0, highest_value=8.0, dueling=False, noisy=True)
    insight = insight_of(agent, ONE)
    with torch.no_grad():
        numbers = agent.network(torch.from_numpy(ONE)[None], (), torch.ones(1, 1, dtype=torch.bool))[0][0, 0].numpy()
    if distribution == "categorical":
        shares = np.exp(numbers) / np.exp(numbers).sum(axis=1, keepdims=True)
        expected = shares @ np.array([0.0, 2.0, 4.0, 6.0, 8.0])
    else:
        expected = numbers.mean(axis=1)
    np.testing.assert_allclose(insight.numbers, expected, rtol=1e-5)


def test_values_learnt_through_a_root_are_shown_in_plain_units() -> None:
    agents = [
        R2D2(
            VECTOR,
            spaces.Discrete(2),
            num_envs=1,
            total_steps=1,
            config=R2D2Config(rescale_value=rescaled),
            backbone=MLPConfig(hidden=(16,)),
            seed=3,
            device=CPU,
        )
        for rescaled in (True, False)
    ]
    for agent in agents:  # make the values large enough that a root matters
        bias: Any = agent.network.head.advantage.layers[0].bias
        bias.data += torch.tensor([40.0, 0.0])
    plain, root = (insight_of(agent, ONE).numbers for agent in agents)
    assert plain.max() > 300
    np.testing.assert_allclose(np.sign(plain) * (np.sqrt(np.abs(plain) + 1) - 1) + 1e-3 * plain, root, rtol=1e-4)


def test_a_controller_shows_nothing() -> None:
    assert find_look(Onlooker(spaces.Discrete(2))) is None


@pytest.mark.parametrize(
    ("agent", "env", "backbone"),
    [
        ("ppo", "keel/CartPole-v0", None),
        ("ppo", "keel/CartPoleNoVelocity-v0", "lstm"),
        ("ppo", "keel/CartPoleNoVelocity-v0", "transformer"),
        ("ppo", "Pendulum-v1", None),
        ("ppo", "keel/ConnectFour-v0", None),
        ("dqn", "keel/CartPole-v0", None),
        ("rainbow", "keel/CartPole-v0", None),
        ("pqn", "keel/CartPole-v0", None),
        ("r2d2", "keel/CartPoleNoVelocity-v0", "gru"),
        ("sb3-dqn", "CartPole-v1", None),
        ("sb3-ppo", "CartPole-v1", None),
        ("sb3-sac", "Pendulum-v1", None),
        ("sb3-td3", "Pendulum-v1", None),
    ],
)
def test_the_agent_acts_as_if_nobody_looked(agent: str, env: str, backbone: str | None) -> None:
    settings = default_settings(agent, env, backbone, {})
    courses, chances = [], []
    for looks in (False, True):
        worlds = make_worlds(settings, 1, render_mode="rgb_array")
        worlds.render = lambda: np.zeros((2, 2, 3), np.uint8)  # pyright: ignore[reportAttributeAccessIssue]
        torch.manual_seed(1)
        policy = make_agent(settings, worlds.observation_space, worlds.action_space, device=CPU)
        seed_global_chance(1)  # once more: importing a library draws from it too
        look = find_look(policy)
        assert look is not None
        watched = Watched(policy, worlds, look=look if looks else None)
        moments = list(play(watched, seed=2, episodes=2, max_steps=40))
        worlds.close()
        courses.append([(moment.return_, np.asarray(moment.view.action).tolist()) for moment in moments if moment.view])
        chances.append(global_chance())
        if looks:
            check_insights(moments)
    assert courses[0] == courses[1]
    (first, second) = chances
    assert first["python"] == second["python"]
    assert first["numpy"]["position"] == second["numpy"]["position"]
    assert np.array_equal(first["numpy"]["key"], second["numpy"]["key"])
    assert torch.equal(first["torch"], second["torch"])


def check_insights(moments: list[Any]) -> None:
    """The greedy action is the one that the insight puts first."""
    for moment in moments:
        view = moment.view
        assert np.isfinite(view.insight.value)
        assert len(moment.values) >= moment.step
        if view.insight.kind == "mean":
            np.testing.assert_allclose(np.clip(view.insight.numbers, -2, 2), view.action.ravel(), atol=1e-5)
        else:
            assert view.insight.numbers[int(view.action)] == pytest.approx(view.insight.numbers.max(), abs=1e-5)
