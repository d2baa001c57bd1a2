"""The agent DQN: when it learns, what it reports, how its target follows, how it explores, and what it refuses."""

import dataclasses

import numpy as np
import pytest
import torch
from gymnasium import spaces

from keel.agents.dqn import DQNConfig
from keel.agents.schedule import Schedule
from keel.envs.errors import KeelError
from keel.networks.backbone import GRUConfig, MLPConfig

ALWAYS, NEVER = Schedule(1.0, 1.0), Schedule(0.0, 0.0)
LEARNT = {"loss/td", "value/mean", "value/target", "loss/gradient_norm"}
ALL = {"policy/epsilon", "policy/learning_rate", "policy/gradient_steps"}


def weights(network):
    return [parameter.detach().clone() for parameter in network.parameters()]


def same(left, right):
    return [torch.equal(a, b) for a, b in zip(left, right, strict=True)]


class TestWhenItLearns:
    @pytest.mark.parametrize(
        ("num_envs", "update_every", "in_all"),
        [(1, 1, 280), (4, 4, 70), (4, 1, 280), (8, 2, 140), (3, 7, 39), (5, 3, 93), (4, 64, 4), (7, 100, 2)],
    )
    def test_gradient_steps_follow_the_steps_exactly(self, num_envs, update_every, in_all, make_dqn, play, monkeypatch):
        """One for every `update_every` single steps after `learning_starts`, counted step by step."""
        agent = make_dqn(num_envs=num_envs, update_every=update_every, n_step=1)
        sample, samples, due, steps = agent.replay.sample, [], 0, 0
        monkeypatch.setattr(agent.replay, "sample", lambda *args: samples.append(args) or sample(*args))
        start = weights(agent.network)
        for t in range(320 // num_envs):
            play(agent, t, t + 1)
            for _ in range(num_envs):
                steps += 1
                due += int(steps > 40 and (steps - 40) % update_every == 0)
            assert agent.global_step == steps
            assert (agent.updates, len(samples), agent.optimiser.steps) == (due, due, due)
            assert all(same(weights(agent.network), start)) == (due == 0)
        assert due == in_all

    def test_the_first_gradient_step_may_come_as_soon_as_a_transition_is_whole(self, make_dqn, play):
        agent = make_dqn(n_step=3, learning_starts=16, update_every=1)
        play(agent, 0, 4)
        assert agent.updates == 0
        play(agent, 4, 5)
        assert agent.updates == 4

    @pytest.mark.parametrize(("num_envs", "n_step", "least"), [(4, 3, 16), (16, 1, 32), (1, 5, 6)])
    def test_a_start_before_a_transition_is_whole_is_refused(self, num_envs, n_step, least, make_dqn):
        with pytest.raises(ValueError, match=rf"learning_starts is {least - 1}: .*{num_envs} worlds.*after {least}"):
            make_dqn(num_envs=num_envs, n_step=n_step, learning_starts=least - 1)
        make_dqn(num_envs=num_envs, n_step=n_step, learning_starts=least)


class TestReports:
    def test_rows_come_at_multiples_of_report_every_and_at_the_end(self, make_dqn, play):
        agent, reports = make_dqn(num_envs=3, total_steps=310, report_every=50), {}
        for t in range(104):
            _, rows = play(agent, t, t + 1)
            if rows:
                reports[agent.global_step] = rows
            elif agent.global_step % 9 == 0:
                assert agent.update() == {}  # also where nobody had to ask
        assert list(reports) == [51, 102, 150, 201, 252, 300, 312]  # the first step at or after each
        assert all(len(rows) == 1 for rows in reports.values())

    def test_names(self, make_dqn, play):
        _, (before, after, *_) = play(make_dqn(learning_starts=100), 0, 75)
        assert before.keys() == ALL  # nothing learnt, nothing to say
        assert after.keys() == ALL | LEARNT

    def test_numbers_are_means_since_the_last_report(self, make_dqn, play, monkeypatch):
        agent = make_dqn(learning_starts=100, total_steps=2_000, learning_rate=1e-3, learning_rate_schedule="linear")
        learn, seen = agent._learn, []
        monkeypatch.setattr(agent, "_learn", lambda: seen.append(learn()) or seen[-1])
        _, rows = play(agent, 0, 75)
        assert [row["policy/gradient_steps"] for row in rows] == [0, 25, 25]
        for row, part in zip(rows[1:], (seen[:25], seen[25:]), strict=True):
            means = np.mean([numbers.tolist() for numbers in part], axis=0)
            found = [row[name] for name in ("loss/td", "value/mean", "value/target", "loss/gradient_norm")]
            np.testing.assert_allclose(found, means, rtol=1e-5)
        # From 1 to 0.05 in the first 200 of 2000 steps; the rate from 1e-3 to 0 in all of them.
        np.testing.assert_allclose([row["policy/epsilon"] for row in rows], [0.525, 0.05, 0.05])
        np.testing.assert_allclose([row["policy/learning_rate"] for row in rows], [9.5e-4, 9e-4, 8.5e-4])

    def test_the_importance_exponent_follows_its_schedule(self, make_dqn, play, monkeypatch):
        agent = make_dqn(total_steps=400, prioritised=True, importance=Schedule(0.4, 1.0, 0.5))
        sample, betas = agent.replay.sample, []
        monkeypatch.setattr(agent.replay, "sample", lambda chance, beta: betas.append(beta) or sample(chance, beta))
        play(agent, 0, 100)
        steps = np.arange(44, 401, 4)
        np.testing.assert_allclose(betas, np.minimum(0.4 + 0.6 * steps / 200, 1.0))

    @pytest.mark.parametrize("limit", [None, 0.5, 2.0])
    def test_rewards_are_cut_where_they_shall_be(self, limit, make_dqn, play):
        rewards = {}
        for clip in (None, limit):
            agent = make_dqn(num_envs=2, n_step=1, clip_reward=clip, update_every=10_000)
            play(agent, 0, 90)
            rewards[clip] = agent.replay.sample((np.arange(178) + 0.5) / 178).return_
        assert abs(rewards[None]).max() > 2.0
        largest = np.inf if limit is None else limit
        np.testing.assert_array_equal(rewards[limit], np.clip(rewards[None], -largest, largest))


class TestTarget:
    @pytest.mark.parametrize(("mix", "every"), [(1.0, 5), (0.25, 3), (0.01, 1)])
    def test_copies_and_mixes_come_on_time_and_exactly(self, mix, every, make_dqn, play):
        agent = make_dqn(target_mix=mix, target_every=every, learning_rate=1e-2)
        expected, apart = weights(agent.network), 0
        assert all(same(weights(agent.target), expected))
        play(agent, 0, 10)
        for t in range(10, 40):
            play(agent, t, t + 1)
            assert agent.updates == t - 9  # one each step
            if agent.updates % every == 0:
                new = weights(agent.network)
                expected = [
                    new_ if mix == 1 else old + mix * (new_ - old) for old, new_ in zip(expected, new, strict=True)
                ]
            found = weights(agent.target)
            for a, b in zip(found, expected, strict=True):
                torch.testing.assert_close(a, b, rtol=0, atol=0 if mix == 1 else 1e-6)
            apart += not any(same(found, weights(agent.network)))
        assert apart == {1.0: 24, 0.25: 30, 0.01: 30}[mix]

    def test_the_target_has_weights_of_its_own(self, make_dqn):
        agent = make_dqn()
        with torch.no_grad():
            agent.optimiser.vector.fill_(7.0)
        assert all((parameter == 7.0).all() for parameter in agent.network.parameters())
        assert not any((parameter == 7.0).any() for parameter in agent.target.parameters())


class TestActing:
    def test_first_steps_are_random_and_then_epsilon_decides(self, make_dqn, play):
        agent = make_dqn(epsilon=NEVER, learning_starts=1_200, update_every=10_000)
        early, _ = play(agent, 0, 300)
        assert np.abs(np.bincount(early.reshape(-1), minlength=3) / 1_200 - 1 / 3).max() < 0.06
        best = []
        act = agent.act

        def spy(observation, memory, is_first, *, explore):
            best.append(act(observation, memory, is_first, explore=False).action)
            return act(observation, memory, is_first, explore=explore)

        agent.act = spy
        late, _ = play(agent, 300, 350)
        np.testing.assert_array_equal(late, best)
        assert len(np.unique(late)) > 1

    def test_random_actions_last_where_they_shall(self, make_dqn, play):
        """By chance one of three actions follows itself in a third of the steps, at persistence p in p + (1 - p) / 3.

        An episode, of which a fifth ends with any step, begins anew."""
        for persistence in (0.0, 0.9):
            actions, _ = play(make_dqn(epsilon=ALWAYS, persistence=persistence, update_every=10_000), 0, 1_000)
            expected = 0.8 * (persistence + (1 - persistence) / 3) + 0.2 / 3
            assert np.mean(actions[1:] == actions[:-1]) == pytest.approx(expected, abs=0.03)

    def test_greedy_actions_do_not_last(self, make_dqn, play):
        plain, lasting = (make_dqn(epsilon=NEVER, persistence=p, learning_starts=40) for p in (0.0, 0.999))
        plain.global_step = lasting.global_step = 40
        plain.updates = lasting.updates = 1_000  # so that neither learns
        actions, _ = play(plain, 0, 50)
        np.testing.assert_array_equal(play(lasting, 0, 50)[0], actions)
        assert len(np.unique(actions)) > 1

    def test_evaluation_neither_holds_nor_is_held(self, make_dqn, play):
        agent = make_dqn(epsilon=ALWAYS, persistence=0.999)
        play(agent, 0, 5)
        held, seen = agent.persistence.held, np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
        assert len(np.unique(agent.act(seen, (), np.zeros(9, bool), explore=False).action)) > 1
        np.testing.assert_array_equal(agent.persistence.held, held)

    def test_the_greedy_action_has_the_largest_value_and_draws_nothing(self, make_dqn, monkeypatch):
        for settings in ({}, {"noisy": True}, {"distribution": "quantile", "atoms": 7}, {"head_hidden": 8}):
            agent = make_dqn(**settings)
            for chance in (agent.acting_chance, agent.acting_noise):
                monkeypatch.setattr(chance, "row", lambda index: pytest.fail("chance was drawn"))
            observation = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
            decision = agent.act(observation, (), np.zeros(9, bool), explore=False)
            with torch.no_grad():
                x = torch.relu(agent.network.backbone.layers[0](torch.from_numpy(observation)))
                numbers = agent.network.head(x[None], None)[0]
                np.testing.assert_array_equal(decision.action, numbers.mean(dim=-1).argmax(dim=-1).numpy())
            assert len(np.unique(decision.action)) > 1

    def test_evaluation_disturbs_nothing(self, make_dqn, play):
        settings = {"noisy": True, "epsilon": Schedule(0.5, 0.5)}
        disturbed, plain = make_dqn(**settings), make_dqn(**settings)
        for t in range(50):
            disturbed.act(np.zeros((9, 4), np.float32), (), np.zeros(9, bool), explore=False)
            np.testing.assert_array_equal(play(disturbed, t, t + 1)[0], play(plain, t, t + 1)[0])
        assert all(same(weights(disturbed.network), weights(plain.network)))

    def test_actions_that_do_not_start_at_zero(self, make_dqn, play):
        """The world gets 5 to 7, learning gets 0 to 2: action 7 alone pays, and is what is learnt."""
        agent = make_dqn(action_space=spaces.Discrete(3, start=5), gamma=0.0, learning_rate=1e-2, epsilon=ALWAYS)
        add, last = agent.replay.add, {}

        def paid(observation, choice, step, is_first):
            assert choice.min() >= 0
            assert choice.max() <= 2
            add(observation, choice, step._replace(reward=(last["action"] == 7).astype(float)), is_first)

        agent.replay.add = paid
        act = agent.act

        def spy(*args, **kwargs):
            decision = act(*args, **kwargs)
            last["action"] = decision.action
            return decision

        agent.act = spy
        actions, _ = play(agent, 0, 250)
        assert set(np.unique(actions)) == {5, 6, 7}
        greedy = act(np.zeros((4, 4), np.float32), (), np.zeros(4, bool), explore=False)
        assert greedy.action.tolist() == [7] * 4

    def test_the_global_streams_are_left_alone(self, make_dqn, play):
        torch.manual_seed(5)
        np.random.seed(5)
        before = torch.get_rng_state(), np.random.get_state()[1].copy()
        play(make_dqn(noisy=True, prioritised=True), 0, 30)
        assert torch.equal(before[0], torch.get_rng_state())
        np.testing.assert_array_equal(before[1], np.random.get_state()[1])


class TestNoise:
    def test_exploring_trembles_and_evaluating_does_not(self, make_dqn, monkeypatch):
        agent = make_dqn(noisy=True, epsilon=NEVER)
        agent.global_step = 400
        preferences, seen = agent.network.preferences, []

        def spy(*args):
            result = preferences(*args)
            seen.append(result[0])
            return result

        monkeypatch.setattr(agent.network, "preferences", spy)
        observation, first = np.ones((4, 4), np.float32), np.zeros(4, bool)
        for explore in (True, True, False, False):
            agent.act(observation, (), first, explore=explore)
            agent.global_step += 4
        one, other, greedy, again = seen
        assert (one != other).all()
        assert len(np.unique(one[:, 0])) == 4  # every world trembles by itself
        assert len(np.unique(greedy[:, 0])) == 1
        np.testing.assert_array_equal(greedy, again)

    def test_spreads_are_learnt(self, make_dqn, play):
        agent = make_dqn(noisy=True, head_hidden=8, dueling=True)
        before = {name: part.clone() for name, part in agent.network.named_parameters() if "spread" in name}
        assert len(before) == 8
        play(agent, 0, 30)
        for name, part in agent.network.named_parameters():
            if name in before:
                assert (part != before[name]).float().mean() > 0.4, name

    @pytest.mark.parametrize("double", [False, True])
    def test_every_pass_of_a_gradient_step_has_a_noise_of_its_own(self, double, make_dqn, play, monkeypatch):
        agent = make_dqn(noisy=True, double=double)
        play(agent, 0, 11)
        noises = []
        for network in (agent.network, agent.target):
            head = network.head.forward
            monkeypatch.setattr(
                network.head, "forward", lambda x, noise, head=head: noises.append(noise) or head(x, noise)
            )
        agent._learn()
        agent.updates += 1
        agent._learn()
        assert len(noises) == (6 if double else 4)
        assert len({tuple(noise.tolist()) for noise in noises}) == len(noises)


class TestRefusals:
    def test_a_backbone_with_memory(self, make_dqn):
        with pytest.raises(ValueError, match="this backbone has memory: r2d2 and ppo take it"):
            make_dqn(backbone=GRUConfig())

    @pytest.mark.parametrize(
        "space", [spaces.Box(-1, 1, (2,), np.float32), spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(3)]
    )
    def test_actions_that_are_not_discrete(self, space, make_dqn):
        with pytest.raises(ValueError, match=r"the actions are .*: Q-learning needs Discrete ones; PPO takes these"):
            make_dqn(action_space=space)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("gamma", 1.5), ("gamma", -0.1), ("learning_rate", 0.0), ("learning_rate", float("inf")), ("batch_size", 0),
            ("update_every", 0), ("learning_starts", -1), ("replay_capacity", 0), ("n_step", 0), ("atoms", 1),
            ("priority_exponent", -0.5), ("priority_exponent", 1.1), ("head_hidden", -1), ("target_every", 0),
            ("target_mix", 0.0), ("target_mix", 1.5), ("max_gradient_norm", float("nan")), ("adam_epsilon", 0.0),
            ("report_every", 0), ("persistence", -0.1), ("persistence", 1.0), ("clip_reward", 0.0),
            ("clip_reward", -1.0),
        ],
    )  # fmt: skip
    def test_values_out_of_range_are_refused_by_name(self, field, value):
        with pytest.raises(ValueError, match=rf"{field} is {value}: it must"):
            dataclasses.replace(DQNConfig(), **{field: value})

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    def test_atoms_without_end(self, value):
        with pytest.raises(ValueError, match=rf"highest_value is {value}: it must be a finite number"):
            DQNConfig(highest_value=value)

    @pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, -2.0)])
    def test_atoms_the_wrong_way_round(self, low, high):
        with pytest.raises(ValueError, match=rf"highest_value is {high}: it must be above lowest_value {low}"):
            DQNConfig(lowest_value=low, highest_value=high)

    @pytest.mark.parametrize("prioritised", [False, True])
    @pytest.mark.parametrize(
        ("distribution", "cause"),
        [("none", "reward"), ("quantile", "reward"), ("none", "weights"), ("categorical", "weights"),
         ("quantile", "weights")],
    )  # fmt: skip
    def test_divergence_is_named(self, prioritised, distribution, cause, make_dqn, play, monkeypatch):
        agent = make_dqn(prioritised=prioritised, distribution=distribution)
        play(agent, 0, 25)
        if cause == "weights":
            agent.optimiser.vector.fill_(torch.nan)
        else:
            sample, nothing = agent.replay.sample, np.full(16, np.nan, np.float32)
            monkeypatch.setattr(agent.replay, "sample", lambda *args: sample(*args)._replace(return_=nothing))
        with pytest.raises(KeelError, match=r"loss/td is nan in update \d+, step \d+: training has diverged"):
            play(agent, 25, 50)

    def test_a_learning_rate_that_explodes_is_named(self, make_dqn, play):
        with pytest.raises(KeelError, match=r"\w+/\w+ is (nan|-?inf) in update \d+, step \d+: training has diverged"):
            play(make_dqn(learning_rate=1e30, loss="mse", backbone=MLPConfig(hidden=(8,))), 0, 25)
