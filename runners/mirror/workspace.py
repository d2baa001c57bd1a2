"""A workspace on Weights & Biases that compares runs, built in code: `keel dashboard --wandb [RUN…]`."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from keel.envs.errors import KeelError
from keel.runners.mirror.rows import MirrorState
from keel.runners.mirror.session import VIDEO, be_quiet, need_key
from keel.runners.provenance import redact_text
from keel.runners.run import Run

if TYPE_CHECKING:
    import wandb_workspaces.reports.v2 as panels
    from wandb_workspaces import workspaces

NAME = "Keel: comparison"
SAVE_SECONDS = 60.0  # the service must have answered within this
MAX_LINES = 50  # of a panel; W&B shows ten unless told otherwise
# The sections with curves: each name or prefix of names, in this order; a metric stands in the first that has it.
SECTIONS: dict[str, tuple[str, ...]] = {
    "Returns": ("eval/return", "train/episode_return"),
    "Losses": ("loss/", "policy/", "value/"),
    "World": ("world/",),
    "Evaluation": ("eval/", "validation/", "test/"),
    "Training": ("train/",),
}


def save_workspace(references: list[str], *, entity: str | None = None, project: str | None = None) -> dict[str, str]:
    """Save a new workspace with these runs; without references one with all runs of the project of those sent there.

    Args:
        references: runs as `Run.find` takes them, all of which were sent to W&B.
        entity: whose workspace it is, a user or a team; by default the one that the runs went to.
        project: by default the one that the runs went to.

    Returns:
        `url`: where the workspace can be seen.

    Raises:
        KeelError: no key for W&B, a run that was not sent there, runs of several projects, the package
            wandb-workspaces is missing, or the service refuses or does not answer.
        FileNotFoundError: no such run.
    """
    runs = Run.find(references) if references else [run for run in Run.all() if _place(run) is not None]
    be_quiet()
    need_key()
    entity, project = common_place(runs, entity, project)
    elsewhere = [run.name for run in runs if _place(run) != (entity, project)]
    if references and elsewhere:
        raise KeelError(f"{', '.join(elsewhere)}: not in {entity}/{project}, and a workspace shows one project")
    runs = [run for run in runs if _place(run) == (entity, project)]
    ids = [MirrorState.load(run).id for run in runs] if references else []
    workspace = build_workspace(metric_names(runs), ids, entity=entity, project=project)
    return {"url": _save(workspace)}


def build_workspace(
    metrics: Iterable[str], run_ids: Sequence[str], *, entity: str, project: str
) -> workspaces.Workspace:
    """The workspace, not yet saved: curves are means with a band of one standard deviation over a world's and an
    agent's runs; then the videos, and the settings in which runs differ.

    Args:
        metrics: names of rows; each gets a panel in the section of its kind, one of none has no panel.
        run_ids: W&B's ids of the runs to show; none: every run of the project.

    Raises:
        KeelError: the package wandb-workspaces is missing.
    """
    panels, workspaces = _packages()
    sections = [
        workspaces.Section(name=name, panels=[_curve(metric) for metric in names], is_open=name == "Returns")
        for name, names in sections_of(metrics).items()
    ]
    whole = workspaces.SectionLayoutSettings(columns=1, rows=1)
    videos = panels.MediaBrowser(title="Videos", media_keys=[VIDEO], mode="gallery", gallery_axis="run")
    comparer = panels.RunComparer(diff_only=True)
    for name, panel in (("Media", videos), ("Settings that differ", comparer)):
        sections.append(workspaces.Section(name=name, panels=[panel], is_open=True, layout_settings=whole))
    chosen = workspaces.And(workspaces.Metric("ID").isin(list(run_ids))) if run_ids else ""
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=NAME,
        sections=sections,
        settings=workspaces.WorkspaceSettings(x_axis="global_step", max_runs=MAX_LINES),
        runset_settings=workspaces.RunsetSettings(
            filters=chosen, groupby=[workspaces.Config("env"), workspaces.Config("agent")]
        ),
    )


def sections_of(metrics: Iterable[str]) -> dict[str, list[str]]:
    """Each section that has metrics, with these: first those it names, then by name."""
    left = sorted(set(metrics))
    sections = {}
    for section, kinds in SECTIONS.items():
        chosen = [
            name for kind in kinds for name in left if name == kind or (kind[-1] == "/" and name.startswith(kind))
        ]
        left = [name for name in left if name not in chosen]
        if chosen:
            sections[section] = chosen
    return sections


def metric_names(runs: Iterable[Run]) -> set[str]:
    """Of all rows of the runs."""
    return {name for run in runs for row in run.metrics() for name in row}


def common_place(runs: Sequence[Run], entity: str | None, project: str | None) -> tuple[str, str]:
    """The entity and project that all runs went to; where these are given, those that lie there.

    Raises:
        KeelError: no runs, one that was not sent, or several places.
    """
    for run in runs:
        if _place(run) is None:
            raise KeelError(f"{run.name} is not on Weights & Biases yet: keel sync {run.path}")
    places = {place for run in runs if (place := _place(run)) is not None}
    fitting = sorted(place for place in places if entity in (None, place[0]) and project in (None, place[1]))
    if len(fitting) == 1:
        return fitting[0]
    if not places:
        raise KeelError(
            "no run under results/runs was sent to Weights & Biases: train with --track wandb, or keel sync RUN"
        )
    found = ", ".join("/".join(place) for place in sorted(places))
    raise KeelError(f"a workspace shows the runs of one project, and these lie in {found}: give one of them")


def _curve(metric: str) -> panels.LinePlot:
    """Where runs are grouped, W&B draws their mean, and here the band of their standard deviation."""
    panels, _ = _packages()
    return panels.LinePlot(
        title=metric, x="global_step", y=[metric], groupby_aggfunc="mean", groupby_rangefunc="stddev"
    )


def _place(run: Run) -> tuple[str, str] | None:
    """The entity and the project that a run went to, as its address says; None for one that was not sent."""
    if not (run.path / "wandb.json").exists():
        return None
    state = MirrorState.load(run)
    if state.mode != "online" or not state.url:
        return None
    entity, project = urlsplit(state.url).path.strip("/").split("/")[:2]
    return unquote(entity), unquote(project)


def _packages() -> tuple[Any, Any]:
    try:
        import wandb_workspaces.reports.v2 as panels
        from wandb_workspaces import workspaces
    except ImportError:
        raise KeelError("a workspace needs the extra 'workspaces': pip install 'keel-rl[workspaces]'") from None
    return panels, workspaces


def _save(workspace: workspaces.Workspace) -> str:
    """Its address; the client tries again and again where the service is silent, so it is given a time."""
    answers: list[str | Exception] = []

    def save() -> None:
        try:
            answers.append(str(workspace.save().url))
        except Exception as error:  # noqa: BLE001 (of whatever kind the W&B client raises)
            answers.append(error)

    thread = threading.Thread(target=save, daemon=True)
    thread.start()
    thread.join(SAVE_SECONDS)
    answer = answers[0] if answers else TimeoutError(f"no answer in {SAVE_SECONDS:g} s")
    if isinstance(answer, Exception):
        raise KeelError(redact_text(f"Weights & Biases did not save the workspace: {answer or type(answer).__name__}"))
    return answer
