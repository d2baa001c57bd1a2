"""What the numbers of a world are called: its sensors with their units, and its actions, where they are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from keel.envs.protocol import ACTION_MASK, Array, Observation
from keel.envs.registry import find_entry

BOARD_GAME = "keel.envs.games.as_env:BoardGame"
COOLING = "keel.envs.cooling.env:DataCenterCooling"


class Sensor(NamedTuple):
    """One number of a vector observation: in the world's own units it is `shift` + `scale` times it."""

    name: str
    at: int
    shift: float = 0.0
    scale: float = 1.0
    unit: str = ""

    def text(self, vector: Array) -> str:
        value = self.shift + self.scale * float(vector[self.at])
        return f"{short(value)} {self.unit}".rstrip()


class Names(NamedTuple):
    """How a world's numbers are called.

    Attributes:
        sensors: those of a vector, the most telling ones first; empty where nothing is known of them.
        actions: one for each choice of every part of a discrete action, or for each axis of a real one.
    """

    sensors: tuple[Sensor, ...]
    actions: tuple[str, ...]


# Of Gymnasium's worlds, in the order of their documentation; a world whose name begins so has them.
SENSORS: dict[str, tuple[str, ...]] = {
    "CartPole": ("cart position", "cart velocity", "pole angle", "pole angular velocity"),
    "Pendulum": ("cosine of the angle", "sine of the angle", "angular velocity"),
    "MountainCar": ("position", "velocity"),
    "Acrobot": ("cosine, first link", "sine, first link", "cosine, second link", "sine, second link",
                "velocity, first link", "velocity, second link"),
    "LunarLander": ("x", "y", "x velocity", "y velocity", "angle", "angular velocity", "left leg touches",
                    "right leg touches"),
}  # fmt: skip
WITHOUT_VELOCITY = {"keel/CartPoleNoVelocity": ("cart position", "pole angle")}
MINIGRID_ACTIONS = ("turn left", "turn right", "forward", "pick up", "drop", "toggle", "done")
ACTIONS: dict[str, tuple[str, ...]] = {
    "CartPole": ("push left", "push right"),
    "Pendulum": ("torque",),
    "MountainCarContinuous": ("push",),
    "MountainCar": ("push left", "no push", "push right"),
    "Acrobot": ("torque -1", "no torque", "torque +1"),
    "LunarLanderContinuous": ("main engine", "side engines"),
    "LunarLander": ("no engine", "left engine", "main engine", "right engine"),
    "FrozenLake": ("left", "down", "right", "up"),
    "CliffWalking": ("up", "right", "down", "left"),
    "Taxi": ("south", "north", "east", "west", "pick up", "drop off"),
    "MiniGrid": MINIGRID_ACTIONS,
    "BabyAI": MINIGRID_ACTIONS,
}


def names_of(
    env_id: str, options: Mapping[str, Any], observation: spaces.Space[Any], action: spaces.Space[Any]
) -> Names:
    """The names for the worlds of an id that were made with these options and have these spaces."""
    entry = find_entry(env_id)
    made = {**(entry.options if entry else {}), **options}
    if entry is not None and entry.path == COOLING:
        halls = int(made.get("halls", 1))
        return Names(cooling_sensors(halls), cooling_actions(made.get("actions", "box"), halls, action))
    actions = _known(ACTIONS, env_id)
    if entry is not None and entry.path == BOARD_GAME:
        from keel.envs.games.games import make_game

        game = make_game(made["game"])
        actions = tuple(game.action_name(index, 0) for index in range(game.actions))
    if len(actions) != count_actions(action):
        actions = plain_actions(action)
    known = _known(WITHOUT_VELOCITY, env_id) or _known(SENSORS, env_id)
    size = vector_of_space(observation)
    sensors = tuple(Sensor(name, index) for index, name in enumerate(known)) if len(known) == size else ()
    return Names(sensors, actions)


def _known(table: Mapping[str, tuple[str, ...]], env_id: str) -> tuple[str, ...]:
    """The entry of the first name with which the id begins, whosesoever world it is."""
    bare = env_id.split(":")[-1]
    names = (bare, bare.removeprefix("keel/"))
    return next((found for begin, found in table.items() if any(name.startswith(begin) for name in names)), ())


def cooling_sensors(halls: int) -> tuple[Sensor, ...]:
    """Of the data centre: its table of observations, back in the units of the plant; the hall's own ones come first.

    Source: the table in keel.envs.cooling.env.
    """
    sensors: list[Sensor] = []
    for hall in range(halls):
        at, which = 28 + 13 * hall, f" {hall + 1}" if halls > 1 else ""
        sensors += [Sensor(f"inlet{which}, group {group + 1}", at + 8 + group, 24, 3, "°C") for group in range(4)]
        sensors += [
            Sensor(f"supply air{which}", at + 3, 22, 5, "°C"),
            Sensor(f"return air{which}", at + 4, 34, 5, "°C"),
            Sensor(f"servers{which}", at + 2, 700, 300, "kW"),
            Sensor(f"utilisation{which}", at, 50, 50, "%"),
            Sensor(f"valve{which}", at + 5, 50, 50, "%"),
        ]
    return (
        *sensors,
        Sensor("power above reference", 27, 0, 100 * halls, "kW"),
        Sensor("dry bulb outside", 4, 15, 15, "°C"),
        Sensor("wet bulb outside", 5, 12, 12, "°C"),
        Sensor("chilled water, supply", 14, 14, 6, "°C"),
        Sensor("chilled water, return", 15, 22, 6, "°C"),
        Sensor("condenser water, supply", 16, 20, 8, "°C"),
        Sensor("condenser water, return", 17, 24, 8, "°C"),
        Sensor("economiser's share", 21, 0, 100, "%"),
        Sensor("chiller's part load", 24, 0, 100, "%"),
        Sensor("wet bulb in 6 hours", 10, 12, 12, "°C"),
        Sensor("humidity outside", 6, 50, 50, "%"),
    )


def cooling_actions(kind: Any, halls: int, space: spaces.Space[Any]) -> tuple[str, ...]:
    """Set points, or moves of them: ▼ lowers and ▲ raises."""
    set_points = [f"{name} {hall + 1}".removesuffix(" 1" if halls == 1 else "") for hall in range(halls)
                  for name in ("supply air", "air handlers")] + ["chilled water", "tower"]  # fmt: skip
    if kind == "box":
        return tuple(set_points)
    parts = ("air", "fans", "water", "tower")
    if kind == 9:
        return ("keep all", *(f"{part} {sign}" for part in parts for sign in "▼▲"))
    if kind == "multi":
        return tuple(f"{part} {sign}" for part in parts for sign in "▼=▲")
    moves = ([f"{part}{'▼=▲'[index // 3**digit % 3]}" for digit, part in enumerate(parts)] for index in range(81))
    return tuple(" ".join(move for move in row if not move.endswith("=")) or "keep all" for row in moves)


def count_actions(space: spaces.Space[Any]) -> int:
    """How many names an action needs: the choices of all its parts, or its axes."""
    match space:
        case spaces.Discrete():
            return int(space.n)
        case spaces.MultiDiscrete():
            return int(space.nvec.sum())
    return int(np.prod(space.shape or (1,)))


def plain_actions(space: spaces.Space[Any]) -> tuple[str, ...]:
    """Numbers, for actions of which nothing is known."""
    match space:
        case spaces.Discrete():
            return tuple(f"action {int(space.start) + index}" for index in range(int(space.n)))
        case spaces.MultiDiscrete():
            return tuple(f"part {part}: {choice}" for part, size in enumerate(space.nvec) for choice in range(size))
        case spaces.MultiBinary():
            return tuple(f"switch {index}" for index in range(count_actions(space)))
    return tuple(f"axis {index}" for index in range(count_actions(space)))


def vector_of_space(space: spaces.Space[Any]) -> int:
    """The length of the vector that `vector_in` finds in observations of this space; 0 where there is none."""
    if isinstance(space, spaces.Dict):
        return next((size for key, part in space.items() if key != ACTION_MASK and (size := vector_of_space(part))), 0)
    return space.shape[-1] if isinstance(space, spaces.Box) and len(space.shape) in (1, 2) else 0


def vector_in(observation: Observation) -> Array | None:
    """The first vector in one observation; of a stack of vectors the newest. None where there are but images."""
    if isinstance(observation, dict):
        parts = (vector_in(part) for key, part in observation.items() if key != ACTION_MASK)
        return next((part for part in parts if part is not None), None)
    if observation.ndim == 0 or observation.ndim > 2:
        return None
    return observation[-1] if observation.ndim == 2 else observation


def described(observation: Observation, name: str = "observation") -> Sequence[tuple[str, str]]:
    """The parts of one observation that are no vector, by their shapes."""
    if isinstance(observation, dict):
        return [row for key, part in observation.items() if key != ACTION_MASK for row in described(part, key)]
    if observation.ndim == 1:
        return []
    return [(name, " × ".join(map(str, observation.shape)) if observation.ndim else short(float(observation)))]


def short(value: float) -> str:
    """A number in at most seven signs, with a plain minus and no needless digits."""
    size = abs(value)
    if size >= 1e6 or 0 < size < 5e-4:
        return f"{value:.1e}".replace("e+0", "e").replace("e-0", "e-")
    return (
        f"{value:.0f}"
        if size >= 1000
        else f"{value:.1f}"
        if size >= 100
        else f"{value:.2f}"
        if size >= 10
        else f"{value:.3f}"
    )
