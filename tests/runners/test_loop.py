"""The loop and the evaluation on worlds that can be counted by hand."""

import random

import numpy as np
import pytest
import torch

from keel.runners.evaluate import evaluate_agent
from keel.runners.loop import Loop, global_chance, restore_global_chance


def test_the_loop_reports_episodes_and_stops_at_an_update(constant_agent, counting_env):
    """Two worlds with episodes of 3 and 4 steps, updates every 4 steps of both."""
    loop, rows = Loop(constant_agent(update_every=4), counting_env(2, length=3), seed=0), []
    loop.start()
    loop.run(18, lambda metrics: rows.append(metrics) or False)
    # after 4 steps: one episode of 3 and one of 4; after 8: 3 ended at 6, 4 at 8; after 12: 3 at 9 and 12, 4 at 12
    assert [row["train/episode_return"] for row in rows] == [3.5, 3.5, (3 + 3 + 4) / 3]
    assert [row["train/episodes"] for row in rows] == [2.0, 4.0, 7.0]
    assert loop.global_step == 24  # the first update at or after 18

    loop.run(24, lambda metrics: pytest.fail("there was nothing left to do"))


def test_the_loop_stops_when_told(constant_agent, counting_env):
    loop = Loop(constant_agent(update_every=2), counting_env(2), seed=0)
    loop.start()
    loop.run(1000, lambda metrics: metrics["loss/updates"] == 3)
    assert loop.global_step == 12


def test_rows_without_an_ended_episode_have_no_return(constant_agent, counting_env):
    loop, rows = Loop(constant_agent(update_every=2), counting_env(2, length=5), seed=0), []
    loop.start()
    loop.run(4, lambda metrics: rows.append(metrics) or False)
    assert "train/episode_return" not in rows[0]


def test_a_restored_loop_goes_on(constant_agent, counting_env):
    straight, resumed = (Loop(constant_agent(), counting_env(3), seed=0) for _ in range(2))
    straight.start()
    straight.run(12, lambda metrics: False)
    resumed.agent.load_state_dict(straight.agent.state_dict())
    resumed.load_state_dict(straight.state_dict())
    rows: tuple[list, list] = ([], [])
    for loop, into in zip((straight, resumed), rows, strict=True):
        loop.run(60, lambda metrics, into=into: into.append(metrics) or False)
    assert rows[0] == rows[1]
    assert len(rows[0]) == 4


def test_worlds_that_cannot_be_restored_begin_anew(constant_agent, counting_env):
    envs = counting_env(2)
    envs.resume = "approximate"
    loop = Loop(constant_agent(update_every=1), envs, seed=0)
    loop.start()
    loop.run(2, lambda metrics: False)
    loop.load_state_dict(loop.state_dict())
    assert loop.is_first.all()
    assert not loop.episodes.return_.any()


def test_global_chance_comes_back():
    state = global_chance()
    first = random.random(), np.random.random(), torch.rand(3)
    random.gauss(0, 1)
    np.random.normal()
    restore_global_chance(state)
    assert random.random() == first[0]
    assert np.random.random() == first[1]
    assert torch.equal(torch.rand(3), first[2])


@pytest.mark.parametrize(("episodes", "worlds"), [(1, 1), (5, 2), (2, 5), (7, 3)])
def test_evaluation_counts_every_world_alike(constant_agent, counting_env, episodes, worlds):
    """World i has episodes of 3 + i steps: each plays its share, however short its episodes are."""
    found = evaluate_agent(constant_agent(), counting_env(worlds), episodes=episodes, seed=0)
    expected = sorted(3 + episode % worlds for episode in range(episodes))
    assert sorted(found.lengths.tolist()) == expected
    assert found.returns.tolist() == found.lengths.tolist()
    summary = found.summary()
    assert summary["mean"] == pytest.approx(np.mean(expected))
    assert (summary["min"], summary["max"], summary["episodes"]) == (expected[0], expected[-1], episodes)
