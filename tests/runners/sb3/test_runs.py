"""Stable-Baselines3's algorithms in Keel's run folders: train, judge, load, stop; and what is refused."""

from __future__ import annotations

import json
import os
import signal

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

import keel as keel_package
from keel.envs.seeding import derive_seed
from keel.envs.vector import make_vec
from keel.runners import checkpoint
from keel.runners.agents import load_policy_state, make_agent, make_worlds, policy_state
from keel.runners.options import default_settings
from keel.runners.presets.find import PRESETS
from keel.runners.run import Run
from keel.runners.sb3.agent import as_channels_first
from keel.runners.sb3.loop import MeanLogger, SB3Loop
from keel.runners.sb3.settings import SB3_AGENTS, SB3DQNConfig, SB3PPOConfig, SB3SACConfig, SB3TD3Config
from keel.runners.sb3.worlds import SB3Worlds
from keel.runners.settings import Settings
from keel.runners.trainer import Trainer

QUICK = "--total-steps 240 --num-envs 2 --report-every 60 --evaluate-every 120 --evaluate-episodes 2 --video False"
OFF_POLICY = "--learning-starts 40 --batch-size 16 --buffer-size 1000 --train-freq 2 --gradient-steps 1"
FLAGS = {
    "sb3-sac": f"--env Pendulum-v1 {OFF_POLICY} --backbone.hidden 16 --head 16",
    "sb3-td3": f"--env Pendulum-v1 {OFF_POLICY} --backbone.hidden 16 --head 16",
    "sb3-dqn": f"--env CartPole-v1 {OFF_POLICY} --backbone.hidden 16",
    "sb3-a2c": "--env CartPole-v1 --backbone.hidden 16",
    "sb3-ppo": "--env CartPole-v1 --n-steps 20 --batch-size 20 --n-epochs 2 --backbone.hidden 16",
}


@pytest.fixture
def quick(keel, without_report, tmp_path):
    """Trains an agent for a moment; gives the outcome and the run's folder."""

    def train(agent, more="", name="run"):
        path = tmp_path / name
        outcome = keel("train", agent, "--run-dir", path, *QUICK.split(), *FLAGS[agent].split(), *more.split())
        return outcome, path

    return train


@pytest.mark.parametrize("agent", SB3_AGENTS)
def test_a_run_from_training_to_judgement(keel, quick, agent):
    outcome, path = quick(agent)
    assert outcome.code == 0, outcome.error
    run = Run.open(path)
    assert run.status()["state"] == "finished"
    assert run.environment()["resume"] == "none"
    rows = run.metrics()
    # Rows come with the end of the first rollout at or beyond a multiple of 60; PPO's are of 40 steps.
    expected = {"sb3-ppo": [80, 120, 200, 240]}.get(agent, [60, 120, 180, 240])
    assert [row["global_step"] for row in rows] == expected
    assert [row["global_step"] for row in rows if "eval/return" in row] == [120, 240]
    assert any("train/episode_return" in row for row in rows) == (agent in ("sb3-dqn", "sb3-a2c", "sb3-ppo"))
    learnt = [name for name in rows[-1] if name.startswith("loss/")]
    assert learnt
    assert all(np.isfinite(rows[-1][name]) for name in learnt)
    best = checkpoint.load(checkpoint.resolve(path, "best"), agent=agent)
    assert set(best.state) == {"agent"}
    assert set(best.state["agent"]) == {"network"}
    assert {file.suffix for file in path.rglob("*") if file.is_file()} <= {".json", ".jsonl", ".safetensors", ""}
    if agent in ("sb3-sac", "sb3-td3", "sb3-dqn"):  # one after every four steps beyond the first 40 random ones
        assert [row["policy/gradient_steps_so_far"] for row in rows] == [5.0, 20.0, 35.0, 50.0]
    judged = keel("evaluate", path, "--episodes", 3, "--json")
    assert judged.code == 0, judged.error
    assert judged.json["episodes"] == 3


def test_a_loaded_policy_acts_as_the_algorithm_does():
    """Weights go from the algorithm to safetensors' state and into a policy of their own."""
    settings = default_settings("sb3-sac", "Pendulum-v1", None, {})
    envs = make_worlds(settings, 2)
    loop = SB3Loop(settings, envs, settings.hyperparameters, torch.device("cpu"))
    fresh = make_agent(settings, envs.observation_space, envs.action_space, device=torch.device("cpu"))
    observation = envs.reset(3)
    first = np.ones(2, bool)
    expected, _ = loop.model.predict(observation, deterministic=True)
    assert not np.allclose(fresh.act(observation, (), first, explore=False).action, expected)
    load_policy_state(fresh, policy_state(loop.agent))
    assert np.array_equal(fresh.act(observation, (), first, explore=False).action, expected)
    explored = [fresh.act(observation, (), first, explore=True).action for _ in range(2)]
    assert not np.array_equal(*explored)


def test_keel_load_acts_within_the_bounds(quick):
    _, path = quick("sb3-td3", "--total-steps 60")
    action = keel_package.load(path).act(np.array([1.0, 0.0, 0.0], np.float32))
    assert action.shape == (1,)
    assert -2.0 <= action[0] <= 2.0


def test_equal_runs_write_equal_bytes(quick):
    runs = ((1, "a"), (1, "b"), (2, "c"))
    one, two, other = (quick("sb3-sac", f"--total-steps 80 --seed {seed}", name)[1] for seed, name in runs)
    assert (one / "metrics.jsonl").read_bytes() == (two / "metrics.jsonl").read_bytes()
    assert (one / "metrics.jsonl").read_bytes() != (other / "metrics.jsonl").read_bytes()
    best = [checkpoint.resolve(path, "last") / "state.safetensors" for path in (one, two)]
    assert best[0].read_bytes() == best[1].read_bytes()


def test_a_signal_stops_and_saves_and_resume_is_refused(keel, quick, monkeypatch):
    after_update = Trainer.after_update

    def stop(self, metrics):
        if self.loop.global_step == 120:
            os.kill(os.getpid(), signal.SIGTERM)
        return after_update(self, metrics)

    monkeypatch.setattr(Trainer, "after_update", stop)
    outcome, path = quick("sb3-dqn")
    assert outcome.code == 143
    assert "saved the weights" in outcome.out
    run = Run.open(path)
    assert run.status()["state"] == "interrupted"
    assert run.metrics()[-1]["global_step"] == 120
    assert checkpoint.latest(run.checkpoints).name == checkpoint.step_name(120)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    resumed = keel("resume", path)
    assert resumed.code == 2
    assert "cannot be resumed: its training state is Stable-Baselines3's own" in resumed.error
    assert before == {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.mark.parametrize("env", ["keel/ProbeMultiBinary-v0", "keel/ProbeMultiDiscrete-v0"])
def test_actions_of_several_parts(quick, env):
    outcome, path = quick("sb3-ppo", f"--env {env} --total-steps 80")
    assert outcome.code == 0, outcome.error
    space = gymnasium.make(env).action_space
    assert keel_package.load(path).act(np.zeros(gymnasium.make(env).observation_space.shape, np.float32)) in space


def test_stacked_frames_give_memory(quick):
    outcome, path = quick("sb3-ppo", "--frame-stack 3 --backbone lstm --backbone.width 8")
    assert outcome.code == 0, outcome.error
    assert Run.open(path).config["backbone"]["kind"] == "lstm"


@pytest.mark.parametrize("freeze", [True, False])
def test_a_pretrained_backbone_is_taken_over(keel, quick, tmp_path, freeze):
    """From Keel's PPO to Stable-Baselines3's policy; frozen, it ends as it began."""
    source = tmp_path / "source"
    flags = "--total-steps 128 --num-envs 2 --num-steps 32 --minibatch-size 64 --backbone.hidden 16 --video False"
    assert keel("train", "ppo", "--env", "CartPole-v1", "--run-dir", source, *flags.split()).code == 0
    outcome, path = quick("sb3-dqn", f"--pretrained {source} --freeze {freeze}")
    assert outcome.code == 0, outcome.error

    def first_layer(checkpoint_path, name):
        return checkpoint.load(checkpoint_path).state["agent"]["network"][f"{name}.layers.0.weight"]

    theirs = first_layer(checkpoint.resolve(source, "best"), "actor")
    for network in ("q_net", "q_net_target"):
        begun, ended = (
            first_layer(path / "checkpoints" / checkpoint.step_name(step), f"{network}.features_extractor.backbone")
            for step in (0, 240)
        )
        assert torch.equal(begun, theirs)
        if network == "q_net":
            assert torch.equal(ended, theirs) == freeze


class TestWorlds:
    def test_steps_equal_those_of_dummy_vec_env(self):
        """Observations, rewards, ends and what `infos` say of them, up to the first end of each world."""
        limit, seed = 12, 5
        worlds = SB3Worlds(
            make_vec("CartPole-v1", 3, env_options={"max_episode_steps": limit}), seed, lambda step: None
        )
        peer = DummyVecEnv([lambda: gymnasium.make("CartPole-v1", max_episode_steps=limit)] * 3)
        peer._seeds = [derive_seed(seed, index, 0) for index in range(3)]
        assert np.array_equal(worlds.reset(), peer.reset())
        ended = np.zeros(3, bool)
        cut = []
        for _ in range(limit):
            action = np.array([0, 1, 0]) if not cut else np.array([1, 0, 1])
            action[2] = _ % 2  # this one stays up until the limit
            (o, r, d, infos), (peer_o, peer_r, peer_d, peer_infos) = worlds.step(action), peer.step(action)
            running = ~ended
            assert np.array_equal(d[running], peer_d[running])
            assert np.array_equal(r[running], peer_r[running])
            assert r.dtype == np.float32
            for row in np.flatnonzero(running):
                if d[row]:
                    assert np.array_equal(infos[row]["terminal_observation"], peer_infos[row]["terminal_observation"])
                    assert infos[row]["TimeLimit.truncated"] is bool(peer_infos[row]["TimeLimit.truncated"])
                    cut.append(infos[row]["TimeLimit.truncated"])
                else:
                    assert np.array_equal(o[row], peer_o[row])
                    assert infos[row] == {}
            ended |= d
        assert ended.all()
        assert sorted(cut) == [False, False, True]

    def test_the_value_goes_on_where_an_episode_is_cut(self, counting_env):
        """PPO's rollout adds gamma V(last observation) there, and nowhere else."""
        worlds = SB3Worlds(counting_env(num_envs=2, length=3), 0, lambda step: None)
        model = PPO("MlpPolicy", worlds, n_steps=4, batch_size=8, gamma=0.5, device="cpu")
        with torch.no_grad():
            value = model.policy.predict_values(torch.tensor([[4.0]])).item()
        model.learn(8)
        assert model.rollout_buffer.rewards[:, 0].tolist() == [1.0] * 4  # the first world terminates after 3 steps
        cut = model.rollout_buffer.rewards[:, 1]  # the second one is cut after 4
        assert cut[:3].tolist() == [1.0] * 3
        assert cut[3] == pytest.approx(1.0 + 0.5 * value)
        assert abs(value) > 1e-3

    def test_pictures_are_turned_as_the_algorithms_turn_them(self, counting_env):
        for space in (
            spaces.Box(0, 255, (9, 9, 3), np.uint8),
            spaces.Box(0, 255, (3, 9, 9), np.uint8),
            spaces.Box(0, 1, (9, 9, 3), np.float32),
            spaces.Dict({"picture": spaces.Box(0, 255, (9, 9, 3), np.uint8), "n": spaces.Discrete(2)}),
        ):
            envs = counting_env()
            envs.observation_space = space
            wrapped = PPO._wrap_env(SB3Worlds(envs, 0, lambda step: None))
            assert as_channels_first(space) == wrapped.observation_space


def test_the_logger_gives_means_by_keels_names():
    logger = MeanLogger(None, [])
    for loss, rate in ((1.0, 0.3), (2.0, 0.2), (6.0, 0.1)):
        logger.record("train/critic_loss", loss)
        logger.record("train/learning_rate", rate)

    class Model:
        _n_updates = 3
        num_timesteps = 10

    expected = {"loss/critic": 3.0, "policy/learning_rate": 0.1, "policy/gradient_steps_so_far": 3.0}
    assert logger.collect(Model()) == pytest.approx(expected)
    assert logger.collect(Model()) == {"policy/gradient_steps_so_far": 3.0}


@pytest.mark.parametrize(("agent", "env"), [key for key in PRESETS if key[0] in SB3_AGENTS])
def test_presets_survive_config_json(agent, env):
    settings = default_settings(agent, env, None, {})
    assert Settings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


@pytest.mark.parametrize(
    ("agent", "arguments", "message"),
    [
        ("sb3-sac", "--env CartPole-v1", "Stable-Baselines3's SAC needs Box"),
        ("sb3-dqn", "--env Pendulum-v1", "Stable-Baselines3's DQN needs Discrete"),
        ("sb3-sac", "--env Pendulum-v1 --total-steps 50", "no gradient step would be made"),
        ("sb3-ppo", "--env CartPole-v1 --batch-size 48", "batch_size is 48: it must divide the rollout"),
        ("sb3-ppo", "--env CartPole-v1 --backbone lstm", "the lstm backbone remembers from step to step"),
        ("sb3-ppo", "--env keel/ProbeMaskedAction-v0", "know no illegal actions"),
        ("sb3-ppo", "--env keel/ProbeNestedObservation-v0", "is a Dict inside a Dict"),
        ("sb3-dqn", "--env CartPole-v1 --backbone cnn", "the cnn backbone takes images"),
        ("sb3-a2c", "--env CartPole-v1 --gama 0.9", "--gama"),
    ],
)
def test_what_cannot_be_is_refused_before_a_folder_is_made(keel, tmp_path, agent, arguments, message):
    path = tmp_path / "run"
    outcome = keel("train", agent, *arguments.split(), "--run-dir", path)
    assert outcome.code == 2
    assert message in outcome.error + outcome.out
    assert not path.exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SB3SACConfig(head=()), r"head is \(\)"),
        (lambda: SB3SACConfig(ent_coef=-0.1), r"ent_coef is -0.1: it must be at least 0"),
        (lambda: SB3SACConfig(gradient_steps=0), r"gradient_steps is 0: it must be at least 1"),
        (lambda: SB3TD3Config(tau=1.5), r"tau is 1.5: it must lie between 0 and 1"),
        (lambda: SB3TD3Config(action_noise=-1.0), r"action_noise is -1.0"),
        (lambda: SB3DQNConfig(exploration_final_eps=2.0), r"exploration_final_eps is 2.0"),
        (lambda: SB3DQNConfig(head=(0,)), r"head is \(0,\): widths must be at least 1"),
        (lambda: SB3PPOConfig(gamma=1.01), r"gamma is 1.01"),
        (lambda: SB3PPOConfig(clip_range=0.0), r"clip_range is 0.0: it must be greater than 0"),
    ],
)
def test_settings_out_of_range_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
