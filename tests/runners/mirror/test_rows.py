"""Which rows the mirror hands over: each once, and after a loss those that the service does not have."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from keel.runners.mirror.rows import Tail, rewind


def test_a_tail_gives_each_whole_row_once(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    tail = Tail(path, rows_done=1)
    assert tail.read() == []
    for written, expected in (
        (b'{"a": 1}\n{"a"', []),
        (b": 2}\n", [{"a": 2}]),
        (b'{"a": 3}\n{"a": 4}\n', [{"a": 3}, {"a": 4}]),
    ):
        with open(path, "ab") as file:
            file.write(written)
        assert tail.read() == expected
    assert tail.rows_done == 4


@given(sent=st.lists(st.sampled_from(["metrics", "video"])), there=st.integers(0, 40))
def test_after_a_loss_no_row_of_metrics_is_left_out(sent: list[str], there: int) -> None:
    there = min(there, len(sent))
    metrics, media = Tail(Path("m"), sent.count("metrics")), Tail(Path("v"), sent.count("video"))
    rewind(metrics, media, there)
    arrived = sent[:there].count("metrics")
    again = arrived - metrics.rows_done
    assert 0 <= again <= sent[there:].count("video")
