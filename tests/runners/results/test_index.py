"""The index of the benchmarks' pages: it is what their data give, loses no remark, and sorts; all pages in one go."""

import json
import re
from pathlib import Path

import pytest

from keel.envs.errors import KeelError
from keel.runners.benchmark import BENCHMARKS, PAGE_OPTIONS
from keel.runners.results import every_page
from keel.runners.results.every_page import (
    Step,
    arguments_of,
    chosen,
    expected_seconds,
    keel_benchmark,
    make,
    plan,
    told,
)
from keel.runners.results.html import html_of, index_page, ranks
from keel.runners.results.index import readme, write_index
from keel.runners.results.pages import (
    NUMBERS,
    bare_command,
    cells_of,
    duration,
    options_of,
    read_documents,
    read_index,
    sections,
)
from keel.runners.results.scores import READERS, scores

RESULTS = Path(__file__).resolve().parents[3] / "results"
PAGES = RESULTS / "benchmarks"
ANEW = "make it anew: keel benchmark index"


def document(**result):
    """The JSON of a page that took 60 s."""
    made = {"command": "keel benchmark NAME --output pages", "date": "2026-11-26", "seconds": 60.0}
    return made | {"environment": {"commit": "0123456789abcdef", "cpu": "Abacus", "cpu_count": 2}} | result


def learning(*best, **more):
    row = {"agent": "dqn", "env": "CartPole-v1", "steps": 1000, "training_seconds": 2.0, "last_mean": 1.0} | more
    rows = [row | {"seed": seed, "best_mean": value} for seed, value in enumerate(best)]
    return document(episodes=100, rows=rows)


@pytest.fixture
def results(tmp_path):
    """A folder of results with one page, its figure and remarks; gives the folder of pages."""
    folder = tmp_path / "benchmarks"
    (folder / "dqn-learning").mkdir(parents=True)
    (folder / "dqn-learning" / "curve.png").touch()
    (folder / "dqn-learning.json").write_text(json.dumps(learning(480.0, 500.0)))
    remarks = "# Remarks\n\n## dqn-learning\n\nSee `this` and [that](demo/x.png).\n\n## demo\n\nA demo.\n"
    (tmp_path / "remarks.md").write_text(remarks)
    return folder


def test_the_committed_index_is_what_the_pages_give():
    index = read_index(PAGES)
    assert (RESULTS / "README.md").read_text() == readme(index, "benchmarks"), ANEW
    assert (PAGES / "index.html").read_text() == index_page(index), ANEW


def test_every_link_of_the_committed_index_leads_somewhere():
    page = (PAGES / "index.html").read_text()
    anchors = set(re.findall(r'id="([^"]+)"', page))
    for link in re.findall(r'(?:href|src)="([^"]+)"', page):
        assert link[1:] in anchors if link.startswith("#") else (PAGES / link).exists(), link
    text = (RESULTS / "README.md").read_text()
    headings = {heading.lower() for heading in re.findall(r"^### (.+)$", text, re.MULTILINE)}
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert link[1:] in headings if link.startswith("#") else (RESULTS / link).exists(), link


def test_the_committed_page_asks_nothing_of_the_network_and_runs_nothing():
    page = (PAGES / "index.html").read_text()
    assert "<script" not in page
    assert "://" not in re.sub(r"<!doctype html>", "", page)


def test_pages_are_made_anew_with_the_options_that_they_were_made_with():
    """But for the folder of a run, which changes nothing that is measured."""
    for name, found in read_documents(PAGES).items():
        options = options_of(found["command"])
        options.pop("folder", None)
        assert options == PAGE_OPTIONS.get(name, {}), f"{name}: see PAGE_OPTIONS in runners/benchmark.py"


def test_both_files_tell_the_page_its_figures_and_the_remarks(results):
    assert write_index(results) == [results / "index.html", results.parent / "README.md"]
    page, text = (path.read_text() for path in (results / "index.html", results.parent / "README.md"))
    # Mean of 480 and 500: 490; Student's interval of two values: 12.706 deviations over the root of 2, so 490 +- 127.06.
    row = "| CartPole-v1 | dqn | return of 100 greedy episodes | 2 | 490.0 | 1.0 | 362.9 … 617.1 | 480.0 … 500.0 |"
    assert f"{row} 1,000 | 2.0 | [`keel benchmark NAME`](benchmarks/dqn-learning.md) [\\*](#dqn-learning) |" in text
    assert "| `keel benchmark NAME --output pages` | 2026-11-26 | 0123456789 | 60 s | [remark](#dqn-learning) |" in text
    assert "### dqn-learning\n\nSee `this` and [that](demo/x.png).\n\n### demo\n\nA demo.\n" in text
    assert '<img src="dqn-learning/curve.png"' in page
    assert '<p>See <code>this</code> and <a href="../demo/x.png">that</a>.</p>' in page
    assert "<h2>demo</h2><p>A demo.</p>" in page


def test_the_same_pages_give_the_same_bytes(results):
    first = [path.read_bytes() for path in write_index(results)]
    assert [path.read_bytes() for path in write_index(results)] == first


def test_a_folder_without_remarks_gets_no_readme_above_it(results):
    """Somebody's own README can lie there."""
    (results.parent / "remarks.md").unlink()
    (results.parent / "README.md").write_text("mine")
    assert write_index(results) == [results / "index.html"]
    assert (results.parent / "README.md").read_text() == "mine"


def test_names_cannot_become_markup(results):
    (results / "dqn-learning.json").write_text(json.dumps(learning(1.0, env="<b>x</b>")))
    write_index(results)
    page = (results / "index.html").read_text()
    assert "<b>x" not in page
    assert "&lt;b&gt;x&lt;/" in page


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "dqn-learning.json is not valid JSON"),
        ("[]", "dqn-learning.json is no benchmark's result: it lacks command, date, seconds or environment"),
        (json.dumps(document(rows=[{}])), "dqn-learning.json is not what .* writes now .*keel benchmark dqn-learning"),
        (json.dumps(learning()), None),
    ],
)
def test_a_page_that_cannot_be_read_is_named(results, text, expected):
    (results / "dqn-learning.json").write_text(text)
    if expected is None:  # no rows: nothing was measured, and nothing is told
        assert read_index(results).scores == []
        return
    with pytest.raises(KeelError, match=expected):
        write_index(results)


def test_a_folder_without_pages_is_refused(tmp_path, keel):
    outcome = keel("benchmark", "index", "--output", tmp_path)
    assert outcome.code == 2
    assert "has no pages: keel benchmark NAME --output" in outcome.error
    assert list(tmp_path.iterdir()) == []


def test_the_index_command_writes_both_files(results, keel):
    assert keel("benchmark", "index", "--output", results, "--json").json == {
        "index": [str(results / "index.html"), str(results.parent / "README.md")]
    }


def test_scores_of_one_world_stand_together():
    found = scores({"ppo-learning": learning(1.0, env="B"), "dqn-learning": learning(2.0, env="A")})
    again = scores({"ppo-learning": learning(1.0, env="A"), "dqn-learning": learning(2.0, env="A")})
    assert [(score.page, score.world) for score in found] == [("ppo-learning", "B"), ("dqn-learning", "A")]
    assert [score.world for score in again] == ["A", "A"]


def test_one_seed_has_no_interval_but_that_of_what_was_counted():
    share = {"share": 0.9, "low": 0.85, "high": 0.94}
    judged = {count: {"all": share} for count in ("0", "24", "400")}
    result = {"minutes": 10.0, "moves": 5000, "training_seconds": 600.0, "judged": judged, "rollouts": {"100": share}}
    alone, searching, match = scores({"connect-four": result})
    assert alone.measure.endswith("network alone")
    assert searching.measure.endswith("400 simulations")
    assert "100 simulations, against" in match.measure
    assert cells_of(alone) == dict(zip(NUMBERS, ("1", "", "90.0", "85.0 … 94.0", "", "5,000", "600"), strict=True))
    (single,) = scores({"dqn-learning": learning(500.0)})
    assert single.interval is None


def test_other_seeds_of_connect_four_are_a_row_of_their_own():
    """94, 95 and 96 %: a mean of 95 with a standard error of 1 / sqrt(3), and t of two degrees of freedom, 4.303."""
    judged = {count: {"all": {"share": 0.94, "low": 0.9, "high": 0.97}} for count in ("0", "100", "400")}
    result = {"minutes": 10.0, "moves": 5000, "training_seconds": 600.0, "judged": judged, "rollouts": {}}
    others = [
        {"moves": moves, "training_seconds": 601.0, "shares": {"all": {"share": share}}}
        for moves, share in ((6000, 0.95), (7000, 0.96))
    ]
    *_, every = scores({"connect-four": result | {"others": others}})
    assert every.measure.endswith("100 simulations")
    shown = ("3", "", "95.0", "92.5 … 97.5", "94.0 … 96.0", "6,000", "601")
    assert cells_of(every) == dict(zip(NUMBERS, shown, strict=True))
    assert len(scores({"connect-four": result | {"others": []}})) == 2


def test_what_agents_save_and_win_is_counted_in_percent():
    year = {"cooling_mwh": 80.0}
    held_out = {
        "controllers": {"b3 in hindsight": {"cooling_mwh": 100.0}},
        "rows": [{"shielded": year, "training_seconds": 1.0}],
    }
    partial = {"env": "E", "controller": "b3", "yardstick": {"cooling_mwh": 160.0}}
    partial |= {"rows": [{"backbone": "lstm", "year": year, "steps": 1, "training_seconds": 1.0}]}
    tally = {"wins": 3, "draws": 0, "losses": 1}
    games = [{"agent": "pqn", "env": "G", "against": {"random": tally}, "steps": 1, "training_seconds": 1.0}]
    network = {"elo": 700.0, "low": 600.0, "high": 800.0}
    selfplay = {
        "minutes": 20.0,
        "moves": 9,
        "rows": [network | {"minute": 20.0}, network | {"minute": 1.0, "elo": 1.0}],
    }
    found = scores(
        {
            "cooling-held-out": held_out,
            "cooling-partial": partial,
            "games-learning": {"episodes": 4, "rows": games},
            "selfplay-learning": {"games": {"chess": selfplay}},
        }
    )
    values = {score.page: (score.agent, round(score.judged[0], 9)) for score in found}
    assert values["cooling-held-out"] == ("ppo", 20.0)
    assert values["cooling-partial"] == ("ppo, lstm", 50.0)
    assert values["games-learning"] == ("pqn", 75.0)
    assert values["selfplay-learning"] == ("alphazero, 20 minutes", 700.0)


def test_every_reader_is_of_a_benchmark():
    assert READERS.keys() <= BENCHMARKS.keys()


def test_ranks_keep_equals_in_order_and_leave_out_the_unknown():
    assert ranks([3, None, 1, 3], greatest_first=False) == [1, None, 0, 2]
    assert ranks([3, None, 1, 3], greatest_first=True) == [0, None, 2, 1]


def test_small_words():
    assert [duration(seconds) for seconds in (0.4, 99.4, 100, 3600, 9218)] == [
        "0 s",
        "99 s",
        "2 min",
        "1 h 00 min",
        "2 h 34 min",
    ]
    assert sections("# A\n\nx\n\n## b, c\n\ny\n\n### d\n## e\n") == {"b, c": "y\n\n### d", "e": ""}
    assert bare_command("keel benchmark x --set a '[1, 2]' --json --output y") == "keel benchmark x --set a '[1, 2]'"
    assert options_of("keel benchmark x --set a '[1, 2]' --output y --set b true") == {"a": [1, 2], "b": True}
    assert html_of("a\nb\n\nc <d>") == "<p>a b</p>\n<p>c &lt;d&gt;</p>"


def test_a_page_of_this_commit_stays_and_no_other():
    folder, commit = Path("pages"), "c" * 40
    made = {"command": "keel benchmark exact-resume --set trials 12 --output pages"}

    def done(commit_then, commit_now, **changes):
        page = document(**made | changes) | {"environment": {"commit": commit_then}}
        (step,) = plan(["exact-resume"], {"exact-resume": page}, commit_now, folder)
        return step.done

    assert done(commit, commit)
    assert not done(commit, "d" * 40)
    assert not done(commit, commit, command="keel benchmark exact-resume --output pages")
    assert not done(f"{commit}-dirty", f"{commit}-dirty")
    assert not done(None, None)
    assert plan(["memory"], {}, commit, folder) == [Step("memory", None, done=False)]


def test_trainings_that_were_found_finished_count_too():
    rows = [{"training_seconds": 50.0}, {"training_seconds": 40.0}]
    assert expected_seconds(document(rows=rows)) == 90.0
    assert expected_seconds(document(rows=rows, command="keel benchmark x --set jobs 2")) == 60.0
    assert expected_seconds(document()) == 60.0


def test_the_plan_says_how_long_it_will_take():
    steps = [Step("memory", 3600.0, False), Step("transfer", 60.0, False), Step("dqn-memory", 9.0, True)]
    environment = document()["environment"]
    text = told([*steps, Step("sb3-learning", None, False)], {"memory": document()}, environment)
    assert text.splitlines() == [
        "  memory        1 h 00 min",
        "  transfer      60 s",
        "  dqn-memory    9 s  stays: made at this commit",
        "  sb3-learning  unknown, no page yet",
        "3 to make, one after the other: about 1 h 01 min and 1 of unknown length.",
        "Timed on Abacus x 2; this machine: Abacus x 2.",
    ]
    changed = told(steps[2:], {}, {"commit": "c-dirty"}).splitlines()
    assert changed[1:] == [
        "0 to make, one after the other: nothing to do.",
        "There are changes that were not committed: every page is made anew.",
    ]


def test_one_that_fails_stops_no_other(capsys):
    calls = []

    def benchmark(arguments):
        calls.append(arguments)
        return 2 if arguments[0] == "memory" else 0

    steps = [Step("dqn-memory", 1.0, True), Step("memory", 1.0, False), Step("cooling-baselines", None, False)]
    outcome = make(steps, Path("pages"), benchmark)
    assert calls == [
        ["memory", "--output", "pages"],
        ["cooling-baselines", "--set", "write", "true", "--output", "pages"],
    ]
    assert (outcome["made"], outcome["stayed"], outcome["failed"]) == (
        ["cooling-baselines"],
        ["dqn-memory"],
        ["memory"],
    )
    assert "1 made, 1 failed in 0 s: memory" in capsys.readouterr().err


def test_a_failing_process_is_told_by_its_exit_code():
    assert keel_benchmark(["no-such-benchmark"]) == 2


def test_all_makes_the_chosen_and_the_index_at_the_end(results, keel, monkeypatch):
    def failing(steps, folder):
        return {"made": ["transfer"], "stayed": [], "failed": ["memory"], "seconds": 1.0}

    monkeypatch.setattr(every_page, "make", failing)
    outcome = keel("benchmark", "all", "--only", "transfer", "memory", "--output", results, "--json")
    assert outcome.code == 1
    assert [step["name"] for step in outcome.json["plan"]] == ["transfer", "memory"]
    assert outcome.json["index"] == [str(results / "index.html"), str(results.parent / "README.md")]
    assert "2 to make" in outcome.error


def test_a_dry_run_does_nothing(results, keel, monkeypatch):
    monkeypatch.setattr(every_page, "make", lambda *_: pytest.fail("it made pages"))
    outcome = keel("benchmark", "all", "--dry-run", "--output", results)
    assert outcome.code == 0
    assert f"{len(BENCHMARKS)} to make" in outcome.out
    assert not (results / "index.html").exists()


@pytest.mark.parametrize(
    ("only", "skip", "expected"),
    [
        (["memori"], [], "'memori' is not a benchmark; did you mean 'memory'"),
        ([], ["memori"], "'memori' is not a benchmark; did you mean 'memory'"),
        (["memory"], ["memory"], "--only and --skip leave no benchmark to make"),
    ],
)
def test_bad_choices_are_refused(only, skip, expected):
    with pytest.raises(ValueError, match=expected):
        chosen(only, skip)


def test_all_goes_in_the_order_of_the_list():
    order = list(BENCHMARKS)
    assert chosen(["memory", "ppo-learning"], []) == ["ppo-learning", "memory"]
    assert chosen([], order[1:]) == order[:1]
    assert order.index("connect-four-positions") < order.index("connect-four") < order.index("connect-four-hour")
    assert order.index("cooling-baselines") < order.index("cooling-held-out") < order.index("cooling-partial")
    assert arguments_of("memory", Path("a/b")) == ["memory", "--output", "a/b"]
