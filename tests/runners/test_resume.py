"""A run that was stopped, killed or damaged continues to the very bytes of one that never was."""

from __future__ import annotations

import logging
import multiprocessing.forkserver
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import keel as keel_package
from keel.runners.benchmarks.exact_resume import Trial, files_of, fork_server, read_reference
from keel.runners.run import Run
from keel.runners.trainer import Trainer

Keel = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("without_report")

SETTINGS: dict[str, Any] = {
    "total_steps": 768,
    "num_envs": 4,
    "num_steps": 32,
    "epochs": 2,
    "minibatch_size": 32,
    "checkpoint_every": 256,  # every 2 updates
    "evaluate_every": 512,
    "evaluate_episodes": 3,
    "video": False,
}
# Rows of metrics at the same steps as PPO's, and a replay whose ring is full after a third of them.
OF_PPO = ("num_steps", "epochs", "minibatch_size")
DQN_SETTINGS = {name: value for name, value in SETTINGS.items() if name not in OF_PPO} | {
    "replay_capacity": 256,
    "learning_starts": 64,
    "batch_size": 16,
    "update_every": 8,
    "target_every": 5,
    "report_every": 128,
}
R2D2_SETTINGS = DQN_SETTINGS | {"burn_in": 2, "length": 8, "n_step": 2}
CARTPOLE, PARTIAL = "keel/CartPole-v0", "keel/CartPoleNoVelocity-v0"


def command(env: str = CARTPOLE, agent: str = "ppo", **changes: Any) -> list[str]:
    own = {"ppo": SETTINGS, "pqn": SETTINGS, "r2d2": R2D2_SETTINGS}
    chosen = own.get(agent, DQN_SETTINGS) | changes
    flags = [part for name, value in chosen.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    return ["train", agent, "--env", env, *flags]


def whole(keel: Keel, path: Path, env: str = CARTPOLE, **changes: Any) -> dict[str, bytes]:
    """What an unbroken training leaves."""
    outcome = keel(*command(env, **changes), "--run-dir", path)
    assert outcome.code == 0, outcome.error
    return files_of(path)


class Crash(BaseException):
    """As if the process had ended: nothing catches it."""


def crash(keel: Keel, path: Path, at_step: int, env: str = CARTPOLE, **changes: Any) -> None:
    """Train until a step that no snapshot follows."""
    after_update = Trainer.after_update

    def die(self: Trainer, metrics: Any) -> bool:
        result = after_update(self, metrics)
        if self.loop.global_step >= at_step:
            raise Crash
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "after_update", die)
        with pytest.raises(Crash):
            keel(*command(env, **changes), "--run-dir", path)


@pytest.fixture(scope="module")
def server() -> Any:
    server = fork_server()
    multiprocessing.forkserver.ensure_running()  # imports beside the first tests
    return server


@pytest.mark.parametrize(
    ("env", "changes"),
    [
        (CARTPOLE, {}),
        (CARTPOLE, {"normalise_observation": True, "normalise_reward": True}),
        (
            CARTPOLE,
            {"learning_rate_schedule": "linear", "clip_range_schedule": "linear", "target_kl": 0.002},
        ),
        ("Pendulum-v1", {"normalise_observation": True, "normalise_reward": True, "clip_range_value": 0.2}),
        ("CartPole-v1", {"frame_stack": 3}),
        ("keel/ProbeMaskedAction-v0", {}),
        ("keel/ProbeNestedObservation-v0", {}),
        ("keel/DataCenterCooling-v0", {"env.days": 1}),
        ("keel/DataCenterCoolingPO-v0", {"env.days": 1}),
        ("keel/DataCenterCoolingFaults-v0", {"env.days": 1, "env.shield": True}),
        (CARTPOLE, {"agent": "dqn"}),
        (CARTPOLE, {"agent": "dqn-2015", "target_every": 1, "target_mix": 0.01}),
        (CARTPOLE, {"agent": "dqn", "distribution": "quantile", "normalise_observation": True}),
        (CARTPOLE, {"agent": "rainbow", "learning_rate_schedule": "linear"}),
        (CARTPOLE, {"agent": "pqn", "normalise_observation": True}),
        ("CartPole-v1", {"agent": "rainbow", "frame_stack": 3, "env.max_episode_steps": 7}),
        ("keel/ProbeMaskedAction-v0", {"agent": "dqn"}),
        ("keel/DataCenterCoolingDiscrete-v0", {"agent": "dqn", "env.days": 1, "replay_folder": "."}),
        (PARTIAL, {"backbone": "lstm", "normalise_observation": True}),
        (PARTIAL, {"backbone": "lstm", "backbone.shared": False}),
        (PARTIAL, {"backbone": "transformer", "backbone.layers": 1, "backbone.window": 8}),
        ("keel/ProbeMaskedAction-v0", {"backbone": "gru"}),
        (PARTIAL, {"agent": "pqn", "backbone": "gru"}),
        (PARTIAL, {"agent": "r2d2"}),
        (PARTIAL, {"agent": "r2d2", "backbone": "lstm", "stored_memory": False, "prioritised": False}),
    ],
)
@pytest.mark.usefixtures("server")
def test_a_crash_between_snapshots_leaves_no_trace(
    keel: Keel, tmp_path: Path, env: str, changes: dict[str, Any]
) -> None:
    expected = whole(keel, tmp_path / "whole", env, **changes)
    crash(keel, tmp_path / "run", 384, env, **changes)
    assert Run.open(tmp_path / "run").status()["state"] == "failed"
    assert Run.open(tmp_path / "run").metrics()[-1]["global_step"] == 384
    outcome = keel("resume", tmp_path / "run")
    assert outcome.code == 0, outcome.error
    assert files_of(tmp_path / "run") == expected
    assert Run.open(tmp_path / "run").status()["state"] == "finished"


def test_the_clock_goes_on_where_it_stopped(keel: Keel, tmp_path: Path) -> None:
    crash(keel, tmp_path / "run", 384)
    before = Run.open(tmp_path / "run").timing()
    assert keel("resume", tmp_path / "run").code == 0
    after = Run.open(tmp_path / "run").timing()
    assert after[:2] == before[:2]  # the row at 384 was not in the snapshot
    assert [row["global_step"] for row in after] == list(range(128, 769, 128))
    seconds = [row["training_seconds"] for row in after]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize(
    ("env", "agent", "trials"),
    [(CARTPOLE, "ppo", 2), ("CartPole-v1", "ppo", 1), pytest.param(CARTPOLE, "rainbow", 2, marks=pytest.mark.slow)],
)
def test_kill_9_at_any_moment_leaves_no_trace(
    keel: Keel, tmp_path: Path, server: Any, env: str, agent: str, trials: int
) -> None:
    chance = random.Random(env)
    training = command(env, agent, total_steps=3072)
    assert keel(*training, "--run-dir", tmp_path / "whole").code == 0
    reference = read_reference(tmp_path / "whole")
    rows = [Trial(server, training, tmp_path / f"run-{n}").run(reference, chance, n) for n in range(trials)]
    assert all(row["killed"] for row in rows)
    assert [row["different"] for row in rows] == [[]] * trials


@pytest.mark.parametrize(
    ("stop", "code", "workers"), [(signal.SIGINT, 130, 2), (signal.SIGTERM, 143, 0)], ids=["SIGINT", "SIGTERM"]
)
def test_a_polite_stop_saves_and_says_how_to_go_on(
    keel: Keel, tmp_path: Path, stop: signal.Signals, code: int, workers: int
) -> None:
    """Through the real command line. Ctrl-C reaches the whole group, so the worker processes too."""
    path = tmp_path / "run"
    training = command("CartPole-v1", total_steps=4096, workers=workers)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "keel.runners.cli", *training, "--run-dir", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (rows := path / "metrics.jsonl").exists() or rows.stat().st_size < 800:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.killpg(process.pid, stop)
    out, error = process.communicate(timeout=30)
    assert process.returncode == code, error
    step = Run.open(path).metrics()[-1]["global_step"]
    assert step < 4096
    assert f"stopped at step {step:,} and saved; continue with: keel resume {path}" in out
    assert "Traceback" not in error
    assert Run.open(path).status()["state"] == "interrupted"
    assert keel("resume", path).code == 0
    expected = whole(keel, tmp_path / "whole", "CartPole-v1", total_steps=4096)  # without workers: the same course
    found = files_of(path)
    assert found.keys() == expected.keys()
    rows_and_arrays = [name for name in expected if not name.endswith(".json")]
    assert [name for name in rows_and_arrays if found[name] != expected[name]] == []


def test_a_stop_in_the_last_update_is_resumed_to_the_report(keel: Keel, tmp_path: Path) -> None:
    expected = whole(keel, tmp_path / "whole")
    after_update = Trainer.after_update

    def stop(self: Trainer, metrics: Any) -> bool:
        if self.loop.global_step == 768:
            os.kill(os.getpid(), signal.SIGINT)
        return after_update(self, metrics)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "after_update", stop)
        assert keel(*command(), "--run-dir", tmp_path / "run").code == 130
    assert keel("resume", tmp_path / "run").code == 0
    assert files_of(tmp_path / "run") == expected


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_python_saves_and_then_lets_the_signal_do_its_work(
    keel: Keel,
    tmp_path: Path,
    stop: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """To a handler of the caller's here; by default SIGINT is a KeyboardInterrupt and SIGTERM ends the process."""
    expected, heard = whole(keel, tmp_path / "whole"), []
    after_update = Trainer.after_update

    def interrupt(self: Trainer, metrics: Any) -> bool:
        if self.loop.global_step == 384:
            os.kill(os.getpid(), stop)
        return after_update(self, metrics)

    def note(number: int, _: Any) -> None:
        heard.append((number, Run.open(tmp_path / "run").status()["state"]))
        raise KeyboardInterrupt

    before = signal.signal(stop, note)
    try:
        monkeypatch.setattr(Trainer, "after_update", interrupt)
        with pytest.raises(KeyboardInterrupt):
            keel_package.train("ppo", env=CARTPOLE, run_dir=tmp_path / "run", **SETTINGS)
    finally:
        signal.signal(stop, before)
        monkeypatch.setattr(Trainer, "after_update", after_update)
    assert heard == [(stop, "interrupted")]
    out, error = capsys.readouterr()
    assert out == ""
    assert f"stopped at step 384 and saved; continue with: keel resume {tmp_path / 'run'}" in error
    assert keel("resume", tmp_path / "run").code == 0
    assert files_of(tmp_path / "run") == expected


def test_by_default_a_training_in_python_ends_by_the_signal(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, keel; from keel.runners.trainer import Trainer\n"
        "after_update = Trainer.after_update\n"
        "def stop(self, metrics): os.kill(os.getpid(), signal.SIGTERM); return after_update(self, metrics)\n"
        "Trainer.after_update = stop\n"
        f"keel.train('ppo', env={CARTPOLE!r}, run_dir=sys.argv[1], total_steps=4096)\n"
        "print('went on')"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "run")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == -signal.SIGTERM
    assert ended.stdout == ""
    assert "continue with: keel resume" in ended.stderr
    assert Run.open(tmp_path / "run").status()["state"] == "interrupted"


def test_a_run_can_be_trained_further(keel: Keel, tmp_path: Path) -> None:
    """Byte for byte like a run of that length, where no schedule depends on the length."""
    expected = whole(keel, tmp_path / "whole", learning_rate_schedule="constant")
    whole(keel, tmp_path / "run", learning_rate_schedule="constant", total_steps=512)
    outcome = keel("resume", tmp_path / "run", "--total-steps", 768, "--json")
    assert outcome.json["global_step"] == 768
    assert files_of(tmp_path / "run") == expected
    assert Run.open(tmp_path / "run").config["training"]["total_steps"] == 768


def test_resuming_a_finished_run_changes_nothing(keel: Keel, tmp_path: Path) -> None:
    expected = whole(keel, tmp_path / "run")
    assert keel("resume", tmp_path / "run").code == 0
    assert files_of(tmp_path / "run") == expected


def test_a_run_in_use_is_left_alone(keel: Keel, tmp_path: Path) -> None:
    crash(keel, tmp_path / "run", 384)
    before = files_of(tmp_path / "run")
    with Run.open(tmp_path / "run").lock():
        outcome = keel("resume", tmp_path / "run")
    assert outcome.code == 2
    assert f"in use by process {os.getpid()}" in outcome.error
    assert files_of(tmp_path / "run") == before


def test_a_damaged_checkpoint_is_passed_over(keel: Keel, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected = whole(keel, tmp_path / "whole")
    crash(keel, tmp_path / "run", 640)
    newest = tmp_path / "run" / "checkpoints" / "step-000000000512" / "state.safetensors"
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    with caplog.at_level(logging.WARNING, "keel"):
        outcome = keel("resume", tmp_path / "run")
    assert outcome.code == 0, outcome.error
    assert str(newest) in caplog.text
    assert files_of(tmp_path / "run") == expected


def test_without_a_checkpoint_there_is_nothing_to_resume(keel: Keel, tmp_path: Path) -> None:
    crash(keel, tmp_path / "run", 128)
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    (tmp_path / "run" / "checkpoints").mkdir()
    outcome = keel("resume", tmp_path / "run")
    assert outcome.code == 2
    assert "run cannot be resumed" in outcome.error
    assert "no whole checkpoint" in outcome.error


def test_rows_that_were_lost_are_not_passed_over(keel: Keel, tmp_path: Path) -> None:
    crash(keel, tmp_path / "run", 384)
    (tmp_path / "run" / "metrics.jsonl").write_bytes(b"")
    outcome = keel("resume", tmp_path / "run")
    assert outcome.code == 2
    assert "metrics.jsonl does not fit the checkpoint" in outcome.error


def test_another_machine_is_remarked(keel: Keel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crash(keel, tmp_path / "run", 384)
    monkeypatch.setattr("platform.machine", lambda: "abacus")
    outcome = keel("resume", tmp_path / "run")
    assert outcome.code == 0
    assert "perhaps not bit-exact" in outcome.out
    assert "abacus" in outcome.out
