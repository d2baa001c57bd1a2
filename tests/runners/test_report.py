"""The page of one run holds what a reader needs and depends on nothing outside the run's folder."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from keel.runners.files import encode_row
from keel.runners.report import duration, write_report
from keel.runners.run import Run
from keel.runners.video import VideoWriter

EVALUATION = {"returns": [100.0, 300.0, 500.0, 500.0], "length_mean": 350.0, "checkpoint": "best", "seed": 77}


def make_run(folder: Path | None, rows: int = 40, **options: Any) -> Run:
    config = {
        "training": {"total_steps": 40_960, "num_envs": 8, "env_options": {}},
        "hyperparameters": {"learning_rate": 0.0025, "target_kl": None},
        "backbone": {"kind": "mlp", "hidden_sizes": [64, 32]},
    }
    run = Run.create("CartPole-v1", "ppo", 3, config, run_dir=folder, **options)
    with open(run.path / "metrics.jsonl", "wb") as metrics, open(run.path / "timing.jsonl", "wb") as timing:
        for index in range(1, rows + 1):
            row = {"global_step": 1024 * index, "train/episode_return": 5.0 * index}
            metrics.write(encode_row(row | ({"eval/return": 6.0 * index} if index % 10 == 0 else {})))
            timing.write(encode_row({"global_step": 1024 * index, "training_seconds": 0.05 * index}))
    run.set_status("finished")
    return run


def film(path: Path) -> Path:
    import numpy as np

    with VideoWriter(path, 10) as writer:
        writer.append(np.zeros((16, 16, 3), np.uint8))
    return path


def words(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


def test_the_report_tells_the_whole_story(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    path = write_report(run, evaluation=EVALUATION, video=film(run.videos / "best episode.mp4"))
    assert path == run.path / "report.html"
    html = path.read_text()
    page = words(html)
    assert "PPO on CartPole-v1" in page
    assert "350.0 mean return over 4 episodes" in page
    assert "40,960 environment steps" in page
    assert "20,480 steps per second" in page
    assert "standard deviation 165.83" in page  # of the four returns, by hand: sqrt(27500)
    assert "lowest 100.00" in page
    assert "highest 500.00" in page
    assert "mean length in steps 350.0" in page
    assert "learning_rate 0.0025" in page
    assert "target_kl none" in page
    assert "hidden_sizes 64, 32" in page
    assert 'src="videos/best%20episode.mp4"' in html
    assert (run.path / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert html.count("<svg") == 4


def test_the_report_loads_nothing_but_the_video(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    html = write_report(run, evaluation=EVALUATION, video=film(run.videos / "a.gif")).read_text()
    assert re.findall(r'src="([^"]*)"', html) == ["videos/a.gif"]
    assert re.findall(r'xlink:href="(?!#)', html) == []
    assert "<script" not in html


def test_commands_name_the_run_as_the_command_line_takes_it(runs_directory: Path) -> None:
    run = make_run(None, name="my-run")
    page = words(write_report(run, evaluation=EVALUATION, video=None).read_text())
    for command in ("watch my-run", "evaluate my-run --episodes 100", "compare my-run", "resume my-run --total-steps"):
        assert f"keel {command}" in page


def test_commands_name_a_run_elsewhere_by_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "two words"
    page = write_report(make_run(folder), evaluation=EVALUATION, video=None).read_text().replace("&#x27;", "'")
    assert f"keel watch {shlex.quote(str(folder))}" in page


def test_a_run_without_episodes_has_a_report_without_curve(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", rows=0)
    assert "so there is no curve" in write_report(run, evaluation={"returns": [1.0]}, video=None).read_text()
    assert not (run.path / "learning_curve.png").exists()


def test_wrong_input_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with pytest.raises(ValueError, match="'returns' of at least one episode"):
        write_report(run, evaluation={"returns": []}, video=None)
    with pytest.raises(FileNotFoundError, match="no video"):
        write_report(run, evaluation=EVALUATION, video=tmp_path / "missing.mp4")
    assert not (run.path / "report.html").exists()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (185, "3 min 05 s"), (7619.6, "2 h 07 min")],
)
def test_duration(seconds: float, said: str) -> None:
    assert duration(seconds) == said
