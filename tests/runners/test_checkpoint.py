"""What is saved comes back, bit for bit, and nothing that happens while saving takes the last good checkpoint away."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import time
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hypothesis_numpy
import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.envs.protocol import State
from keel.runners import checkpoint
from keel.runners.checkpoint import CheckpointError

KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["$numpy", "$", "$$torch", "a/b", "~", "~1", "__metadata__", "..", "0", "layer.0.weight"]
)
NUMPY_DTYPES = (
    hypothesis_numpy.boolean_dtypes()
    | hypothesis_numpy.integer_dtypes(endianness="<")
    | hypothesis_numpy.integer_dtypes(endianness=">")
    | hypothesis_numpy.unsigned_integer_dtypes()
    | hypothesis_numpy.floating_dtypes(sizes=(16, 32, 64), endianness="<")
    | hypothesis_numpy.floating_dtypes(sizes=(16, 32, 64), endianness=">")
    | hypothesis_numpy.complex_number_dtypes(sizes=(64, 128))
    | hypothesis_numpy.datetime64_dtypes()
    | hypothesis_numpy.timedelta64_dtypes()
    | hypothesis_numpy.unicode_string_dtypes(max_len=3)
    | hypothesis_numpy.byte_string_dtypes(max_len=3)
)
TORCH_DTYPES = [
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.int64,
    torch.uint64, torch.float16, torch.float32, torch.float64, torch.bfloat16, torch.complex64, torch.complex128,
    torch.float8_e4m3fn, torch.float8_e5m2,
]  # fmt: skip
SHAPES = hypothesis_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray[Any, Any]:
    array = draw(hypothesis_numpy.arrays(NUMPY_DTYPES, SHAPES))
    return draw(st.sampled_from([array, array.T, array[..., ::-1] if array.ndim else array, np.asfortranarray(array)]))


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    dtype, shape = draw(st.sampled_from(TORCH_DTYPES)), draw(SHAPES)
    count = int(np.prod(shape, dtype=int)) * dtype.itemsize
    raw = draw(st.binary(min_size=count, max_size=count))
    if dtype == torch.bool:
        raw = bytes(byte & 1 for byte in raw)
    flat = torch.frombuffer(bytearray(raw), dtype=dtype) if raw else torch.empty(0, dtype=dtype)
    tensor = flat.reshape(shape)
    return tensor.mT if tensor.ndim >= 2 and draw(st.booleans()) else tensor


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**62, max_value=2**200)
    | st.floats(allow_nan=True)
    | st.text()
    | arrays()
    | tensors(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def bits(value: Any) -> Any:
    """A form in which two values are equal exactly when type, dtype, shape, order of keys and every bit are."""
    if isinstance(value, dict):
        return "dict", [(key, bits(item)) for key, item in value.items()]
    if isinstance(value, list):
        return "list", [bits(item) for item in value]
    if isinstance(value, np.ndarray):
        return "numpy", value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, torch.Tensor):
        raw = value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        return "torch", str(value.dtype), tuple(value.shape), raw
    if isinstance(value, float):
        return "float", np.float64(value).tobytes()
    return type(value).__name__, value


def small_state(number: int = 1) -> State:
    return {"agent": {"weight": torch.full((2, 3), float(number))}, "count": number, "noise": np.arange(3.0)}


def saved(folder: Path, step: int) -> Path:
    return checkpoint.save(folder, checkpoint.step_name(step), small_state(step), about={"agent": "ppo"})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@settings(max_examples=150, deadline=None)
@given(state=st.dictionaries(KEYS, VALUES, max_size=5))
def test_a_state_comes_back_with_every_type_and_bit(tmp_path_factory: pytest.TempPathFactory, state: State) -> None:
    folder = tmp_path_factory.mktemp("checkpoints")
    path = checkpoint.save(folder, "best", state, about={})
    assert bits(checkpoint.load(path).state) == bits(state)
    shutil.rmtree(folder)


def test_empty_tensors_come_back_as_contiguous_ones(tmp_path: Path) -> None:
    """Numpy makes empty arrays with strides of 0, over which torch refuses to view other types."""
    shapes = [(0,), (0, 3), (3, 0)]
    state = {f"{dtype} {shape}": torch.empty(shape, dtype=dtype) for dtype in TORCH_DTYPES for shape in shapes}
    state["from numpy"] = torch.from_numpy(np.empty(0, np.int16))
    back = checkpoint.load(checkpoint.save(tmp_path, "best", state, about={})).state
    for key, tensor in back.items():
        assert (tensor.dtype, tensor.shape) == (state[key].dtype, state[key].shape)
        assert tensor.view(torch.uint8).numel() == 0


@pytest.mark.parametrize(
    "generator", [np.random.PCG64(3), np.random.MT19937(3), np.random.Philox(3)], ids=lambda g: type(g).__name__
)
def test_random_streams_continue(tmp_path: Path, generator: Any) -> None:
    stream = np.random.Generator(generator)
    stream.normal(size=5)
    path = checkpoint.save(tmp_path, "best", {"stream": generator.state}, about={})
    expected = stream.integers(2**63, size=10)
    restored = type(generator)(0)
    restored.state = checkpoint.load(path).state["stream"]
    assert np.array_equal(np.random.Generator(restored).integers(2**63, size=10), expected)


def test_an_optimiser_continues_with_views_shared_memory_and_conjugates(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    state = {
        "view": base[:, 1],
        "expanded": torch.ones(1).expand(4),
        "shared": torch.ones(3).share_memory_(),
        "conjugate": torch.tensor([1 + 2j]).conj(),
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    back = checkpoint.load(checkpoint.save(tmp_path, "best", state, about={})).state
    for key, tensor in state.items():
        assert torch.equal(back[key], tensor.detach().resolve_conj())
    back["view"] += 1  # what comes back is ours to change
    assert base[0, 1] == 1


def test_keys_that_look_alike_and_integers_of_any_size(tmp_path: Path) -> None:
    state = {"/": np.zeros(1), "~1": np.ones(1), "a": {"b": np.zeros(2)}, "a/b": np.ones(2), "count": -(10**5000)}
    path = checkpoint.save(tmp_path, "best", state, about={})
    assert bits(checkpoint.load(path).state) == bits(state)


def test_the_same_state_gives_the_same_bytes_and_draws_nothing(tmp_path: Path) -> None:
    streams = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().tolist()  # type: ignore
    for name in ("a", "b"):
        checkpoint.save(tmp_path / name, "best", small_state(), about={"seed": 3})
    assert streams == (random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().tolist())  # type: ignore
    for file in names(tmp_path / "a" / "best"):
        assert (tmp_path / "a" / "best" / file).read_bytes() == (tmp_path / "b" / "best" / file).read_bytes()


def test_the_files_are_what_their_names_say(tmp_path: Path) -> None:
    """The safetensors library and a JSON parser, which know nothing of Keel, read them."""
    path = saved(tmp_path, 7)
    tensors = safetensors.numpy.load_file(path / "state.safetensors")
    assert tensors["/agent/weight"].tolist() == [[7.0] * 3] * 2
    document = json.loads((path / "state.json").read_text())
    assert document["state"]["count"] == 7
    assert document["about"]["agent"] == "ppo"
    assert document["about"]["torch"] == torch.__version__
    assert json.loads((path / "manifest.json").read_text())["files"].keys() == {"state.json", "state.safetensors"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([None]), "state/x/1: an array of dtype object"),
        (np.zeros(2, [("a", "f4")]), "state/x/1: an array of dtype"),
        (np.zeros(1, np.longdouble), "state/x/1: an array of dtype"),
        (np.ma.masked_array([1]), "state/x/1: a numpy.ma.*MaskedArray cannot be saved"),
        (np.float64(1.0), "state/x/1: a numpy.float64 cannot be saved"),
        ((1, 2), "state/x/1: a builtins.tuple cannot be saved"),
        ({1: 2}, "state/x/1: the key 1 is a int; keys must be text"),
        (torch.ones(2).to_sparse(), "state/x/1: a torch.sparse_coo tensor"),
        (torch.ones(2, device="meta"), "on meta cannot be saved"),
    ],
)
def test_what_cannot_be_saved_is_named_by_its_place(tmp_path: Path, value: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        checkpoint.save(tmp_path, "best", {"x": [0, value]}, about={})
    assert names(tmp_path) == []


def test_a_state_that_contains_itself_is_refused(tmp_path: Path) -> None:
    state: State = {}
    state["self"] = state
    with pytest.raises(ValueError, match="nested deeper than 64"):
        checkpoint.save(tmp_path, "best", state, about={})


def test_names_are_checked(tmp_path: Path) -> None:
    for name in ("last", "../best", "step-5", ""):
        with pytest.raises(ValueError, match="checkpoint name"):
            checkpoint.save(tmp_path, name, {}, about={})
    with pytest.raises(TypeError, match="about/x: an array"):
        checkpoint.save(tmp_path, "best", {}, about={"x": np.ones(1)})


def test_the_last_two_are_kept_and_best_stays(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, "best", small_state(), about={})
    for step in (10, 20, 30):
        saved(tmp_path, step)
    assert names(tmp_path) == ["best", "step-000000000020", "step-000000000030"]
    assert checkpoint.latest(tmp_path).name == "step-000000000030"
    assert checkpoint.best(tmp_path) == tmp_path / "best"


def test_after_going_back_the_newer_ones_are_gone(tmp_path: Path) -> None:
    """A run that resumed from step 10, because 20 was broken, must not find that one later."""
    for step in (10, 20):
        saved(tmp_path, step)
    saved(tmp_path, 15)
    assert names(tmp_path) == ["step-000000000010", "step-000000000015"]


def test_latest_skips_broken_ones_and_names_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for step in (10, 20):
        saved(tmp_path, step)
    file = tmp_path / "step-000000000020" / "state.safetensors"
    os.truncate(file, 100)
    with caplog.at_level(logging.WARNING):
        assert checkpoint.latest(tmp_path).name == "step-000000000010"
    assert str(file) in caplog.text
    assert "truncated" in caplog.text
    os.unlink(tmp_path / "step-000000000010" / "state.json")
    with pytest.raises(CheckpointError, match="holds no whole checkpoint"):
        checkpoint.latest(tmp_path)


def test_best_is_there_at_every_instant_of_its_replacement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every change of a name while replacing is a place where the process may die: look there each time."""
    checkpoint.save(tmp_path, "best", small_state(1), about={})
    seen = []
    rename = Path.rename

    def look_and_rename(path: Path, target: Path) -> Path:
        seen.append(checkpoint.load(checkpoint.best(tmp_path)).state["count"])
        result = rename(path, target)
        seen.append(checkpoint.load(checkpoint.best(tmp_path)).state["count"])
        return result

    monkeypatch.setattr(Path, "rename", look_and_rename)
    checkpoint.save(tmp_path, "best", small_state(2), about={})
    assert seen == sorted(seen)
    assert set(seen) == {1, 2}
    assert names(tmp_path) == ["best"]


def test_a_death_between_two_renames_leaves_the_old_best_and_the_next_save_tidies(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, "best", small_state(1), about={})
    (tmp_path / "best").rename(tmp_path / ".old-best")
    (tmp_path / ".tmp-best").mkdir()
    assert checkpoint.load(checkpoint.best(tmp_path)).state["count"] == 1
    checkpoint.save(tmp_path, "best", small_state(2), about={})
    assert checkpoint.load(checkpoint.best(tmp_path)).state["count"] == 2
    assert names(tmp_path) == ["best"]


def test_resolve_takes_a_run_its_checkpoints_or_one_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoints"
    step = saved(folder, 5)
    with pytest.raises(CheckpointError, match="holds no whole `best`"):
        checkpoint.resolve(tmp_path / "run")
    top = checkpoint.save(folder, "best", small_state(), about={})
    assert checkpoint.resolve(tmp_path / "run") == checkpoint.resolve(folder) == top
    assert checkpoint.resolve(tmp_path / "run", "last") == checkpoint.resolve(step) == step


def test_another_agent_is_named(tmp_path: Path) -> None:
    path = saved(tmp_path, 5)
    assert checkpoint.load(path, agent="ppo").about["agent"] == "ppo"
    with pytest.raises(CheckpointError, match="this is a checkpoint of 'ppo'; expected 'dqn'"):
        checkpoint.load(path, agent="dqn")


def test_a_machine_that_changed_is_told(tmp_path: Path) -> None:
    about = checkpoint.load(saved(tmp_path, 5)).about
    assert checkpoint.machine_changes(about) == []
    changes = checkpoint.machine_changes(about | {"torch": "1.0", "torch_threads": 64})
    assert changes == [f"torch: 1.0, now {torch.__version__}", f"torch_threads: 64, now {torch.get_num_threads()}"]


def test_shapes_that_do_not_fit_make_a_table() -> None:
    expected = {"policy": {"weight": torch.zeros(64, 4), "bias": torch.zeros(64)}, "mean": np.zeros(4), "count": 1}
    checkpoint.check_shapes(expected, {**expected, "count": 2})
    found = {"policy": {"weight": torch.zeros(64, 8), "scale": torch.zeros(1)}, "mean": np.zeros(4, np.float32)}
    with pytest.raises(CheckpointError) as error:
        checkpoint.check_shapes(expected, found)
    rows = [line.split("  ") for line in str(error.value).splitlines()[2:]]
    assert [[cell.strip() for cell in row if cell] for row in rows] == [
        ["/policy/weight", "[64, 4] float32", "[64, 8] float32"],
        ["/policy/bias", "[64] float32", "none"],
        ["/mean", "[4] float64", "[4] float32"],
        ["/policy/scale", "none", "[1] float32"],
    ]


def test_one_megabyte_takes_less_than_30_milliseconds_without_fsync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    state = {str(index): torch.zeros(250, 100) for index in range(10)}
    seconds = []
    for step in range(10):
        start = time.perf_counter()
        checkpoint.save(tmp_path, checkpoint.step_name(step), state, about={})
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.030
