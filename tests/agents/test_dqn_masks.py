"""Legal actions in DQN and PQN: none but these is ever chosen, and none but these is what a next state is worth."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from keel.agents.agent import Decision
from keel.agents.replay import Batch
from keel.agents.schedule import Schedule
from keel.envs.protocol import Step

MASKED = spaces.Dict({"observation": spaces.Box(-10, 10, (4,), np.float32), "action_mask": spaces.MultiBinary(3)})
SWITCHES = [
    {},
    {"persistence": 0.8},
    {"noisy": True},
    {"distribution": "categorical"},
    {"distribution": "quantile", "dueling": True},
]


def look(numbers):
    """The numbers, and a mask that follows from them: one to three legal actions."""
    legal = numbers[:, :3] > 0.3
    legal[np.arange(len(numbers)), numbers[:, :3].argmax(axis=1)] = True
    return {"observation": numbers, "action_mask": legal.astype(np.int8)}


@pytest.fixture
def watched(play):
    """Plays and returns how many choices were free, where chosen is always legal; `explore` None: as in training."""

    def run(agent, steps, explore=None):
        act, free = agent.act, []

        def spy(observation, memory, is_first, **kwargs):
            decision = act(observation, memory, is_first, explore=kwargs["explore"] if explore is None else explore)
            legal = observation["action_mask"].astype(bool)
            assert legal[np.arange(len(legal)), decision.action].all()
            best = np.where(legal, observation["observation"][:, :3], -np.inf).argmax(axis=1)
            free.append((legal.sum(axis=1) > 1) & (decision.action != best))
            return decision

        agent.act = spy
        play(agent, 0, steps, look=look)
        return int(np.sum(free))

    return run


class TestChoices:
    @pytest.mark.parametrize("switches", SWITCHES)
    @pytest.mark.parametrize("explore", [None, False])
    def test_dqn_never_chooses_an_illegal_action(self, switches, explore, make_dqn, watched):
        agent = make_dqn(MASKED, epsilon=Schedule(1.0, 0.2, 0.02), **switches)
        assert watched(agent, 60, explore) > 20  # it does choose

    @pytest.mark.parametrize("explore", [None, False])
    def test_pqn_never_chooses_an_illegal_action(self, explore, make_pqn, watched):
        assert watched(make_pqn(MASKED, epsilon=Schedule(1.0, 0.2, 0.02)), 60, explore) > 20

    def test_the_illegal_action_of_the_largest_value_is_passed_over(self, make_dqn, make_pqn):
        mask = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0]], np.int8)
        observation = {"observation": np.ones((3, 4), np.float32), "action_mask": mask}
        for agent in (make_dqn(MASKED, dueling=False), make_pqn(MASKED)):
            fix(agent.network, [1.0, 2.0, 10.0])
            decision = agent.act(observation, (), np.zeros(3, bool), explore=False)
            assert decision.action.tolist() == [2, 1, 0]


def fix(network, values):
    """Whatever the observation, the numbers of the last layer are these."""
    layer = network.head.advantage.layers[-1]
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(torch.tensor(values).flatten())


class TestBootstrap:
    """The next state has action 2 as its best, and it is illegal in the first two of three rows."""

    HERE, THERE = [1.0, 2.0, 10.0], [5.0, 3.0, 20.0]

    def batch(self):
        vector, mask = np.ones((3, 4), np.float32), np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1]], np.int8)
        return Batch(
            {"observation": vector, "action_mask": np.ones((3, 3), np.int8)},
            np.array([0, 1, 2]),
            np.array([0.5, 0.5, 0.25], np.float32),
            np.full(3, 0.5, np.float32),
            {"observation": vector, "action_mask": mask},
            np.ones(3, np.float32),
            np.arange(3),
        )

    def target(self, agent):
        batch = self.batch()
        return_, discount = torch.from_numpy(batch.return_), torch.from_numpy(batch.discount)
        return agent._target(batch.next_observation, return_, discount, None, None)

    @pytest.mark.parametrize(("double", "expected"), [(True, [2.0, 3.0, 10.25]), (False, [3.0, 3.0, 10.25])])
    def test_values(self, double, expected, make_dqn):
        """Double: of actions 0 and 1 the network prefers 1, which the target puts at 3; alone it prefers 0, at 5."""
        agent = make_dqn(MASKED, double=double, dueling=False, batch_size=3)
        fix(agent.network, self.HERE)
        fix(agent.target, self.THERE)
        assert self.target(agent).tolist() == expected

    @pytest.mark.parametrize("double", [True, False])
    def test_quantiles(self, double, make_dqn):
        agent = make_dqn(MASKED, double=double, dueling=False, batch_size=3, distribution="quantile", atoms=2)
        fix(agent.network, [[q - 1, q + 1] for q in self.HERE])
        fix(agent.target, [[q - 2, q + 2] for q in self.THERE])
        first = [1.0, 3.0] if double else [2.0, 4.0]
        assert self.target(agent).tolist() == [first, [2.0, 4.0], [9.25, 11.25]]

    @pytest.mark.parametrize("double", [True, False])
    def test_atoms(self, double, make_dqn):
        """Atoms 0 8 16; nearly all the chance on the atom that the action's row names."""
        agent = make_dqn(
            MASKED, double=double, dueling=False, batch_size=3, distribution="categorical", atoms=3, lowest_value=0.0,
            highest_value=16.0,
        )  # fmt: skip
        sure = (torch.eye(3) * 100).tolist()
        fix(agent.network, [sure[0], sure[1], sure[2]])
        fix(agent.target, [sure[1], sure[0], sure[2]])
        found = self.target(agent) @ torch.tensor([0.0, 8.0, 16.0])
        # double: action 1 there is atom 0; alone: action 0 at 8. Row 2: only action 0. Row 3: action 2 at 16.
        torch.testing.assert_close(found, torch.tensor([0.5 if double else 4.5, 4.5, 8.25]))

    def test_pqn_looks_on_to_the_best_legal_action(self, make_pqn):
        """One world, two steps, the first truncated with action 2 illegal at its end, the second followed by all."""
        agent = make_pqn(MASKED, num_envs=1, num_steps=2, minibatch_size=2, gamma=0.5, lambda_=0.9)
        fix(agent.network, [1.0, 2.0, 10.0])
        vector, yes, no = np.ones((1, 4), np.float32), np.array([True]), np.array([False])

        def see(*mask):
            return {"observation": vector, "action_mask": np.array([mask], np.int8)}

        decision = Decision(np.array([0]), (), (), no, {"choice": np.array([0])})
        agent.observe(see(1, 1, 1), decision, Step(see(1, 0, 0), np.array([0.5]), no, yes, see(1, 1, 0), {}))
        agent.observe(see(1, 0, 0), decision, Step(see(0, 1, 1), np.array([0.25]), no, no, None, {}))
        (_, action, return_, *_), _ = agent._prepare()
        assert action[:, 0].tolist() == [0, 0]
        assert return_[:, 0].tolist() == [0.5 + 0.5 * 2.0, 0.25 + 0.5 * 10.0]
