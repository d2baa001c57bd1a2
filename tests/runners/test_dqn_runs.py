"""DQN and its kin as runs: presets, checkpoints, the rows between gradient steps, and what is refused."""

import gc
import json

import numpy as np
import pytest

import keel as keel_package
from keel.agents.dqn import DQNConfig
from keel.agents.ppo import PPOConfig
from keel.agents.schedule import Schedule
from keel.networks.backbone import CNNConfig, MLPConfig
from keel.runners import checkpoint
from keel.runners.loop import Loop
from keel.runners.options import default_settings, read_options
from keel.runners.presets.find import DQN_KIN, PRESETS, plain_preset
from keel.runners.run import Run
from keel.runners.settings import Settings

CARTPOLE = "keel/CartPole-v0"
SHORT = {
    "total_steps": 640,
    "num_envs": 4,
    "learning_starts": 64,
    "batch_size": 16,
    "replay_capacity": 256,
    "report_every": 160,
    "evaluate_every": 320,
    "evaluate_episodes": 3,
    "video": False,
}
FLAGS = [part for name, value in SHORT.items() for part in (f"--{name.replace('_', '-')}", str(value))]


@pytest.mark.parametrize("agent", ["dqn", "dqn-2015", "rainbow"])
def test_a_run_from_training_to_judgement(keel, tmp_path, agent):
    path = tmp_path / "run"
    outcome = keel("train", agent, "--env", CARTPOLE, "--run-dir", path, *FLAGS)
    assert outcome.code == 0, outcome.error
    run = Run.open(path)
    assert run.config["agent"] == agent
    rows = [row for row in run.metrics() if "policy/epsilon" in row]
    assert [row["global_step"] for row in rows] == [160, 320, 480, 640]
    # 96 steps of the first 160 and all of the later ones come after the random ones, a gradient step for every four.
    assert [row["policy/gradient_steps"] for row in rows] == [24.0, 40.0, 40.0, 40.0]
    judged = keel("evaluate", path, "--episodes", 5, "--json")
    assert judged.code == 0, judged.error
    assert 8.0 <= json.loads(judged.out)["mean"] <= 500.0


def test_the_best_checkpoint_holds_the_network_alone(keel, tmp_path):
    """A replay in it would take gigabytes, and nobody acts with one."""
    path = tmp_path / "run"
    assert keel("train", "dqn", "--env", CARTPOLE, "--run-dir", path, *FLAGS).code == 0
    best = checkpoint.load(checkpoint.resolve(path, "best")).state["agent"]
    last = checkpoint.load(checkpoint.resolve(path, "last")).state["agent"]
    assert set(best) == {"network"}
    assert {"network", "target", "optimiser", "replay"} <= set(last)
    observation = np.zeros(4, np.float32)
    for which in ("best", "last"):
        assert keel_package.load(path, which).act(observation) in (0, 1)


def test_the_settings_survive_config_json():
    settings = default_settings("rainbow", "CartPole-v1", None, {})
    assert Settings.from_json(json.loads(json.dumps(settings.to_json()))) == settings
    assert settings.hyperparameters.importance == Schedule(0.4, 1.0)


def test_a_wrong_schedule_in_config_json_is_named():
    config = json.loads(json.dumps(default_settings("dqn", "CartPole-v1", None, {}).to_json()))
    config["hyperparameters"]["epsilon"] = {"start": 1.0, "end": 2.0, "fraction": 0.1}
    with pytest.raises(ValueError, match=r"end is 2.0: it must lie between 0 and 1"):
        Settings.from_json(config)
    config["hyperparameters"]["epsilon"] = {"begin": 1.0}
    with pytest.raises(ValueError, match=r"hyperparameters.epsilon.begin is not a setting"):
        Settings.from_json(config)
    config["hyperparameters"]["epsilon"] = 0.1
    with pytest.raises(ValueError, match=r"hyperparameters.epsilon is 0.1: expected an object of settings"):
        Settings.from_json(config)


def test_schedules_on_the_command_line():
    arguments = ["--env", "CartPole-v1", "--epsilon.end", "0.2", "--epsilon.fraction", "0.5", "--double", "False"]
    settings, _ = read_options("dqn", arguments)
    assert (settings.hyperparameters.epsilon.end, settings.hyperparameters.epsilon.fraction) == (0.2, 0.5)
    assert settings.hyperparameters.double is False


@pytest.mark.parametrize(
    ("agent", "switches"),
    [
        ("dqn", {"double": True, "dueling": True, "prioritised": False, "distribution": "none", "noisy": False}),
        ("dqn-2015", {"double": False, "dueling": False, "n_step": 1, "prioritised": False, "noisy": False}),
        ("rainbow", {"double": True, "dueling": True, "n_step": 3, "prioritised": True, "noisy": True}),
    ],
)
def test_the_kin_differ_by_their_switches_alone(agent, switches):
    for env in ("CartPole-v1", "LunarLander-v3", "MinAtar/Breakout-v1"):
        preset, base = PRESETS[agent, env], PRESETS["dqn", env]
        assert isinstance(preset.hyperparameters, DQNConfig)
        assert {name: getattr(preset.hyperparameters, name) for name in switches} == switches
        changed = {
            name
            for name in vars(base.hyperparameters)
            if getattr(preset.hyperparameters, name) != getattr(base.hyperparameters, name)
        }
        assert changed <= set(DQN_KIN.get(agent, {}))
        assert (preset.training, preset.backbone) == (base.training, base.backbone)


def test_plain_defaults_fit_the_agent():
    assert isinstance(plain_preset("ppo", (4,)).hyperparameters, PPOConfig)
    assert plain_preset("rainbow", (4,)).hyperparameters.distribution == "categorical"
    assert plain_preset("pqn", (4,)).backbone == MLPConfig(hidden=(128, 128), activation="relu", layer_norm=True)
    small = plain_preset("pqn", (4, 10, 10)).backbone
    assert isinstance(small, CNNConfig)
    assert (small.variant, small.layer_norm) == ("small", True)
    assert plain_preset("dqn", (4, 84, 84)).backbone == CNNConfig()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--env Pendulum-v1", "Q-learning needs Discrete ones; PPO takes these"),
        ("--env CartPole-v1 --learning-starts 10", "learning_starts is 10: with 16 worlds and n_step 10"),
        ("--env CartPole-v1 --replay-capacity 50", "capacity is 50"),
        ("--env MountainCar-v0 --total-steps 3000", "learning_starts 5000: no gradient step would be made"),
        ("--env CartPole-v1 --gamma 1.5", "gamma is 1.5: it must lie between 0 and 1"),
        ("--env CartPole-v1 --lowest-value 5 --highest-value 5", "highest_value is 5"),
        ("--env CartPole-v1 --epsilon.start 7", "start is 7"),
        ("--env CartPole-v1 --backbone cnn", "this observation is a vector"),
        ("--env CartPole-v1 --replay-folder /nowhere/at/all", "/nowhere/at/all"),
    ],
)
def test_what_cannot_be_is_refused_before_a_folder_is_made(keel, tmp_path, arguments, expected):
    path = tmp_path / "run"
    outcome = keel("train", "dqn", *arguments.split(), "--run-dir", path)
    assert outcome.code != 0
    assert expected in outcome.error + outcome.out
    assert not path.exists()


def test_a_longer_end_says_that_schedules_stretch(keel, tmp_path):
    path = tmp_path / "run"
    assert keel("train", "dqn", "--env", CARTPOLE, "--run-dir", path, *FLAGS).code == 0
    outcome = keel("resume", path, "--total-steps", 960)
    assert outcome.code == 0, outcome.error
    assert "schedules that run over the whole training are stretched to 960 steps" in outcome.out
    assert Run.open(path).metrics()[-1]["global_step"] == 960


def test_a_resumed_replay_is_in_memory_once(keel, tmp_path, monkeypatch):
    path = tmp_path / "run"
    assert keel("train", "dqn", "--env", CARTPOLE, "--run-dir", path, *FLAGS).code == 0
    alive = []

    def look(self, total_steps, on_update):
        gc.collect()
        found = (thing for thing in gc.get_objects() if type(thing) is checkpoint.Checkpoint)
        alive.extend(thing.path for thing in found if thing.path.is_relative_to(path))

    monkeypatch.setattr(Loop, "run", look)
    assert keel("resume", path, "--total-steps", 960).code == 0
    assert alive == []
