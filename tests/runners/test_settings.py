"""Settings as JSON: nothing lost on the way, nothing silently accepted; and every preset fits its world."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keel.agents.ppo import PPOConfig
from keel.envs import vector
from keel.networks.backbone import CNNConfig, MLPConfig
from keel.runners.options import default_settings, read_options
from keel.runners.presets.find import DQN_KIN, PRESETS
from keel.runners.settings import Settings, Training
from keel.runners.train import build

EXAMPLE = Settings("ppo", "CartPole-v1", 3, Training(), PPOConfig(), MLPConfig())


@given(
    seed=st.integers(0, 2**40),
    gamma=st.floats(0, 1),
    target_kl=st.none() | st.floats(1e-9, 10),
    hidden=st.lists(st.integers(1, 512), min_size=1).map(tuple),
    options=st.dictionaries(st.text(max_size=5), st.integers() | st.booleans() | st.text(max_size=5), max_size=3),
)
def test_round_trip(seed, gamma, target_kl, hidden, options):
    settings = Settings(
        "ppo",
        "CartPole-v1",
        seed,
        Training(env_options=options),
        PPOConfig(gamma=gamma, target_kl=target_kl),
        MLPConfig(hidden=hidden),
    )
    assert Settings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


def test_round_trip_of_images():
    settings = dataclasses.replace(EXAMPLE, backbone=CNNConfig(variant="impala", channels=(16, 32)))
    assert Settings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("hyperparameters", "gama"), 0.9, r"hyperparameters\.gama is not a setting; did you mean 'gamma'"),
        (("hyperparameters", "gamma"), "0.9", r"gamma is '0\.9': expected float without quotes"),
        (("hyperparameters", "gamma"), True, r"gamma is True: expected float"),
        (("hyperparameters", "gamma"), 1.5, r"gamma is 1\.5: it must lie between 0 and 1"),
        (("hyperparameters", "num_steps"), 12.5, r"num_steps is 12\.5: expected int"),
        (("hyperparameters", "learning_rate_schedule"), "cosine", r"it can be 'constant', 'linear'"),
        (("training", "total_steps"), None, r"total_steps is None: expected int"),
        (("training", "workers"), 9, r"workers is 9: more than the 8 worlds"),
        (("backbone", "kind"), "mpl", r"backbone\.kind is 'mpl'; did you mean 'mlp'"),
        (("backbone", "hidden"), 64, r"backbone\.hidden is 64"),
        (("agent",), "pppo", r"agent is 'pppo'; did you mean 'ppo'"),
        (("seed",), -1, r"seed is -1: it must be at least 0"),
    ],
)
def test_bad_values_are_named(place, value, message):
    config = json.loads(json.dumps(EXAMPLE.to_json()))
    inner = config
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(ValueError, match=message):
        Settings.from_json(config)


def test_missing_parts_are_named():
    with pytest.raises(ValueError, match="has no 'training'"):
        Settings.from_json({"agent": "ppo", "env": "CartPole-v1", "seed": 0})


# The kin of DQN share its presets, and the games of a family theirs.
DISTINCT = {
    str((agent not in DQN_KIN or env == "CartPole-v1", preset)): (agent, env)
    for (agent, env), preset in reversed(PRESETS.items())
}


@pytest.mark.parametrize(("agent", "env"), DISTINCT.values())
def test_presets_fit_their_worlds(agent, env):
    settings = default_settings(agent, env, None, {})
    try:
        loop = build(settings)
    except ImportError as error:
        pytest.skip(str(error))
    loop.envs.close()
    hyperparameters = settings.hyperparameters
    steps = getattr(hyperparameters, "num_steps", getattr(hyperparameters, "n_steps", 0))
    first = steps * loop.envs.num_envs or hyperparameters.learning_starts
    assert settings.training.total_steps >= first > 0


def test_every_preset_the_issue_of_presets_names():
    named = {"CartPole-v1", "Acrobot-v1", "MountainCar-v0", "Pendulum-v1", "LunarLander-v3", "LunarLanderContinuous-v3"}
    named |= {"BipedalWalker-v3", "MountainCarContinuous-v0", "keel/CartPole-v0"}
    assert named <= {env for agent, env in PRESETS if agent == "ppo"}


class TestCommandLine:
    def test_the_preset_is_the_default_and_every_field_can_be_set(self):
        preset = default_settings("ppo", "CartPole-v1", None, {})
        arguments = ["--env", "CartPole-v1", "--gamma", "0.5", "--num-envs", "4", "--backbone.hidden", "8", "9"]
        settings, launch = read_options("ppo", [*arguments, "--seed", "7", "--json"])
        assert settings.hyperparameters == dataclasses.replace(preset.hyperparameters, gamma=0.5)
        assert settings.training == dataclasses.replace(preset.training, num_envs=4)
        assert settings.backbone == MLPConfig(hidden=(8, 9))
        assert (settings.seed, launch.json, launch.seeds) == (7, True, 1)

    def test_options_of_the_world(self):
        settings, _ = read_options("ppo", ["--env", "LunarLander-v3", "--env.gravity", "-5", "--env.enable-wind=true"])
        assert settings.training.env_options == {"gravity": -5, "enable_wind": True}

    def test_words_of_python_and_json_mean_the_same(self):
        arguments = [
            f"--env.{name}={word}"
            for name, word in zip("abcdef", ["None", "null", "True", "true", "1e3", "on"], strict=True)
        ]
        settings, _ = read_options("ppo", ["--env", "CartPole-v1", *arguments])
        assert settings.training.env_options == {"a": None, "b": None, "c": True, "d": True, "e": 1000.0, "f": "on"}

    def test_a_world_without_preset_is_looked_at_as_it_will_be_made(self, monkeypatch):
        """An id that only EnvPool has cannot be made by anything else."""
        calls = []
        make_vec = vector.make_vec

        def make_another(env_id, num_envs, **options):
            calls.append((env_id, options))
            return make_vec("keel/CartPole-v0", num_envs)

        monkeypatch.setattr(vector, "make_vec", make_another)
        arguments = ["--env", "Only-EnvPool-v0", "--backend", "envpool", "--frame_stack", "3", "--env.x", "1"]
        settings, _ = read_options("ppo", arguments)
        assert (settings.training.backend, settings.training.frame_stack) == ("envpool", 3)
        default_settings("ppo", "Only-EnvPool-v0", None, {"x": 1}, backend="envpool", frame_stack=3)
        options = {"env_options": {"x": 1}, "backend": "envpool", "frame_stack": 3}
        assert calls == [("Only-EnvPool-v0", options)] * 2

    def test_images_get_convolutions(self):
        """A world without a preset: what its observations ask for."""
        settings, _ = read_options("ppo", ["--env", "CarRacing-v3", "--backbone.features", "64"])
        assert settings.backbone == CNNConfig(features=64)

    def test_the_backbone_is_chosen_by_name(self):
        settings, _ = read_options("ppo", ["--env", "CartPole-v1", "--backbone", "cnn", "--backbone.variant", "impala"])
        assert settings.backbone == CNNConfig(variant="impala")
        with pytest.raises(ValueError, match="backbone is 'cnnn'; did you mean 'cnn'"):
            read_options("ppo", ["--env", "CartPole-v1", "--backbone", "cnnn"])

    def test_a_file_of_settings_is_the_default(self, tmp_path):
        settings = dataclasses.replace(EXAMPLE, hyperparameters=PPOConfig(epochs=9), backbone=MLPConfig(hidden=(5,)))
        (tmp_path / "config.json").write_text(json.dumps(settings.to_json()))
        found, _ = read_options("ppo", ["--config", str(tmp_path / "config.json"), "--gamma", "0.25"])
        assert found == dataclasses.replace(settings, hyperparameters=PPOConfig(epochs=9, gamma=0.25))

    def test_misspelt_options_suggest_the_right_one(self, capsys):
        with pytest.raises(SystemExit):
            read_options("ppo", ["--env", "CartPole-v1", "--gama", "0.9"])
        assert "--gamma" in capsys.readouterr().err
