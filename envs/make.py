"""From an environment id to one Gymnasium environment, ready to be stepped: found, checked, preprocessed."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec, load_env_creator

from keel.envs import minatar
from keel.envs.errors import KeelError, closest
from keel.envs.protocol import ACTION_MASK
from keel.envs.registry import find_entry, register_all
from keel.envs.wrappers import MaskInObservation, OneHotGrid, stack_axis, stack_frames

RENDER_MODES = ("human", "rgb_array", "ansi")
ATARI_STACK = 4
USUAL_FRAMES_PER_SECOND = 30.0  # where a world does not say at what speed it is meant to be seen


class Family(NamedTuple):
    """Ids that belong together because one package brings them."""

    module: str  # what to import
    extra: str  # of Keel, which installs it
    prefixes: tuple[str, ...]  # of the ids
    infix: str | None = None


_FAMILIES = {
    "atari": Family("ale_py", "atari", ("ALE/",), "NoFrameskip-v"),
    "minigrid": Family("minigrid", "minigrid", ("MiniGrid-", "BabyAI-")),
    "minatar": Family("minatar", "minigrid", ("MinAtar/",)),
}


def find_spec(env_id: str) -> EnvSpec:
    """What Gymnasium knows of an id, which may be "module:id". Raises: ValueError, ImportError (a missing extra)."""
    register_all()
    family = _family(env_id)
    if family:
        _import_family(family, env_id)
    module, _, name = env_id.rpartition(":")
    try:
        if module:
            importlib.import_module(module)
        return gymnasium.spec(name)
    except gymnasium.error.Error as error:
        hint = closest(env_id, gymnasium.registry)
        raise ValueError(f"unknown environment '{env_id}'{hint} ({error})") from None
    except ModuleNotFoundError as error:
        raise ValueError(f"environment '{env_id}': {error}; the part before ':' is a module to import") from None


def check_options(spec: EnvSpec, options: Mapping[str, Any]) -> None:
    """Raises: ValueError for an option that the environment does not take, naming those it takes."""
    _check_limit(options.get("max_episode_steps"))
    parameters = _parameters(spec.kwargs.get("world", spec.entry_point))
    accepted = None if parameters is None else parameters - {"self", "render_mode"} | {"max_episode_steps"}
    if accepted is None:
        return
    for name, value in options.items():
        if name not in accepted:
            known = ", ".join(sorted(accepted)) or "none"
            raise ValueError(
                f"environment '{spec.id}' takes no option '{name}' (got {value!r}){closest(name, accepted)}; it takes: {known}"
            )


def make_single(
    env_id: str,
    *,
    frame_stack: int = 0,
    env_options: Mapping[str, Any] | None = None,
    render_mode: str | None = None,
) -> gymnasium.Env[Any, Any]:
    """One environment without checker, with the preprocessing that its family is always used with.

    Atari ids get Gymnasium's AtariPreprocessing (noops, frame skip 4, grey 84 x 84) and a stack of 4 frames unless
    `frame_stack` says otherwise. MiniGrid and BabyAI ids give their image alone, one-hot, bool [7 7 20] (11 objects, 6
    colours, 3 states of a door): a mission in words has no place in an array, and the numbers of objects have no order.
    MinAtar ids give bool images [10 10 C] and end after 10,000 steps at the latest. Legal actions reported in `info`
    move into the observation (`wrappers.MaskInObservation`).
    """
    spec = find_spec(env_id)
    options = dict(env_options or {})
    check_options(spec, options)
    if render_mode is not None and render_mode not in RENDER_MODES:
        raise ValueError(f"render_mode is '{render_mode}', it must be one of {', '.join(RENDER_MODES)} or None")
    parameters = _parameters(spec.entry_point)
    if render_mode is not None and parameters is not None and "render_mode" not in parameters:
        raise ValueError(f"environment '{env_id}' cannot be drawn: its constructor takes no render_mode")
    if sys.platform == "linux" and "DISPLAY" not in os.environ:
        os.environ.setdefault("MUJOCO_GL", "egl")
        if "WAYLAND_DISPLAY" not in os.environ:
            os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # drawing without a screen, and without SDL's complaints
    family = _family(env_id)
    if family == "atari":
        options["frameskip"] = 1  # AtariPreprocessing skips frames itself
    env = _preprocess(_make(spec, env_id, options, render_mode), family)
    count = _stacked(env_id, frame_stack)
    if count > 1:
        env = stack_frames(env, count)
    return MaskInObservation(env) if _reports_mask(env, family) else env


def frame_stack_of(env_id: str, frame_stack: int, observation_space: spaces.Space[Any]) -> tuple[int, int] | None:
    """How the frames lie in one observation of a world that was made with `frame_stack`.

    Args: observation_space: of the stacked observations; in one with a mask and an "observation", of the latter.
    Returns: how many frames and along which axis of one observation (without the batch), oldest first; or None where
        nothing is stacked, or where the space does not tell how (several parts, or shapes that can be read both ways).
    """
    count = _stacked(env_id, frame_stack)
    if isinstance(observation_space, spaces.Dict) and observation_space.spaces.keys() == {"observation", ACTION_MASK}:
        observation_space = observation_space["observation"]
    axis = stack_axis(observation_space, count) if count > 1 else None
    return None if axis is None else (count, axis)


def metric_names(env: gymnasium.Env[Any, Any]) -> tuple[str, ...]:
    """The measures that an environment declares: the names in `info["metrics"]` of its first reset."""
    return tuple(_first_info(env).get("metrics", ()))


def frames_per_second(env: gymnasium.Env[Any, Any]) -> float:
    """The speed at which an environment is meant to be seen, as its metadata says."""
    declared = env.metadata.get("render_fps")
    return float(declared) if isinstance(declared, int | float) and 0 < declared <= 1000 else USUAL_FRAMES_PER_SECOND


def native_world_path(env_id: str) -> str | None:
    """Where the native world of an id is, or None where it has none."""
    entry = find_entry(env_id)
    return entry.path if entry is not None and entry.native else None


def _make(spec: EnvSpec, env_id: str, options: dict[str, Any], render_mode: str | None) -> gymnasium.Env[Any, Any]:
    if render_mode is not None:  # not every environment knows the option
        options = {**options, "render_mode": render_mode}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*out of date.*")  # the user chose the version on purpose
            return gymnasium.make(env_id, disable_env_checker=True, **options)
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        extra = next((name for name in ("box2d", "mujoco") if f".{name}." in str(spec.entry_point)), None)
        message = f"environment '{env_id}': {error}" if extra is None else _install_line(env_id, extra)
        raise ImportError(message) from error
    except Exception as error:
        raise ValueError(f"environment '{env_id}' cannot be made with the options {options}: {error!r}") from error


def _preprocess(env: gymnasium.Env[Any, Any], family: str | None) -> gymnasium.Env[Any, Any]:
    if family == "atari":
        return gymnasium.wrappers.AtariPreprocessing(env)
    if family == "minigrid" and isinstance(env.observation_space, spaces.Dict):
        return OneHotGrid(env)
    return env


def _stacked(env_id: str, frame_stack: int) -> int:
    return frame_stack or (ATARI_STACK if _family(env_id) == "atari" else 0)


def _reports_mask(env: gymnasium.Env[Any, Any], family: str | None) -> bool:
    if family == "atari" or (
        isinstance(env.observation_space, spaces.Dict) and ACTION_MASK in env.observation_space.spaces
    ):
        return False
    return ACTION_MASK in _first_info(env)


def _first_info(env: gymnasium.Env[Any, Any]) -> dict[str, Any]:
    try:
        return env.reset(seed=0)[1]
    except Exception as error:
        raise KeelError(f"environment {env.spec.id if env.spec else env}: the first reset failed: {error!r}") from error


def _family(env_id: str) -> str | None:
    for name, family in _FAMILIES.items():
        if env_id.startswith(family.prefixes) or (family.infix is not None and family.infix in env_id):
            return name
    return None


def extra_of(env_id: str) -> str | None:
    """The extra of Keel that brings the worlds of this id's family, or None where none is needed or known."""
    family = _family(env_id)
    return None if family is None else _FAMILIES[family].extra


def _import_family(name: str, env_id: str) -> None:
    """Have the ids of a family registered. Raises: ImportError, with the line that installs it."""
    family = _FAMILIES[name]
    module = _import_extra(family.module, family.extra, env_id)
    if name == "atari":
        _import_extra("cv2", family.extra, env_id)
        gymnasium.register_envs(module)
    elif name == "minatar":
        minatar.register()


def _import_extra(module: str, extra: str, env_id: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(_install_line(env_id, extra)) from error


def _install_line(env_id: str, extra: str) -> str:
    return f"environment '{env_id}' needs the extra '{extra}': pip install 'keel-rl[{extra}]'"


def _check_limit(steps: Any) -> None:
    whole = isinstance(steps, int | np.integer) and not isinstance(steps, bool)
    if steps is not None and not (whole and (steps >= 1 or steps == -1)):
        raise ValueError(f"max_episode_steps is {steps!r}, it must be a whole number of at least 1, or -1 for no limit")


def _parameters(path: Any) -> set[str] | None:
    """The names of what the constructor at "module:class" takes, or None where it takes any."""
    try:
        creator: Any = load_env_creator(path) if isinstance(path, str) else path
    except (ImportError, gymnasium.error.Error):
        return None  # reported with its extra when the environment is made
    parameters = inspect.signature(creator).parameters.values()
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {parameter.name for parameter in parameters}
