"""Worker processes: the same bytes as one process, whatever happens to the workers."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from keel.envs.batches import leaves
from keel.envs.errors import KeelError
from keel.envs.protocol import Step, VecEnv
from keel.envs.vector import make_vec


@pytest.fixture(autouse=True)
def no_process_left() -> Iterator[None]:
    yield
    left = multiprocessing.active_children()
    for process in left:
        process.kill()
    assert not left


def assert_same(one: Step, other: Step) -> None:
    for (_, a), (_, b) in zip(leaves(one.observation), leaves(other.observation), strict=True):
        assert a.tobytes() == b.tobytes()
    for name in ("reward", "terminated", "truncated"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes()
    assert one.metrics.keys() == other.metrics.keys()
    for name in one.metrics:
        np.testing.assert_array_equal(one.metrics[name], other.metrics[name])
    assert (one.final_observation is None) == (other.final_observation is None)


def run_side_by_side(
    one: VecEnv, other: VecEnv, steps: int, seed: int = 0, disturb: Callable[[int], None] | None = None
) -> int:
    one.action_space.seed(seed)
    ends = 0
    for step in range(steps):
        if disturb is not None:
            disturb(step)
        action = np.stack([one.action_space.sample() for _ in range(one.num_envs)])
        left, right = one.step(action), other.step(action)
        assert_same(left, right)
        ends += left.final_observation is not None
    return ends


@pytest.mark.parametrize(
    ("env_id", "steps", "options"),
    [
        ("CartPole-v1", 300, {}),
        ("LunarLander-v3", 150, {}),
        ("Acrobot-v1", 520, {}),
        ("test/Sampler-v0", 20, {"observation": "nested", "action": "multi_discrete"}),
        ("keel/ProbeMaskedAction-v0", 10, {}),
    ],
)
def test_workers_give_the_same_bytes_as_one_process(env_id: str, steps: int, options: dict[str, str]) -> None:
    local = make_vec(env_id, 5, env_options=options)
    workers = make_vec(env_id, 5, workers=2, env_options=options)
    try:
        for (_, one), (_, other) in zip(leaves(local.reset(4)), leaves(workers.reset(4)), strict=True):
            assert one.tobytes() == other.tobytes()
        assert run_side_by_side(local, workers, steps) > 0
    finally:
        workers.close()


@pytest.mark.parametrize(
    ("sign", "cause"), [(signal.SIGKILL, "killed by SIGKILL"), (signal.SIGSTOP, "no answer in time")]
)
def test_a_lost_worker_is_named_and_the_run_goes_on_exactly(
    sign: signal.Signals, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    local = make_vec("LunarLander-v3", 4)
    workers = make_vec("LunarLander-v3", 4, workers=2, step_timeout_seconds=1.0)

    def disturb(step: int) -> None:
        if step == 60:
            pid = multiprocessing.active_children()[0].pid
            assert pid is not None
            os.kill(pid, sign)

    try:
        local.reset(8)
        workers.reset(8)
        with caplog.at_level(logging.WARNING, "keel"):
            run_side_by_side(local, workers, 120, disturb=disturb)
        assert len(caplog.records) == 1
        text = caplog.text
        assert re.search(r"LunarLander-v3: the worker of worlds (0 to 1|2 to 3) ", text)
        assert cause in text
        assert re.search(r"world \d: seed \d+, last action \d", text)
    finally:
        workers.close()


def test_a_worker_lost_between_the_end_and_the_next_episode(caplog: pytest.LogCaptureFixture) -> None:
    local, workers = make_vec("CartPole-v1", 3), make_vec("CartPole-v1", 3, workers=1)
    try:
        local.reset(0)
        workers.reset(0)
        run_side_by_side(local, workers, 50)
        for process in multiprocessing.active_children():
            process.kill()
        np.testing.assert_array_equal(local.reset(1), workers.reset(1))  # pyright: ignore
        run_side_by_side(local, workers, 50)
    finally:
        workers.close()


@pytest.mark.parametrize(("fault", "cause"), [("exit", "exit code 7"), ("hang", "no answer in time")])
def test_a_worker_that_fails_every_time_is_given_up(fault: str, cause: str, caplog: pytest.LogCaptureFixture) -> None:
    options = {"fault": fault, "at_step": 2}
    vector = make_vec("test/Faulty-v0", 1, workers=1, env_options=options, step_timeout_seconds=0.5)
    try:
        vector.reset(0)
        vector.step(np.array([0]))
        with pytest.raises(KeelError, match=f"world 0 .*{cause}.*last action 2.*restarted 3 times"):
            vector.step(np.array([2]))
    finally:
        vector.close()


def test_a_replacement_that_goes_another_way_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    vector = make_vec("test/Drifting-v0", 1, workers=1)
    try:
        vector.reset(0)
        for _ in range(3):
            vector.step(np.array([0]))
        multiprocessing.active_children()[0].kill()
        with pytest.raises(KeelError, match="not replay-deterministic at step 3 of episode 0 of world 0"):
            vector.step(np.array([0]))
    finally:
        vector.close()


def test_a_fault_leaves_no_answer_behind_for_the_next_request() -> None:
    vector = make_vec("test/Faulty-v0", 3, workers=3, env_options={"fault": "raise", "at_step": 2})
    local = make_vec("test/Faulty-v0", 3, env_options={"fault": "none", "at_step": -1})
    try:
        vector.reset(0)
        vector.step(np.array([0, 0, 0]))
        with pytest.raises(KeelError, match=r"world 0, .* step 2, action 1: RuntimeError: the motor broke"):
            vector.step(np.array([1, 0, 0]))
        np.testing.assert_array_equal(vector.reset(6), local.reset(6))  # pyright: ignore
        assert_same(vector.step(np.array([0, 1, 2])), local.step(np.array([0, 1, 2])))
    finally:
        vector.close()


def test_a_state_moves_between_one_process_and_workers() -> None:
    local, workers = make_vec("CartPole-v1", 3), make_vec("CartPole-v1", 3, workers=2)
    try:
        local.reset(0)
        for _ in range(30):
            local.step(np.array([0, 1, 1]))
        observation = workers.load_state_dict(local.state_dict())
        np.testing.assert_array_equal(observation, local.state_dict()["observation"])  # pyright: ignore
        run_side_by_side(local, workers, 60)
    finally:
        workers.close()


def test_a_world_that_cannot_be_made_is_reported_before_anything_starts() -> None:
    with pytest.raises(ValueError, match="CartPol"):
        make_vec("CartPol-v1", 2, workers=2)


def test_a_world_that_cannot_be_made_in_its_worker_is_reported() -> None:
    with pytest.raises(KeelError, match=r"test/Faulty-v0, world [02]: making it: .*not in this process"):
        make_vec("test/Faulty-v0", 4, workers=2, env_options={"fault": "in_worker"})


def test_a_world_that_no_other_process_can_make_is_reported() -> None:
    gymnasium.register("test/Local-v0", entry_point=lambda: gymnasium.make("CartPole-v1"))
    try:
        with pytest.raises(KeelError, match="cannot be sent to worker processes"):
            make_vec("test/Local-v0", 2, workers=1)
    finally:
        gymnasium.registry.pop("test/Local-v0")


def test_the_first_world_is_drawn_by_its_worker() -> None:
    for env_id, mode in (("CartPole-v1", "rgb_array"), ("FrozenLake-v1", "ansi")):
        workers = make_vec(env_id, 2, workers=2, render_mode=mode)
        local = make_vec(env_id, 1, render_mode=mode)
        assert workers.frames_per_second == local.frames_per_second
        try:
            workers.reset(0)
            local.reset(0)
            frame = workers.render()
            assert isinstance(frame, str if mode == "ansi" else np.ndarray)
            np.testing.assert_array_equal(frame, local.render())  # pyright: ignore
        finally:
            workers.close()


def test_a_worker_that_dies_at_its_start_is_reported() -> None:
    where = r"test/DiesAtStart-v0: the worker of world 0 .*exit code 3 while it was starting; .*__main__"
    with pytest.raises(KeelError, match=where):
        make_vec("test/DiesAtStart-v0", 2, workers=2)


def test_a_script_without_a_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("from keel.envs.vector import make_vec\nmake_vec('CartPole-v1', 1, workers=1)\n")
    done = subprocess.run([sys.executable, script], check=False, capture_output=True, text=True, cwd=tmp_path)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert last.startswith("keel.envs.errors.KeelError: environment CartPole-v1: the worker of world 0")
    assert 'if __name__ == "__main__":' in last


def test_a_module_that_registers_its_worlds_does_so_once_in_each_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "registers.py").write_text(
        "import gymnasium\ngymnasium.register('Registered-v0', entry_point='gymnasium.envs.classic_control:CartPoleEnv')"
    )
    monkeypatch.syspath_prepend(tmp_path)
    try:
        make_vec("registers:Registered-v0", 2, workers=1).close()
    finally:
        gymnasium.registry.pop("Registered-v0", None)
        sys.modules.pop("registers", None)
    assert "Overriding" not in capfd.readouterr().err
