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
from typing import Any

import numpy as np
import safetensors.numpy

from keel.envs.protocol import Array, State

# Far above any real checkpoint, and low enough that a hostile one cannot exhaust the machine.
MAX_DEPTH = 64
MAX_TENSORS = 100_000
MAX_JSON_BYTES = 1 << 28
MAX_HEADER_BYTES = 1 << 24

_INT64 = range(-(1 << 63), 1 << 63)
_SAME_IN_SAFETENSORS = {"|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8"}
_AS_BYTES = re.compile(
    r">[iu][248]|>f[248]|[<>]c(8|16)|[<>]U[1-9]\d{0,8}|\|S[1-9]\d{0,8}|[<>][mM]8(\[([1-9]\d{0,8})?[A-Za-z]+\])?"
)
_TORCH_SAME = {"bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"} | {
    f"float{bits}" for bits in (16, 32, 64)
}
_TORCH_AS_BYTES = {"bfloat16", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2"}
_BRACKET_OR_STRING = re.compile(r'[\[{]|[\]}]|"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


def encode(state: State) -> tuple[Any, dict[str, Array]]:
    """The JSON document of a state and its arrays by name; encoding changes nothing and draws no random number.

    Raises:
        TypeError: a value that no checkpoint can hold, named by its place in the state.
        ValueError: too many arrays, or nested too deeply.
    """
    arrays: dict[str, Array] = {}
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


def read_json(data: bytes) -> Any:
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


def write_tensors(arrays: dict[str, Array]) -> bytes:
    """The safetensors file of some arrays."""
    return safetensors.numpy.save(arrays)


def read_tensors(data: bytes) -> dict[str, Array]:
    """The arrays of a safetensors file, after a check of its header against the limits.

    Raises:
        ValueError: what is wrong with it.
    """
    header_bytes = int.from_bytes(data[:8], "little")
    if header_bytes > min(MAX_HEADER_BYTES, len(data) - 8):
        limit = min(MAX_HEADER_BYTES, max(len(data) - 8, 0))
        raise ValueError(f"the header claims {header_bytes} bytes; at most {limit} are possible")
    header = read_json(data[8 : 8 + header_bytes])
    if not isinstance(header, dict) or len(header) > MAX_TENSORS:
        raise ValueError(f"the header must be an object of at most {MAX_TENSORS} tensors")
    try:
        return safetensors.numpy.load(data)
    except (safetensors.SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"not a file of tensors that Keel wrote: {error}") from error


def pointer(parent: str, key: str | int) -> str:
    """The JSON pointer of a key below `parent`."""
    return f"{parent}/{str(key).replace('~', '~0').replace('/', '~1')}"


def is_tensor(value: Any) -> bool:
    """Whether this is a torch tensor; never imports torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _encode(value: Any, name: str, depth: int, arrays: dict[str, Array]) -> Any:
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


def _store_array(array: Array, name: str, arrays: dict[str, Array]) -> str:
    dtype = array.dtype.str
    if array.dtype.names or not (dtype in _SAME_IN_SAFETENSORS or _AS_BYTES.fullmatch(dtype)):
        raise TypeError(
            f"state{name}: an array of dtype {array.dtype} cannot be saved; use numbers, bool, dates or text"
        )
    contiguous = np.array(array, order="C")
    if dtype not in _SAME_IN_SAFETENSORS:
        contiguous = np.frombuffer(contiguous.tobytes(), np.uint8).reshape(*array.shape, array.dtype.itemsize)
    arrays[name] = contiguous
    return dtype


def _store_tensor(tensor: Any, name: str, arrays: dict[str, Array]) -> str:
    import torch

    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in _TORCH_SAME | _TORCH_AS_BYTES or tensor.layout != torch.strided or tensor.is_meta:
        raise TypeError(
            f"state{name}: a {tensor.layout} tensor of dtype {dtype} on {tensor.device} cannot be saved; "
            "use a dense tensor of numbers or bool"
        )
    dense = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    if dtype in _TORCH_AS_BYTES:
        dense = dense.reshape(-1).view(torch.uint8).reshape(*tensor.shape, tensor.element_size())
    arrays[name] = dense.numpy()
    return dtype


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
