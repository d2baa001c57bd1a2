"""The actions that DQN and its kin, and PQN, learn in probe worlds whose answer is known."""

import numpy as np

from .test_dqn_probes import ALL, numbers, train, values


def greedy(agent, observation):
    batch = len(next(iter(observation.values())) if isinstance(observation, dict) else observation)
    return agent.act(observation, (), np.ones(batch, bool), explore=False).action


@ALL
class TestActions:
    def test_action_reward(self, kind):
        agent, worlds = train(kind, "ActionReward", 2_000)
        assert (worlds.step(greedy(agent, worlds.reset(0))).reward == 1.0).all()
        np.testing.assert_allclose(values(agent, numbers([0.0])), [[-1.0, 1.0]], atol=0.1)

    def test_contextual_reward(self, kind):
        agent, _ = train(kind, "ContextualReward", 2_000)
        np.testing.assert_allclose(values(agent, numbers([-1.0], [1.0])), [[1.0, -1.0], [-1.0, 1.0]], atol=0.15)

    def test_masked_action(self, kind):
        agent, worlds = train(kind, "MaskedAction", 2_500)
        for seed in range(20):
            observation = worlds.reset(seed)
            best_legal = 3 - observation["action_mask"][:, ::-1].argmax(axis=1)
            np.testing.assert_array_equal(greedy(agent, observation), best_legal)

    def test_nested_observation(self, kind):
        agent, worlds = train(kind, "NestedObservation", 2_500, "relu")
        observation, total = worlds.reset(7), 0.0
        for _ in range(20):
            step = worlds.step(greedy(agent, observation))
            observation, total = step.observation, total + float(step.reward.mean())
        assert total / 20 > 0.95
