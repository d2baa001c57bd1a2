"""`keel` as the tests call it: the real command line, within this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from keel.runners import cli


class Outcome(NamedTuple):
    code: int
    out: str
    error: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out)


Keel = Callable[..., Outcome]


@pytest.fixture
def keel(capsys: pytest.CaptureFixture[str]) -> Keel:
    """`keel("train", "ppo", "--seed", 3)` gives the exit code and what was printed."""

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as end:  # argparse and tyro
            code = end.code
        out, error = capsys.readouterr()
        assert isinstance(code, int)
        return Outcome(code, out, error)

    return call


@pytest.fixture
def without_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings that draw no report, which takes longer than the small ones do."""
    monkeypatch.setattr("keel.runners.train.write_report", lambda *_, **__: None)
