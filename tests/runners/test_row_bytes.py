"""Rows looked at as bytes say what parsing them says, or that they cannot be looked at so."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keel.runners.files import encode_row
from keel.runners.row_bytes import complete, find_steps, line_ends, line_starts, some_lines, without_steps

CELLS = st.one_of(st.none(), st.integers(), st.floats(), st.booleans(), st.text())
NAMES = st.text(min_size=1).filter(lambda name: name != "global_step")
ROWS = st.lists(
    st.tuples(st.integers(0, 10**15 - 1), st.dictionaries(NAMES, CELLS, min_size=1)),
    min_size=1,
)


@given(ROWS)
def test_rows_without_their_steps(rows: list[tuple[int, dict[str, object]]]) -> None:
    data = b"".join(encode_row({"global_step": step} | cells) for step, cells in rows)
    ends = line_ends(data)
    found = find_steps(data, ends)
    if found is None:
        assert min(len(line) for line in data.splitlines(keepends=True)) <= 32, "only a short one may be left to others"
        return
    assert found.steps.tolist() == [step for step, _ in rows]
    cut = without_steps(data, ends, found)
    assert cut is not None
    assert [json.loads(line) for line in cut] == [json.loads(encode_row(cells)) for _, cells in rows]


@pytest.mark.parametrize(
    "line",
    [
        b'{"loss/policy": 1.5, "global_step": 12}',
        b'{"global_step": -12, "loss/policy": 1.5}',
        b'{"global_step": "12", "loss/policy": 1.5}',
        b'{"global_step": 12.5, "loss/policy": 1.5}',
        b'{"global_step": 12, "loss/policy": 1.5} ',
        b'{"global_step":12,"loss/policy":1.5,"loss/value":2.5}',
        b"nothing that could be taken for a row of numbers",
    ],
)
def test_what_looks_otherwise_is_left_to_others(line: bytes) -> None:
    data = encode_row({"global_step": 1, "loss/policy": 1.5}) + line + b"\n"
    assert find_steps(data, line_ends(data)) is None


def test_a_row_with_nothing_but_its_step_is_left_to_others() -> None:
    rows = [{"global_step": 123456789012345}, {"global_step": 1, "loss/policy": 1.5}]
    data = b"".join(map(encode_row, rows))
    found = find_steps(data, line_ends(data))
    assert found is not None
    assert found.steps.tolist() == [123456789012345, 1]
    assert without_steps(data, line_ends(data), found) is None


def test_lines() -> None:
    data = complete(b"a\nbc\n\nd")
    assert data == b"a\nbc\n\n"
    assert line_ends(data).tolist() == [2, 5, 6]
    assert line_starts(line_ends(data)).tolist() == [0, 2, 5]
    assert some_lines(data, line_ends(data), 2) == [b"a\n", b"\n"]
    assert some_lines(data, line_ends(data), 9) == [b"a\n", b"bc\n", b"\n"]
    assert complete(b"torn") == b""
    assert some_lines(b"", line_ends(b""), 2) == []
