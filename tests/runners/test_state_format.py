"""The safetensors file is that of the library of this name, byte for byte, though it never is in memory as a whole."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hypothesis_numpy
import numpy as np
import pytest
import safetensors
import safetensors.numpy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.envs.protocol import Array
from keel.runners import state_format

WORDS = ["U64", "I64", "F64", "F32", "U32", "I32", "F16", "U16", "I16", "I8", "U8", "BOOL"]
DTYPES = ["<u8", "<i8", "<f8", "<f4", "<u4", "<i4", "<f2", "<u2", "<i2", "|i1", "|u1", "|b1"]
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["\x00", "\x1f", "\x7f", '"', "\\", "\b\f\n\r\t", "é", "\u2028", "😀", "\uffff", "a/b", "~", "__metadata__"]
)


@st.composite
def any_layout(draw: st.DrawFn) -> Array:
    shapes = hypothesis_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
    array = draw(hypothesis_numpy.arrays(st.sampled_from(DTYPES), shapes))
    strided = array[..., ::-1] if array.ndim else array
    return draw(
        st.sampled_from([array, array.T, strided, np.asfortranarray(array), np.broadcast_to(array, array.shape)])
    )


def written(state: dict[str, Any]) -> bytes:
    _, arrays = state_format.encode(state)
    file = state_format.plan_tensors(arrays)
    data = b"".join(state_format.tensor_chunks(file))
    assert len(data) == file.nbytes
    return data


def read(data: bytes) -> dict[str, Array]:
    stream = io.BytesIO(data)

    def fill(buffer: memoryview) -> None:
        assert stream.readinto(buffer) == len(buffer)

    return state_format.read_tensors(fill, len(data))


@settings(max_examples=200, deadline=None)
@given(state=st.dictionaries(NAMES, any_layout(), max_size=6))
def test_the_bytes_are_those_of_the_library(state: dict[str, Array]) -> None:
    named = {state_format.pointer("", key): np.array(array, order="C") for key, array in state.items()}
    data = written(state)
    assert data == safetensors.numpy.save(named)
    back = read(data)
    assert back.keys() == named.keys()
    for name, array in back.items():
        assert (array.dtype, array.shape, array.tobytes()) == (
            named[name].dtype,
            named[name].shape,
            named[name].tobytes(),
        )
        assert array.flags.writeable
        assert array.flags.c_contiguous
        assert array.flags.aligned


def test_all_dtypes_in_their_order_and_aligned(tmp_path: Path) -> None:
    state = {
        f"{word}{number}": np.ones(3, dtype) for word, dtype in zip(WORDS, DTYPES, strict=True) for number in (2, 1)
    }
    path = tmp_path / "file.safetensors"
    path.write_bytes(written(dict(reversed(state.items()))))
    header_bytes = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + header_bytes])
    assert list(header) == [f"/{word}{number}" for word in WORDS for number in (1, 2)]
    assert header_bytes % 8 == 0
    for name, entry in header.items():
        assert entry["data_offsets"][0] % np.dtype(state[name[1:]].dtype).itemsize == 0
    loaded = safetensors.numpy.load_file(path)
    with safetensors.safe_open(path, "numpy") as opened:
        for key, array in state.items():
            assert np.array_equal(loaded[f"/{key}"], array)
            assert opened.get_tensor(f"/{key}").dtype == array.dtype


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float8_e5m2, torch.complex64, torch.bool])
def test_tensors_of_any_strides_are_written_as_if_contiguous(dtype: torch.dtype) -> None:
    tensor = torch.arange(24).reshape(2, 3, 4).to(torch.float32).to(dtype)
    for strided in (tensor.mT, tensor[:, 1], tensor[..., ::2], tensor[:1].expand(5, 3, 4), tensor[0, 0, 1]):
        assert written({"x": strided}) == written({"x": strided.clone(memory_format=torch.contiguous_format)})


def test_arrays_are_written_in_small_pieces_from_where_they_are() -> None:
    side = 1500
    big = np.arange(side * side, dtype=np.float32).reshape(side, side)
    tensor = torch.from_numpy(big)
    state = {
        "whole": big, "turned": big.T, "other endian": big.astype(">f4")[::-1], "text": big[:400].astype("U9"),
        "tensor": tensor, "strided": tensor[:, ::2],
    }  # fmt: skip
    _, arrays = state_format.encode(state)
    assert all(arrays[state_format.pointer("", key)].source is value for key, value in state.items())
    start, *chunks = state_format.tensor_chunks(state_format.plan_tensors(arrays))
    assert max(map(len, chunks)) <= state_format.CHUNK_BYTES
    back = read(start + b"".join(chunks))
    assert back["/turned"].tobytes() == big.T.tobytes()
    assert back["/text"].tobytes() == state["text"].tobytes()
    assert back["/strided"].tobytes() == big[:, ::2].tobytes()


def test_a_header_that_no_reader_would_take_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_format, "MAX_HEADER_BYTES", 64)
    assert read(written({"x": np.ones(1)})) == {"/x": np.ones(1)}
    with pytest.raises(ValueError, match="the names of the arrays take 104 bytes; a checkpoint takes 64"):
        written({"x" * 50: np.ones(1)})


def test_an_array_with_more_axes_than_numpy_reads_is_not_written() -> None:
    most = (1,) * 64
    assert read(written({"x": np.ones(most)}))["/x"].shape == most
    with pytest.raises(ValueError, match="state/x: 65 dimensions; a checkpoint takes 64"):
        written({"x": np.ones(most, np.complex64)})  # stored as bytes, with one axis more


def test_a_header_of_too_many_tensors_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = written({"x": np.ones(1), "y": np.ones(1)})
    monkeypatch.setattr(state_format, "MAX_TENSORS", 1)
    with pytest.raises(ValueError, match="an object of at most 1 tensors"):
        read(data)


NUMBERS = st.integers(-8, 24) | st.sampled_from([2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64, -(2**63)])
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from([*WORDS, "BF16", "C64", ""]),
        "shape": st.lists(NUMBERS, max_size=3),
        "data_offsets": st.lists(NUMBERS, min_size=2, max_size=2),
    }
)
SOUND = st.lists(st.tuples(st.sampled_from(WORDS), st.lists(st.integers(0, 3), max_size=3)), max_size=4)


@st.composite
def headers(draw: st.DrawFn) -> dict[str, Any]:
    """Tensors one after the other; then perhaps one of them is changed."""
    header: dict[str, Any] = {}
    end = 0
    for number, (word, shape) in enumerate(draw(SOUND)):
        begin, end = end, end + int(np.prod(shape, dtype=int)) * np.dtype(DTYPES[WORDS.index(word)]).itemsize
        header[f"/{number}"] = {"dtype": word, "shape": shape, "data_offsets": [begin, end]}
    if draw(st.booleans()):
        changed = draw(st.sampled_from(["/0", "/1", "/5"]))
        key = draw(st.sampled_from(["dtype", "shape", "data_offsets"]))
        entry = draw(ENTRIES)
        header[changed] = {**header.get(changed, entry), key: entry[key]}
    return dict(draw(st.permutations(list(header.items()))))


@settings(max_examples=500, deadline=None)
@given(header=headers(), size=st.none() | st.integers(0, 64))
def test_what_is_read_from_any_header_is_what_the_library_reads(header: dict[str, Any], size: int | None) -> None:
    end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    data = bytes(index % 2 for index in range(end if size is None and 0 <= end < 10_000 else size or 0))
    written_header = json.dumps(header).encode()
    file = len(written_header).to_bytes(8, "little") + written_header + data
    try:
        expected = safetensors.numpy.load(file)
    except (safetensors.SafetensorError, KeyError, ValueError, OverflowError):
        expected = None
    if expected is None or any(entry["dtype"] == "C64" for entry in header.values()):
        with pytest.raises(ValueError, match="not a file of tensors that Keel wrote"):
            read(file)
        return
    found = read(file)
    assert {name: (array.dtype, array.shape, array.tobytes()) for name, array in found.items()} == {
        name: (array.dtype, array.shape, array.tobytes()) for name, array in expected.items()
    }
