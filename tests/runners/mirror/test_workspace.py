"""The comparison workspace on Weights & Biases: its form against one made by hand, and that nothing there hangs."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from keel.envs.errors import KeelError
from keel.runners.mirror.rows import MirrorState
from keel.runners.mirror.workspace import build_workspace, save_workspace, sections_of
from keel.runners.run import Run

from .fake_wandb_server import FakeWandbServer
from .mirror_helpers import CANARY, KEY, assert_no_secret, forget_account

METRICS = ("global_step", "world/power_kw", "loss/policy", "train/episode_return", "eval/return", "eval/length", "odd")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the package, for its own makers


@pytest.fixture(autouse=True)
def no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_account(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)


def make_run(name: str, project: str | None = "keel", **metrics: float) -> Run:
    """A run under results/runs; with a project it was sent there."""
    run = Run.create("CartPole-v1", "ppo", 0, {}, name=name)
    (run.path / "metrics.jsonl").write_text(json.dumps({"global_step": 1, **metrics}) + "\n")
    if project is not None:
        url = f"https://wandb.test/some%20body/{project}/runs/id-{name}"
        MirrorState(id=f"id-{name}", mode="online", url=url, metrics_rows=1, complete=True).save(run)
    return run


def without_ids(node: Any) -> Any:
    if isinstance(node, dict):
        return {name: without_ids(value) for name, value in node.items() if name != "__id__"}
    return [without_ids(item) for item in node] if isinstance(node, list) else node


def curve(metric: str) -> dict[str, Any]:
    return {
        "viewType": "Run History Line Plot",
        "config": {
            "chartTitle": metric,
            "xAxis": "global_step",
            "metrics": [metric],
            "groupAgg": "mean",
            "groupArea": "stddev",
        },
    }


def test_the_workspace_is_as_one_made_by_hand() -> None:
    pytest.importorskip("wandb_workspaces")
    workspace = build_workspace(METRICS, ["a1", "b2"], entity="somebody", project="keel")
    view = workspace._model.model_dump(by_alias=True, exclude_none=True)
    assert (view["entity"], view["project"], view["displayName"]) == ("somebody", "keel", "Keel: comparison")
    section = view["spec"]["section"]
    sections = [
        (
            found["name"],
            found["isOpen"],
            [{name: panel[name] for name in ("viewType", "config")} for panel in without_ids(found["panels"])],
        )
        for found in section["panelBankConfig"]["sections"]
    ]
    gallery = {"chartTitle": "Videos", "mediaKeys": ["video"], "mode": "gallery", "gallerySettings": {"axis": "run"}}
    assert sections == [
        ("Returns", True, [curve("eval/return"), curve("train/episode_return")]),
        ("Losses", False, [curve("loss/policy")]),
        ("World", False, [curve("world/power_kw")]),
        ("Evaluation", False, [curve("eval/length")]),
        ("Media", True, [{"viewType": "Media Browser", "config": gallery}]),
        ("Settings that differ", True, [{"viewType": "Run Comparer", "config": {"diffOnly": True}}]),
    ]
    [runs] = section["runSets"]
    wanted = {"key": {"section": "run", "name": "name"}, "op": "IN", "value": ["a1", "b2"], "disabled": False}
    assert runs["filters"]["filters"] == [wanted]
    assert runs["grouping"] == [
        {"section": "config", "name": "env.value"},
        {"section": "config", "name": "agent.value"},
    ]
    assert section["settings"]["xAxis"] == "global_step"
    assert section["settings"]["shouldAutoGeneratePanels"] is False


def test_without_chosen_runs_every_run_of_the_project_is_shown() -> None:
    pytest.importorskip("wandb_workspaces")
    workspace = build_workspace(["eval/return"], [], entity="somebody", project="keel")
    [runs] = workspace._model.model_dump(by_alias=True)["spec"]["section"]["runSets"]
    assert runs["filters"]["filters"] == []


def test_each_metric_stands_in_the_first_section_that_has_it() -> None:
    assert sections_of(["test/loss", "value/mean", "train/loss", "eval/elo", "loss/b", "loss/a", "world", "x/y"]) == {
        "Losses": ["loss/a", "loss/b", "value/mean"],
        "Evaluation": ["eval/elo", "test/loss"],
        "Training": ["train/loss"],
    }


@pytest.mark.parametrize(("references", "ids"), [(["one", "two"], ["id-one", "id-two"]), ([], None)])
def test_a_workspace_is_saved_where_the_runs_are(
    references: list[str], ids: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb_workspaces")
    make_run("one", **{"eval/return": 1.0})
    make_run("two", **{"world/power_kw": 1.0})
    make_run("local", project=None)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with FakeWandbServer("accept") as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        url = save_workspace(references)["url"]
        [saved] = server.views
        assert (saved["entityName"], saved["projectName"]) == ("some body", "keel")
        assert url == f"{server.url}/some body/keel?nw={saved['name'].removeprefix('nw-').removesuffix('-v')}"
        section = json.loads(saved["spec"])["section"]
        names = [found["name"] for found in section["panelBankConfig"]["sections"]]
        assert names == ["Returns", "World", "Media", "Settings that differ"]
        filters = section["runSets"][0]["filters"]["filters"]
        assert ([each["value"] for each in filters] or [None]) == [ids]
        assert all(KEY.encode() not in body and CANARY.encode() not in body for body in server.bodies)
    assert_no_secret(Path())


@pytest.mark.parametrize(
    ("references", "options", "message"),
    [
        ([], {}, "these lie in some body/keel, some body/other: give one of them"),
        (["one", "elsewhere"], {}, "these lie in some body/keel, some body/other"),
        (["one", "elsewhere"], {"project": "keel"}, "elsewhere: not in some body/keel"),
        ([], {"project": "third"}, "these lie in some body/keel"),
        (["local"], {}, "local is not on Weights & Biases yet: keel sync results/runs/local"),
    ],
)
def test_runs_that_make_no_workspace(
    references: list[str], options: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run("one")
    make_run("elsewhere", project="other")
    make_run("local", project=None)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with pytest.raises(KeelError, match=message):
        save_workspace(references, **options)


def test_without_runs_it_says_how_to_get_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    with pytest.raises(KeelError, match="train with --track wandb, or keel sync RUN"):
        save_workspace([])


def test_without_a_key_it_says_what_is_missing() -> None:
    make_run("one")
    with pytest.raises(KeelError, match="no key for Weights & Biases"):
        save_workspace(["one"])


def test_without_the_package_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    make_run("one")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setitem(sys.modules, "wandb_workspaces.reports.v2", None)
    with pytest.raises(KeelError, match=r"pip install 'keel-rl\[workspaces\]'"):
        save_workspace(["one"])


@pytest.mark.parametrize(
    ("behaviour", "message"), [("deny", "did not save the workspace: "), ("hang", "no answer in 0.5 s")]
)
def test_a_service_that_refuses_or_is_silent_ends_in_an_error(
    behaviour: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb_workspaces")
    make_run("one")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr("keel.runners.mirror.workspace.SAVE_SECONDS", 20.0 if behaviour == "deny" else 0.5)
    with FakeWandbServer(behaviour) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        start = time.monotonic()
        with pytest.raises(KeelError, match=message) as caught:
            save_workspace(["one"])
        assert time.monotonic() - start < 25
    assert KEY not in str(caught.value)
