"""Bad settings, worlds and checkpoints end in one clear message: the field, what it got, what would be right.

The list is what other libraries accept, or report late or without its cause (a string of a number, a typo that is
ignored, NaN rewards, a checkpoint of something else).
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import keel as keel_package
from keel.runners import cli
from keel.runners.run import Run

Keel = Callable[..., Any]

CARTPOLE = ("--env", "keel/CartPole-v0")


@pytest.fixture(scope="module", autouse=True)
def worlds() -> Iterator[None]:
    """Those of tests/envs/faulty.py, under names of their own."""
    folder = str(Path(__file__).parents[1] / "envs")
    sys.path.insert(0, folder)
    names = ("Faulty", "Sampler")
    for name in names:
        gymnasium.register(f"bad/{name}-v0", entry_point=f"faulty:{name}")
    yield
    for name in names:
        gymnasium.registry.pop(f"bad/{name}-v0")
    sys.path.remove(folder)


def refused(keel: Keel, *arguments: object) -> str:
    """What is said, on one or a few lines, where a command is refused."""
    outcome = keel(*arguments)
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    assert "Traceback" not in outcome.error
    return " ".join(outcome.error.split())


# What is wrong, and what must be said: the field, the value, and what would be right.
SETTINGS: dict[str, tuple[str, ...]] = {
    "--n-step 5": ("--n-step", "--num-steps"),
    "--learning-ratee 1": ("--learning-ratee", "--learning-rate"),
    "--backbone.hiden 64": ("--backbone.hiden", "--backbone.hidden"),
    "surplus": ("surplus",),
    "--gamma 1.5": ("gamma is 1.5", "between 0 and 1"),
    "--gamma nan": ("gamma is nan", "between 0 and 1"),
    "--gae-lambda 95": ("gae_lambda is 95", "between 0 and 1"),
    "--clip-range -0.2": ("clip_range is -0.2", "greater than 0"),
    "--clip-range-value 0": ("clip_range_value is 0", "greater than 0"),
    "--learning-rate -1": ("learning_rate is -1", "greater than 0"),
    "--learning-rate inf": ("learning_rate is inf", "greater than 0"),
    "--learning-rate fast": ("--learning-rate", "float", "'fast'"),
    "--learning-rate-schedule cosine": ("cosine", "constant", "linear"),
    "--entropy-coefficient -1": ("entropy_coefficient is -1", "at least 0"),
    "--max-gradient-norm 0": ("max_gradient_norm is 0", "greater than 0"),
    "--target-kl -1": ("target_kl is -1", "greater than 0"),
    "--minibatch-size 0": ("minibatch_size is 0", "at least 2"),
    "--minibatch-size 7": ("minibatch_size is 7", "32 worlds x 32 steps = 1024", "4 does"),
    "--num-steps 0": ("num_steps is 0", "at least 1"),
    "--epochs 0": ("epochs is 0", "at least 1"),
    "--total-steps -1": ("total_steps is -1", "at least 1"),
    "--total-steps 3e5": ("--total-steps", "int", "'3e5'"),
    "--num-envs 0": ("num_envs is 0", "at least 1"),
    "--workers 99": ("workers is 99", "32 worlds"),
    "--frame-stack -1": ("frame_stack is -1", "at least 0"),
    "--torch-threads 0": ("torch_threads is 0", "at least 1"),
    "--evaluate-episodes 0": ("evaluate_episodes is 0", "at least 1"),
    "--evaluate-every -1": ("evaluate_every is -1", "at least 0"),
    "--checkpoint-every -5": ("checkpoint_every is -5", "at least 0"),
    "--stop-at-return nan": ("stop_at_return is nan", "finite"),
    "--seed -1": ("seed is -1", "at least 0"),
    "--seeds 0": ("seeds is 0", "at least 1"),
    "--seeds 2 --name both": ("--seeds", "leave out", "--name"),
    "--name a/b": ("'a/b'", "letters, digits"),
    "--track tensorboard": ("tensorboard", "none", "wandb"),
    "--device gpu": ("device is 'gpu'", "auto, cpu, cuda"),
    "--device cuda:99": ("device is 'cuda:99'", "CUDA devices"),
    "--backbone lstmm": ("backbone is 'lstmm'", "mlp"),
    "--backbone cnn": ("cnn", "vector", "--backbone mlp"),
    "--backbone.hidden 0": ("backbone.hidden", "at least 1"),
    "--backbone.activation gelu": ("gelu", "tanh"),
    "--env.gravty 3": ("'gravty'", "got 3", "it takes"),
    "--env.gravity": ("--env.gravity", "value"),
    "--env.max_episode_steps NaN": ("option max_episode_steps is nan", "config.json"),
    "--env.max_episode_steps 1e999": ("option max_episode_steps is inf", "config.json"),
    "--frame-stack x": ("--frame-stack", "int", "'x'"),
    "--config missing.json": ("missing.json", "no such file"),
}


@pytest.mark.parametrize("arguments", SETTINGS)
@pytest.mark.usefixtures("runs_directory")
def test_a_bad_setting_is_refused_before_there_is_a_run(keel: Keel, arguments: str) -> None:
    said = refused(keel, "train", "ppo", *CARTPOLE, *arguments.split())
    assert [words for words in SETTINGS[arguments] if words not in said] == []
    assert list(Path().iterdir()) == []


WORLDS: dict[str, tuple[str, ...]] = {
    "train ppo": ("--env", "CartPole-v1"),
    "train": ("agent", "ppo"),
    "train pppo --env CartPole-v1": ("'pppo'", "did you mean 'ppo'"),
    "trian ppo --env CartPole-v1": ("'trian'", "did you mean 'train'"),
    "train ppo --env CartPol-v1": ("'CartPol-v1'", "did you mean 'CartPole-v1'"),
    "train ppo --env CartPole-v99": ("'CartPole-v99'", "v1"),
    "train ppo --env no_such_module:World-v0": ("no_such_module",),
    "train ppo --env bad/Faulty-v0": ("bad/Faulty-v0", "fault"),
    "train ppo --env bad/Faulty-v0 --env.fault reset": ("world 0", "seed", "the reset broke"),
    "train ppo --env bad/Sampler-v0 --env.observation text": ("words", "Text", "supported are"),
    "train ppo --env bad/Sampler-v0 --env.observation tuple": ("Tuple", "supported are"),
    "train ppo --env bad/Sampler-v0 --env.action nested": ("action space", "Dict", "supported are"),
    "train ppo --env bad/Sampler-v0 --env.observation image --backbone.variant nature": ("(3, 5, 4)", "too small"),
}


@pytest.mark.parametrize("line", WORLDS)
@pytest.mark.usefixtures("runs_directory")
def test_a_world_that_does_not_fit_is_refused_before_there_is_a_run(keel: Keel, line: str) -> None:
    said = refused(keel, *line.split())
    assert [words for words in WORLDS[line] if words not in said] == []
    assert list(Path().iterdir()) == []


FAULTS = {
    "reward_nan": "the reward is nan",
    "reward_inf": "the reward is inf",
    "reward_none": "the reward is None",
    "reward_text": "the reward is '1.0' (str)",
    "reward_pair": "the reward is [1., 1.]",
    "observation_nan": "the observation is [nan, nan]",
    "observation_shape": "shape (1,), the space says (2,)",
    "observation_text": "not numeric",
    "raise": "RuntimeError: the motor broke",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_world_that_goes_wrong_is_named_at_the_guilty_step(keel: Keel, tmp_path: Path, fault: str) -> None:
    path = tmp_path / "run"
    outcome = keel("train", "ppo", "--env", "bad/Faulty-v0", "--env.fault", fault, "--num-envs", 2, "--run-dir", path)
    assert outcome.code == 2
    assert "Traceback" not in outcome.error
    for words in ("bad/Faulty-v0", "world 0", "episode 0 (seed ", "step 4", "action ", FAULTS[fault]):
        assert words in outcome.error
    run = Run.open(path)
    assert run.status()["state"] == "failed"
    assert run.metrics() == []  # nothing was learnt from it


CONFIG: dict[str, Any] = {
    "agent": "ppo",
    "env": "keel/CartPole-v0",
    "seed": 0,
    "training": {},
    "hyperparameters": {},
    "backbone": {"kind": "mlp"},
}
CONFIGS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "a number in quotes": (
        CONFIG | {"hyperparameters": {"learning_rate": "3e-4"}},
        ("hyperparameters.learning_rate is '3e-4'", "float without quotes"),
    ),
    "a typo": (CONFIG | {"hyperparameters": {"n_steps": 3}}, ("hyperparameters.n_steps", "did you mean 'num_steps'")),
    "out of range": (CONFIG | {"hyperparameters": {"gamma": 1.5}}, ("gamma is 1.5",)),
    "a fraction of a step": (CONFIG | {"training": {"total_steps": 1.5}}, ("training.total_steps is 1.5", "int")),
    "a word for a switch": (CONFIG | {"training": {"video": "yes"}}, ("training.video is 'yes'", "bool")),
    "a switch for a number": (CONFIG | {"seed": True}, ("seed is True", "int")),
    "a number for a list": (CONFIG | {"backbone": {"kind": "mlp", "hidden": 64}}, ("backbone.hidden is 64",)),
    "another backbone": (CONFIG | {"backbone": {"kind": "mlpp"}}, ("backbone.kind is 'mlpp'", "did you mean 'mlp'")),
    "no backbone": (CONFIG | {"backbone": None}, ("backbone is None", "object")),
    "no object": (CONFIG | {"training": [1]}, ("training is [1]", "object")),
    "another agent": (CONFIG | {"agent": "sac"}, ("agent is 'sac'", "ppo")),
    "nothing": ({}, ("has no 'agent'",)),
    "a list": ([], ("holds list", "object")),
}


@pytest.mark.parametrize("what", CONFIGS)
@pytest.mark.usefixtures("runs_directory")
def test_a_settings_file_is_read_strictly(keel: Keel, what: str) -> None:
    content, expected = CONFIGS[what]
    Path("config.json").write_text(json.dumps(content))
    said = refused(keel, "train", "ppo", "--config", "config.json")
    assert [words for words in expected if words not in said] == []
    assert list(Path().iterdir()) == [Path("config.json")]


@pytest.mark.usefixtures("runs_directory")
def test_a_torn_settings_file_is_named(keel: Keel) -> None:
    Path("config.json").write_text('{"agent": "ppo", ')
    assert "config.json is not valid JSON" in refused(keel, "train", "ppo", "--config", "config.json")


@pytest.mark.parametrize(
    ("settings", "error", "expected"),
    [
        ({"n_step": 5}, ValueError, "n_step is not a setting of ppo; did you mean 'num_steps'"),
        ({"gamma": 1.5}, ValueError, "gamma is 1.5: it must lie between 0 and 1"),
        ({"learning_rate": "3e-4"}, ValueError, "learning_rate is '3e-4': expected float"),
        ({"total_steps": 10.5}, ValueError, "total_steps is 10.5: expected int"),
        ({"backbone": "mpl"}, ValueError, "backbone is 'mpl'; did you mean 'mlp'"),
        ({"backbone": {"kind": "mpl"}}, ValueError, "backbone is 'mpl'; did you mean 'mlp'"),
        ({"backbone": {"hiden": [8]}}, ValueError, "backbone.hiden is not a setting; did you mean 'hidden'"),
        ({"backbone": {"hidden": [0]}}, ValueError, "backbone.hidden is (0,)"),
        ({"backbone": 8}, ValueError, "backbone is 8: expected an object of settings"),
        ({"seed": 1.5}, ValueError, "seed is 1.5: expected a whole number"),
        ({"env_options": {"gravity": float("inf")}}, ValueError, "option gravity is inf"),
        ({"env_options": {"gravity": np.ones(1)}}, ValueError, "option gravity is array([1.])"),
        ({"env_options": {"gravty": 1}}, ValueError, "no option 'gravty'"),
        ({"name": "../up"}, ValueError, "'../up'"),
    ],
)
@pytest.mark.usefixtures("runs_directory")
def test_python_refuses_the_same(settings: dict[str, Any], error: type[Exception], expected: str) -> None:
    with pytest.raises(error) as caught:
        keel_package.train("ppo", env="keel/CartPole-v0", **settings)
    assert expected in str(caught.value)
    assert list(Path().iterdir()) == []


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "run"
    training = "--total-steps 256 --evaluate-episodes 1 --video False --run-dir"
    assert cli.main(["train", "ppo", *CARTPOLE, *training.split(), str(path)]) == 0
    return path


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A finished run that may be spoilt."""
    return shutil.copytree(trained, tmp_path / "run")


def test_a_folder_in_use_is_no_place_for_a_run(keel: Keel, run: Path, tmp_path: Path) -> None:
    assert "holds a run already" in refused(keel, "train", "ppo", *CARTPOLE, "--run-dir", run)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("mine")
    assert "thesis.txt" in refused(keel, "train", "ppo", *CARTPOLE, "--run-dir", tmp_path / "notes")
    (tmp_path / "file").write_text("")
    said = refused(keel, "train", "ppo", *CARTPOLE, "--run-dir", tmp_path / "file" / "run")
    assert "cannot make the run folder" in said
    assert (tmp_path / "notes" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("command", ["evaluate", "resume", "watch"])
def test_nothing_is_no_run(keel: Keel, command: str) -> None:
    assert "'' is no run" in refused(keel, command, "")


@pytest.mark.parametrize("command", ["evaluate", "resume", "watch"])
def test_what_is_no_run_is_refused_with_the_nearest(keel: Keel, command: str, run: Path, runs_directory: Path) -> None:
    runs_directory.mkdir(parents=True)
    run.rename(runs_directory / "CartPole-ppo-0")
    said = refused(keel, command, "CartPol-ppo-0")
    assert "'CartPol-ppo-0' is no run" in said
    assert "CartPole-ppo-0" in said.split("near it:")[1]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--episodes 0", ("--episodes", "at least 1")),
        ("--checkpoint worst", ("worst", "best", "last")),
        ("--seed one", ("--seed", "'one'")),
        ("--device gpu", ("device is 'gpu'", "cpu")),
    ],
)
def test_bad_options_of_evaluate_are_refused(
    keel: Keel, trained: Path, arguments: str, expected: tuple[str, ...]
) -> None:
    said = refused(keel, "evaluate", trained, *arguments.split())
    assert [words for words in expected if words not in said] == []


def test_resume_to_no_end_is_refused(keel: Keel, run: Path) -> None:
    before = (run / "config.json").read_bytes()
    step = json.loads((run / "config.json").read_text())["training"]["total_steps"]
    for wrong in (-4, step):
        assert f"total_steps is {wrong}: the run is at step" in refused(keel, "resume", run, "--total-steps", wrong)
    assert (run / "config.json").read_bytes() == before


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("file", "spoil", "expected"),
    [
        ("state.safetensors", cut, ("checkpoint truncated", "state.safetensors", "expected", "bytes, found")),
        ("state.safetensors", flip, ("checkpoint damaged", "state.safetensors", "sha256")),
        ("state.json", flip, ("checkpoint damaged", "state.json", "sha256")),
        ("manifest.json", cut, ("manifest.json", "truncated or damaged")),
        ("state.json", Path.unlink, ("not a whole checkpoint", "missing state.json")),
    ],
)
def test_a_spoilt_checkpoint_is_named(
    keel: Keel,
    run: Path,
    file: str,
    spoil: Callable[[Path], None],
    expected: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    spoil(run / "checkpoints" / "best" / file)
    said = refused(keel, "evaluate", run) + " ".join(caplog.text.split())
    assert [words for words in expected if words not in said] == []
    assert str(run / "checkpoints") in said


def test_no_checkpoint_at_all_is_said(keel: Keel, run: Path) -> None:
    shutil.rmtree(run / "checkpoints" / "best")
    assert "holds no whole `best`" in refused(keel, "evaluate", run)
    shutil.rmtree(run / "checkpoints")
    assert "cannot be resumed" in refused(keel, "resume", run)


def change(run: Path, **settings: Any) -> None:
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | settings))


def test_a_checkpoint_of_another_world_or_network_is_refused(keel: Keel, run: Path) -> None:
    change(run, env="Acrobot-v1")
    said = refused(keel, "evaluate", run)
    assert "keel/CartPole-v0" in said
    assert "Acrobot-v1" in said
    change(run, env="keel/CartPole-v0", backbone={"kind": "mlp", "hidden": [8]})
    said = refused(keel, "evaluate", run)
    assert "expected" in said
    assert "found" in said
    assert "[8, 4]" in said  # the first layer that the settings ask for


def test_a_run_whose_settings_were_edited_is_not_resumed(keel: Keel, run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    change(
        run, hyperparameters=config["hyperparameters"] | {"gamma": 0.5}, training=config["training"] | {"num_envs": 16}
    )
    said = refused(keel, "resume", run)
    assert "hyperparameters.gamma was 0.98 and is 0.5" in said
    assert "training.num_envs was 32 and is 16" in said


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "an empty file"),
        (b"PK\x03\x04 rest", "Stable-Baselines3"),
        (b"\x80\x04 rest", "pickle"),
        (b"hello", "unknown kind"),
    ],
)
def test_a_foreign_file_in_place_of_a_checkpoint_is_named_for_what_it_is(
    keel: Keel, run: Path, content: bytes, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(run / "checkpoints" / "best")
    (run / "checkpoints" / "best").write_bytes(content)
    assert expected in refused(keel, "evaluate", run) + caplog.text


@pytest.mark.parametrize(
    ("content", "expected"),
    [("{", "config.json is not valid JSON"), ('{"format": 99}', "format 99"), ("[]", "format None")],
)
def test_spoilt_settings_of_a_run_are_named(keel: Keel, run: Path, content: str, expected: str) -> None:
    (run / "config.json").write_text(content)
    for command in ("evaluate", "resume"):
        assert expected in refused(keel, command, run)
