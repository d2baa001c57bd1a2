"""A State as bytes: JSON for its tree and plain values, safetensors for its arrays. Nothing in it can execute.

In the JSON an array is a marker such as `{"$numpy": "<f4"}` or `{"$torch": "bfloat16"}`; its values are the safetensors
entry named by the JSON pointer (RFC 6901) of the marker. Types that safetensors has no word for are stored as bytes with
a last axis of one element's size. `$int` and `$float` hold what JSON cannot: integers beyond 64 bits, infinity and nan.
Keys that begin with `$` get a second one.
"""

from __future__ import annotations

import json
import math
import re
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from keel.envs.protocol import Array, State

# Far above any real checkpoint, and low enough that a hostile one cannot exhaust the machine.
MAX_DEPTH = 64
MAX_TENSORS = 100_000
MAX_JSON_BYTES = 1 << 28
MAX_HEADER_BYTES = 1 << 24
MAX_DIMENSIONS = 64  # numpy's own

Fill = Callable[[memoryview], None]  # reads the next bytes of a file into all of a buffer
CHUNK_BYTES = 1 << 20  # of a file on its way to or from the disk: it fits a processor's cache while it is hashed

_INT64 = range(-(1 << 63), 1 << 63)
# In the order in which a file holds them, that of the safetensors library: every tensor is aligned to its element size.
_SAME_IN_SAFETENSORS = {
    "<u8": "U64", "<i8": "I64", "<f8": "F64", "<f4": "F32", "<u4": "U32", "<i4": "I32",
    "<f2": "F16", "<u2": "U16", "<i2": "I16", "|i1": "I8", "|u1": "U8", "|b1": "BOOL",
}  # fmt: skip
_STORED_AS = {word: dtype for dtype, word in _SAME_IN_SAFETENSORS.items()}
_FILE_ORDER = list(_STORED_AS)
_AS_BYTES = re.compile(
    r">[iu][248]|>f[248]|[<>]c(8|16)|[<>]U[1-9]\d{0,8}|\|S[1-9]\d{0,8}|[<>][mM]8(\[([1-9]\d{0,8})?[A-Za-z]+\])?"
)
_TORCH_SAME = {"bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"} | {
    f"float{bits}" for bits in (16, 32, 64)
}
_TORCH_AS_BYTES = {"bfloat16", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2"}
_BRACKET_OR_STRING = re.compile(r'[\[{]|[\]}]|"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


class Stored(NamedTuple):
    """An array or tensor of the state as safetensors describes it. Its values are read when they are written: no copy."""

    source: Any
    dtype: str
    shape: tuple[int, ...]
    nbytes: int


class TensorFile(NamedTuple):
    """A safetensors file that is about to be written: its first bytes, then the values of each in this order."""

    start: bytes
    tensors: list[Stored]
    nbytes: int


class _Slot(NamedTuple):
    """Where a file holds a tensor: offsets from the end of the header."""

    begin: int
    end: int
    name: str
    dtype: str
    shape: list[int]


def encode(state: State) -> tuple[Any, dict[str, Stored]]:
    """The JSON document of a state and its arrays by name; encoding changes nothing and draws no random number.

    The arrays are the state's own, not copies: they must stay as they are until they are written.

    Raises:
        TypeError: a value that no checkpoint can hold, named by its place in the state.
        ValueError: too many arrays, or nested too deeply.
    """
    arrays: dict[str, Stored] = {}
    document = _encode(state, "", 0, arrays)
    if len(arrays) > MAX_TENSORS:
        raise ValueError(f"the state holds {len(arrays)} arrays; a checkpoint takes at most {MAX_TENSORS}")
    return document, arrays


def decode(document: Any, arrays: dict[str, Array]) -> Any:
    """The state back from what `encode` gave; tensors return on the CPU. Consumes `arrays`.

    Raises:
        ValueError: the document and the arrays do not belong together.
    """
    state = _decode(document, "", arrays)
    if arrays:
        raise ValueError(f"tensor {next(iter(arrays))!r} is not named in the state")
    return state


def write_json(document: Any) -> bytes:
    """Compact JSON; the same document gives the same bytes."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def read_json(data: bytes | bytearray) -> Any:
    """JSON within the limits of size and depth, without repeated keys.

    Raises:
        ValueError: what is wrong with it.
    """
    if len(data) > MAX_JSON_BYTES:
        raise ValueError(f"{len(data)} bytes of JSON; at most {MAX_JSON_BYTES} are read")
    text = data.decode()
    depth = 0
    for match in _BRACKET_OR_STRING.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        if depth > 2 * MAX_DEPTH:
            raise ValueError(f"JSON nested deeper than {2 * MAX_DEPTH}")
    return json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)


def plan_tensors(arrays: dict[str, Stored]) -> TensorFile:
    """The safetensors file of some arrays, byte for byte what the library of that name makes of them.

    Raises:
        ValueError: it could not be read back.
    """
    ordered = sorted(arrays.items(), key=lambda item: (_FILE_ORDER.index(item[1].dtype), item[0]))
    header: dict[str, Any] = {}
    end = 0
    for name, stored in ordered:
        if len(stored.shape) > MAX_DIMENSIONS:
            raise ValueError(f"state{name}: {len(stored.shape)} dimensions; a checkpoint takes {MAX_DIMENSIONS}")
        begin, end = end, end + stored.nbytes
        header[name] = {"dtype": stored.dtype, "shape": stored.shape, "data_offsets": [begin, end]}
    written = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    written += b" " * (-len(written) % 8)
    if len(written) > MAX_HEADER_BYTES:
        raise ValueError(f"the names of the arrays take {len(written)} bytes; a checkpoint takes {MAX_HEADER_BYTES}")
    start = len(written).to_bytes(8, "little") + written
    return TensorFile(start, [stored for _, stored in ordered], len(start) + end)


def tensor_chunks(file: TensorFile) -> Iterator[bytes]:
    """The bytes of a safetensors file, a piece at a time: each a copy, so that what is hashed is what is written."""
    yield file.start
    for stored in file.tensors:
        array = _numpy(stored.source)
        if array.nbytes <= CHUNK_BYTES:
            yield array.tobytes()
            continue
        # Whatever the strides are, numpy gathers no more than a piece at a time. (Its type hints expect several arrays.)
        count = max(1, CHUNK_BYTES // array.itemsize)
        pieces: Any = np.nditer(array, ["external_loop", "buffered"], order="C", buffersize=count)
        yield from (piece.tobytes() for piece in pieces)


def read_tensors(fill: Fill, size: int) -> dict[str, Array]:
    """The arrays of a safetensors file, after a check of its header against the limits; each is read to its own memory.

    However hostile the header, all that is allocated for them comes to no more than the `size` of the file.

    Raises:
        ValueError: what is wrong with it.
    """
    header, data_bytes = _read_header(fill, size)
    try:
        slots = _slots(header, data_bytes)
    except ValueError as error:
        raise ValueError(f"not a file of tensors that Keel wrote: {error}") from error
    arrays: dict[str, Array] = {}
    for slot in slots:
        values = np.empty(slot.end - slot.begin, np.uint8)
        fill(values.data)
        arrays[slot.name] = values.view(slot.dtype).reshape(slot.shape)
    return arrays


def pointer(parent: str, key: str | int) -> str:
    """The JSON pointer of a key below `parent`."""
    return f"{parent}/{str(key).replace('~', '~0').replace('/', '~1')}"


def is_tensor(value: Any) -> bool:
    """Whether this is a torch tensor; never imports torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _encode(value: Any, name: str, depth: int, arrays: dict[str, Stored]) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError(f"state{name}: nested deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        return {_escape(key, name): _encode(item, pointer(name, key), depth + 1, arrays) for key, item in value.items()}
    kind = type(value)
    if kind is list:
        return [_encode(item, pointer(name, index), depth + 1, arrays) for index, item in enumerate(value)]
    if value is None or kind is bool or kind is str:
        return value
    if kind is int:
        return value if value in _INT64 else {"$int": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"$float": struct.pack(">d", value).hex()}
    if kind is np.ndarray or kind is np.memmap:
        return {"$numpy": _store_array(value, name, arrays)}
    if is_tensor(value):
        return {"$torch": _store_tensor(value, name, arrays)}
    raise TypeError(
        f"state{name}: a {kind.__module__}.{kind.__qualname__} cannot be saved; a state holds dicts with text keys, lists, "
        "int, float, str, bool, None, numpy arrays and torch tensors"
    )


def _escape(key: Any, name: str) -> str:
    if type(key) is not str:
        raise TypeError(f"state{name}: the key {key!r} is a {type(key).__name__}; keys must be text")
    return f"${key}" if key.startswith("$") else key


def _store_array(array: Array, name: str, arrays: dict[str, Stored]) -> str:
    dtype = array.dtype.str
    if array.dtype.names or not (dtype in _SAME_IN_SAFETENSORS or _AS_BYTES.fullmatch(dtype)):
        raise TypeError(
            f"state{name}: an array of dtype {array.dtype} cannot be saved; use numbers, bool, dates or text"
        )
    arrays[name] = _stored(array, _SAME_IN_SAFETENSORS.get(dtype), array.shape, array.itemsize)
    return dtype


def _store_tensor(tensor: Any, name: str, arrays: dict[str, Stored]) -> str:
    import torch

    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in _TORCH_SAME | _TORCH_AS_BYTES or tensor.layout != torch.strided or tensor.is_meta:
        raise TypeError(
            f"state{name}: a {tensor.layout} tensor of dtype {dtype} on {tensor.device} cannot be saved; "
            "use a dense tensor of numbers or bool"
        )
    word = _SAME_IN_SAFETENSORS[np.dtype(dtype).str] if dtype in _TORCH_SAME else None
    arrays[name] = _stored(tensor, word, tuple(tensor.shape), tensor.element_size())
    return dtype


def _stored(source: Any, word: str | None, shape: tuple[int, ...], element_bytes: int) -> Stored:
    """Without a word of safetensors for its type: as bytes, with a last axis of one element's size."""
    nbytes = math.prod(shape) * element_bytes
    return Stored(source, word, shape, nbytes) if word else Stored(source, "U8", (*shape, element_bytes), nbytes)


def _numpy(source: Any) -> Array:
    """An array over the memory of an array or tensor. What lies on an accelerator comes over, this one alone."""
    if isinstance(source, np.ndarray):
        return source
    import torch

    dense = source.detach().cpu().resolve_conj().resolve_neg()
    if dense.dtype in (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2):  # which numpy does not know
        dense = dense.view(torch.int16 if dense.element_size() == 2 else torch.uint8)
    return dense.numpy()


def _read_header(fill: Fill, size: int) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and how many bytes follow it."""
    length = bytearray(min(size, 8))
    fill(memoryview(length))
    header_bytes = int.from_bytes(length, "little")
    if header_bytes > min(MAX_HEADER_BYTES, size - 8):
        limit = min(MAX_HEADER_BYTES, max(size - 8, 0))
        raise ValueError(f"the header claims {header_bytes} bytes; at most {limit} are possible")
    written = bytearray(header_bytes)
    fill(memoryview(written))
    header = read_json(written)
    if not isinstance(header, dict) or len(header) > MAX_TENSORS:
        raise ValueError(f"the header must be an object of at most {MAX_TENSORS} tensors")
    return header, size - 8 - header_bytes


def _slots(header: dict[str, Any], data_bytes: int) -> list[_Slot]:
    """The tensors that a header names, in the order of the file; they must fill it without a gap or an overlap."""
    slots = sorted((_slot(name, entry) for name, entry in header.items()), key=lambda slot: (slot.begin, slot.end))
    position = 0
    for slot in slots:
        if slot.begin != position:
            raise ValueError(f"tensor {slot.name[:200]!r}: invalid offset {slot.begin}; expected {position}")
        position = slot.end
    if position != data_bytes:
        raise ValueError(f"the tensors take {position} bytes; {data_bytes} follow the header")
    return slots


def _slot(name: str, entry: Any) -> _Slot:
    """One entry of a header, whose shape and offsets agree; the offsets may still be anywhere."""
    what = f"tensor {name[:200]!r}"
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{what}: expected dtype, shape and data_offsets, found {str(entry)[:200]}")
    word, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(word, str) or word not in _STORED_AS:
        raise ValueError(f"{what}: unknown dtype {str(word)[:80]!r}")
    if not _are_integers(offsets) or len(offsets) != 2:
        raise ValueError(f"{what}: data_offsets must be two integers, found {str(offsets)[:200]}")
    if not _are_integers(shape) or len(shape) > MAX_DIMENSIONS or any(side not in _INT64 or side < 0 for side in shape):
        raise ValueError(f"{what}: shape must be at most {MAX_DIMENSIONS} lengths, found {str(shape)[:200]}")
    dtype = _STORED_AS[word]
    element_bytes = np.dtype(dtype).itemsize
    if math.prod(side or 1 for side in shape) * element_bytes not in _INT64:  # numpy multiplies past a zero too
        raise ValueError(f"{what}: the size of its shape {shape} overflows")
    begin, end = offsets
    if math.prod(shape) * element_bytes != end - begin:
        raise ValueError(f"{what}: shape {shape} of {word} does not fit its offsets {begin} to {end}")
    return _Slot(begin, end, name, dtype, shape)


def _are_integers(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int for item in value)


def _decode(node: Any, name: str, arrays: dict[str, Array]) -> Any:
    if isinstance(node, list):
        return [_decode(item, pointer(name, index), arrays) for index, item in enumerate(node)]
    if not isinstance(node, dict):
        return node
    for tag, decode_value in _TAGS.items():
        if tag in node:
            if len(node) != 1 or not isinstance(node[tag], str):
                raise ValueError(f"state{name}: {tag} needs one text, got {str(node)[:80]}")
            return decode_value(node[tag], name, arrays)
    state: State = {}
    for written, item in node.items():
        key = written[1:] if written.startswith("$$") else written
        if key is written and written.startswith("$"):
            raise ValueError(f"state{name}: unknown marker {written[:80]!r}")
        state[key] = _decode(item, pointer(name, key), arrays)
    return state


def _take(name: str, arrays: dict[str, Array]) -> Array:
    if name not in arrays:
        raise ValueError(f"tensor {name!r} of the state is missing")
    return arrays.pop(name)


def _decode_array(dtype: str, name: str, arrays: dict[str, Array]) -> Array:
    stored = _take(name, arrays)
    if dtype in _SAME_IN_SAFETENSORS and stored.dtype.str == dtype:
        return stored
    if not _AS_BYTES.fullmatch(dtype):
        raise ValueError(f"tensor {name!r} is stored as {stored.dtype}, the state says {dtype[:80]!r}")
    _check_bytes(stored, np.dtype(dtype).itemsize, name)
    return np.ndarray(stored.shape[:-1], dtype, buffer=stored.data)


def _decode_tensor(dtype: str, name: str, arrays: dict[str, Array]) -> Any:
    import torch

    stored = _take(name, arrays)
    if dtype in _TORCH_SAME and stored.dtype.name == dtype:
        return torch.from_numpy(stored)
    if dtype not in _TORCH_AS_BYTES:
        raise ValueError(f"tensor {name!r} is stored as {stored.dtype}, the state says {dtype[:80]!r}")
    torch_dtype = getattr(torch, dtype)
    _check_bytes(stored, torch_dtype.itemsize, name)
    return torch.from_numpy(stored).reshape(-1).view(torch_dtype).reshape(stored.shape[:-1])


def _check_bytes(stored: Array, element_bytes: int, name: str) -> None:
    if stored.dtype != np.uint8 or stored.shape[-1:] != (element_bytes,):
        raise ValueError(f"tensor {name!r}: expected bytes with a last axis of {element_bytes}, found {stored.shape}")


def _decode_int(text: str, name: str, arrays: dict[str, Array]) -> int:
    return int(text, 16)


def _decode_float(text: str, name: str, arrays: dict[str, Array]) -> float:
    if len(text) != 16:
        raise ValueError(f"state{name}: $float needs 16 hexadecimal digits, got {text[:80]!r}")
    return float(struct.unpack(">d", bytes.fromhex(text))[0])


_TAGS = {"$numpy": _decode_array, "$torch": _decode_tensor, "$int": _decode_int, "$float": _decode_float}


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {max(keys, key=keys.count)[:80]!r} appears more than once")
    return document


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")
