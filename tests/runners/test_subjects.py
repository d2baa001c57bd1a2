"""Who acts and where: runs with changed worlds, a world's own controllers, whole years."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import keel
from keel.envs.vector import make_variants, make_vec
from keel.runners import commands
from keel.runners.console import savings
from keel.runners.evaluate import Evaluation, evaluate_agent
from keel.runners.options import default_settings
from keel.runners.subjects import Onlooker, controller_subject, evaluate_subject, run_subject
from keel.runners.yardsticks import Yardsticks

ENV = "keel/DataCenterCooling-v0"
DAY = {"days": 1, "weather": "denver"}


def test_an_evaluation_keeps_means_and_peaks_of_each_episode() -> None:
    worlds = make_vec(ENV, 2, env_options={**DAY, "controller": "b2"})
    onlooker = Onlooker(worlds.action_space)
    evaluation = evaluate_agent(onlooker, worlds, episodes=3, seed=5)  # pyright: ignore[reportArgumentType]
    assert evaluation.lengths.tolist() == [288, 288, 288]
    # The same episodes by hand: world 0 plays two, world 1 one.
    worlds.reset(5)
    powers = [worlds.step(np.zeros((2, 4), np.float32)).metrics["total_kw"] for _ in range(576)]
    by_hand = np.array(powers)
    expected = [by_hand[:288, 0], by_hand[288:, 0], by_hand[:288, 1]]
    np.testing.assert_allclose(evaluation.means["total_kw"], [part.mean() for part in expected], rtol=1e-12)
    np.testing.assert_array_equal(evaluation.peaks["total_kw"], [part.max() for part in expected])
    summary = evaluation.summary()
    assert summary["world_peaks"]["total_kw"] == max(part.max() for part in expected)
    assert evaluation.metrics()["eval/total_kw"] == pytest.approx(np.mean([part.mean() for part in expected]))


def test_worlds_without_measures_have_none() -> None:
    evaluation = Evaluation(np.ones(2), np.ones(2), {}, {})
    assert "world_means" not in evaluation.summary()
    assert evaluation.metrics().keys() == {"eval/return", "eval/return_std", "eval/length"}


def test_a_year_is_one_world_for_each_week() -> None:
    subject = controller_subject(ENV, "b0", DAY)
    worlds = subject.year()
    assert worlds.num_envs == 52
    observation = np.asarray(worlds.reset(0))
    # Sine and cosine of the day of the year tell the week in which each world begins.
    hours = np.arctan2(observation[:, 2], observation[:, 3]) % (2 * np.pi) / (2 * np.pi) * 8760
    np.testing.assert_allclose(hours, 168.0 * np.arange(52), atol=0.05)


def test_variants_start_as_single_worlds_do() -> None:
    variants = make_variants(ENV, [{**DAY, "week": week} for week in (3, 40)])
    both = np.asarray(variants.reset(1))
    alone = np.asarray(make_vec(ENV, 2, env_options={**DAY, "week": 40}).reset(1))
    np.testing.assert_array_equal(both[1], alone[1])
    assert (both[0] != alone[0]).any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "say who shall act"),
        (["some-run", "--controller", "b2", "--env", ENV], "say who shall act"),
        (["--controller", "b2"], "belong together"),
        (["--controller", "b9", "--env", ENV], "no controller 'b9'.*b0, b1, b2, b3"),
        (["--controller", "b2", "--env", "CartPole-v1"], "no controller 'b2'.*none"),
        (["--controller", "b2", "--env", ENV, "--env.weather", "asburn"], "did you mean 'ashburn'"),
    ],
)
def test_bad_requests_are_refused(arguments: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        commands.evaluate(arguments)


def test_worlds_that_know_no_year_are_refused(runs_directory: Path) -> None:
    run = keel.train("ppo", env="CartPole-v1", total_steps=1024, name="short", video=False)
    with pytest.raises(ValueError, match="knows no year"):
        evaluate_subject(run_subject(run), year=True)


def test_a_controller_is_evaluated_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--controller", "b2", "--env", ENV, "--env.days", "1", "--episodes", "4"]
    assert commands.evaluate([*options, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["controller"] == "b2"
    assert summary["episodes"] == 4
    assert 1.05 < summary["world_means"]["pue"] < 1.4
    assert commands.evaluate(options) == 0
    words = capsys.readouterr().out
    assert "controller b2: mean return" in words
    assert "violation_minutes" in words


def test_a_run_is_judged_in_other_weather_and_reports_its_world(
    runs_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = keel.train(
        "ppo", env=ENV, env_options=DAY, total_steps=8192, num_envs=16, name="cool", evaluate_episodes=4, video=False
    )
    home = evaluate_subject(run_subject(run), episodes=4)
    abroad = evaluate_subject(run_subject(run, env_options={"weather": "tampa"}), episodes=4)
    assert abroad["env_options"] == {"days": 1, "weather": "tampa"}
    assert abroad["world_means"]["cooling_kw"] > home["world_means"]["cooling_kw"]  # hot and humid
    rows = run.metrics()
    judged = [row for row in rows if "eval/saving_b3" in row]
    assert judged
    assert {"eval/saving_b0", "eval/saving_b1", "eval/saving_b2"} <= judged[-1].keys()
    assert commands.evaluate(["cool", "--episodes", "2"]) == 0
    assert "cool, best checkpoint (step " in capsys.readouterr().out
    page = (run.path / "report.html").read_text()
    assert "A year of operation" in page
    assert (run.path / "week.png").stat().st_size > 20_000
    for name in ("B0", "B1", "B2", "B3"):
        assert f">{name}<" in page


def test_yardsticks_measure_the_same_episodes() -> None:
    settings = default_settings("ppo", ENV, None, DAY)
    worlds = make_vec(ENV, 3, env_options={**DAY, "controller": "b2"})
    own = evaluate_agent(Onlooker(worlds.action_space), worlds, episodes=3, seed=11)  # pyright: ignore[reportArgumentType]
    saved = Yardsticks(settings).savings(own, 11)
    assert saved["eval/saving_b2"] == 0.0  # it is b2 itself
    assert saved["eval/saving_b0"] > 0.3


def test_worlds_without_controllers_have_no_yardsticks() -> None:
    settings = default_settings("ppo", "CartPole-v1", None, {})
    assert Yardsticks(settings).savings(Evaluation(np.ones(1), np.ones(1), {}, {}), 0) == {}


def test_savings_in_words() -> None:
    assert savings({"eval/saving_b3": 0.123, "eval/return": 1.0, "eval/saving_b0": -0.05}) == [
        ("vs b3", "-12.3%"),
        ("vs b0", "+5.0%"),
    ]
