"""The data centre's cooling as a world to learn in: its options, actions and observations."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

from keel.envs.cooling import actions as action_kinds
from keel.envs.cooling import assets, batch, controllers, faults, layout, step
from keel.envs.cooling.sensors import observation_size, observe
from keel.envs.cooling.signals import load_signals
from keel.envs.cooling.weather import load_weather, warmer
from keel.envs.cooling.workload import load_workload
from keel.envs.errors import closest
from keel.envs.protocol import ACTION_MASK, Array, Observation

if TYPE_CHECKING:
    import pygame

    from keel.envs.cooling.panel import Panel

OBJECTIVES = ("energy", "cost", "carbon", "water")
SETTLING_STEPS = 24
WEEKS = 52
MAX_HALLS = 8
MAX_DAYS = 366


class DataCenterCooling:
    """Cool a data centre of 1 MW halls with as little power as can be, and no server inlet above 27 degC.

    Halls with four groups of racks each, containment, air handlers with chilled water coils and fans; one plant with
    waterside economiser, chiller, pumps and cooling tower; real or synthetic weather and load. A step is five minutes,
    an episode seven days. Local loops (valves, staging, economiser) run by themselves; the agent moves set points.

    Actions, Box [2 halls + 2] from -1 to 1 (`actions` "box"):

    | index       | meaning                           | at -1  | at 1   | moves in a step by at most |
    |-------------|-----------------------------------|--------|--------|----------------------------|
    | 2 h         | supply air of hall h              | 16 degC| 27 degC| 1 K                        |
    | 2 h + 1     | speed of its air handlers         | 0.3    | 1.0    | 0.1                        |
    | 2 halls     | chilled water                     | 7 degC | 20 degC| 1 K                        |
    | 2 halls + 1 | speed of the tower's fan          | 0.1    | 1.0    | 0.2                        |

    With `actions` 81, Discrete: digit d of the action in base 3 (least first) lowers (0), keeps (1) or raises (2) set
    point d by 0.5 K, 0.05, 0.5 K, 0.1. With 9: 0 keeps all, 2 d + 1 lowers set point d, 2 d + 2 raises it. With
    "multi", MultiDiscrete [3 3 3 3], the digits of 81. These three are for a single hall.

    Observation, Box [28 + 13 halls] float32, each number shifted and scaled to about -1 to 1:

    | index | meaning                                                   | unit, (shift) / scale          |
    |-------|-----------------------------------------------------------|--------------------------------|
    | 0-1   | sine and cosine of the hour of the day                    |                                |
    | 2-3   | sine and cosine of the day of the year                    |                                |
    | 4     | dry bulb outside                                          | degC, (15) / 15                |
    | 5     | wet bulb outside                                          | degC, (12) / 12                |
    | 6     | relative humidity outside                                 | 0 to 1 onto -1 to 1            |
    | 7     | air pressure                                              | kPa, (95) / 10                 |
    | 8-10  | forecast of the wet bulb in 1, 3 and 6 hours, noisy       | degC, (12) / 12                |
    | 11    | price                                                     | USD/kWh, (0.2) / 0.1           |
    | 12    | carbon intensity of the grid                              | g/kWh, (400) / 200             |
    | 13    | 1 while the grid asks for less (demand response)          |                                |
    | 14-15 | chilled water, supply and return                          | degC, (14) and (22) / 6        |
    | 16-17 | condenser water, supply and return                        | degC, (20) and (24) / 8        |
    | 18    | chilled water flow                                        | share, 0 to 1 onto -1 to 1     |
    | 19-20 | economiser: on, time since switched (20 min = 1)          |                                |
    | 21    | economiser's share of the heat                            | 0 to 1                         |
    | 22-23 | chiller: on, time since switched (20 min = 1)             |                                |
    | 24    | chiller's part load                                       | 0 to 1.03                      |
    | 25-26 | set points: chilled water, tower                          | as the actions                 |
    | 27    | total power above the reference controller's              | kW a hall / 100                |
    | +0    | of each hall: utilisation in the last step                | 0 to 1 onto -1 to 1            |
    | +1    | its exponential mean over about an hour                   | 0 to 1 onto -1 to 1            |
    | +2    | power of the servers                                      | kW, (700) / 300                |
    | +3-4  | supply and return air                                     | degC, (22) and (34) / 5        |
    | +5    | valve                                                     | 0 to 1 onto -1 to 1            |
    | +6-7  | set points: supply air, air handlers                      | as the actions                 |
    | +8-11 | inlets of the four groups of racks                        | degC, (24) / 3                 |
    | +12   | air supplied beside what the racks draw, less 1           | share, times 5                 |

    With `masks`, a Dict of this ("observation") and of the legal actions ("action_mask", MultiBinary, 1 = legal), for
    `actions` 9, 81 or "multi" (there three bits a set point). Not legal is what would move a set point that is at its
    bound already; a move that the bound shortens is, and so is keeping all. The mask speaks of the agent's own moves: the
    shield and the controllers do not heed it.

    The load of a step is seen when the step is over: nobody acts on a jump before it has happened.

    With `sensors` "real" all temperatures of water and of the halls' air are reported ten minutes late, with noise (0.3
    K), steps of 0.1 K, drift (up to 0.05 K a day) and 1 % dropouts (the reading of the step before, once more). The
    weather is measured on the roof: dry bulb (noise 0.3 K, steps of 0.1 K) and humidity (noise 0.03, steps of 0.05);
    indices 5, 8 to 10 and 27, which would tell the wet bulb, are 0.

    Reward: -(P - P_ref) / 10 kW a hall, where P is the facility's power and P_ref that of Guideline 36 (B2) in steady
    state at this load and wet bulb (at sea level: thin air, as in Denver, makes B2 itself some kW better); minus
    `excess_weight` for each kelvin of each group of racks above `soft_limit` at the step's end, a hall; minus
    `move_weight` times the mean move of the set points (shares of their ranges). `objective` "cost" and "carbon" weigh
    the power by price and carbon intensity beside ordinary ones (0.12 USD/kWh, 380 g/kWh), "water" adds 0.05 kWh for
    each litre. `reward` "raw" leaves P_ref out. In a demand response event (a fault) each kW above 97 % of P_ref costs
    once more, and is the measure `excess_kw`.

    Measures (`info`, and `info["metrics"]`): means over the step of all powers in kW; pue, wue (L/kWh), cue (kg/kWh);
    water_litres, price_usd, co2_kg of the step; cop; the hottest inlet; `cost`, the constraint's: kelvin above 27 degC at
    the step's end, summed over groups, and of the change within an hour above 20 K; `violation_minutes` above 27 degC (recommended) and
    `allowable_violation_minutes` above 32 degC (class A1); energy_residual_watts, of the balance of all heat;
    baseline_kw, P_ref; fault (number); intervention and fallback of the shield.

    Start: B2 has run for two hours in the first moment's weather. Terminated: with `last_celsius` only, an inlet above
    it. Truncated: after `days`.

    Not modelled: humidity inside (a separate unit dries the little fresh air), the room of the batteries, people.

    Options:
        weather: a site of `weather.SITES`, "any" of them by chance, or an EPW file.
        workload: "synthetic" or a CSV file with utilisation every five minutes. price, carbon: see `signals`.
        days: of an episode. week: 0 to 51 of the year; by default any day.
        halls: 1 to 8. actions: "box", 9, 81 or "multi". masks: whether legal actions are part of the observation.
        sensors: "perfect" or "real".
        objective: "energy", "cost", "carbon" or "water". reward: "relative" or "raw".
        excess_weight, soft_limit (degC), move_weight: of the reward.
        fault: a name of `faults.FAULTS`, "any" or "none".
        shield: whether `shield.py` corrects actions. shield_margin: K below 27 degC at which it does.
        controller: "b0" to "b3" decides instead of the agent, whose actions are then ignored.
        supply_most, chilled_most, lift_most, air_margin: of b3; by default those tuned for the site or the nearest one.
        last_celsius: an inlet as warm as this ends the episode; by default none.

    Sources: physics.py, plant.py, hall.py and controllers.py name theirs. Limits: ASHRAE TC 9.9 (2021), Thermal
    guidelines for data processing environments, 5th edition.
    """

    metric_names = layout.READING_NAMES
    frames_per_second = 12  # an hour of operation in a second
    frame_size = (1280, 720)

    def __init__(
        self,
        weather: str = "ashburn",
        workload: str = "synthetic",
        price: str = "flat",
        carbon: str = "flat",
        days: int = 7,
        week: int | None = None,
        halls: int = 1,
        actions: str | int = "box",
        masks: bool = False,
        sensors: str = "perfect",
        objective: str = "energy",
        reward: str = "relative",
        excess_weight: float = 20.0,
        soft_limit: float = 26.5,
        move_weight: float = 0.2,
        fault: str = "none",
        shield: bool = False,
        shield_margin: float = 0.4,
        controller: str | None = None,
        supply_most: float | None = None,
        chilled_most: float | None = None,
        lift_most: float | None = None,
        air_margin: float | None = None,
        last_celsius: float | None = None,
    ) -> None:
        self.halls = whole("halls", halls, 1, MAX_HALLS)
        self.days = whole("days", days, 1, MAX_DAYS)
        self.week = None if week is None else whole("week", week, 0, WEEKS - 1)
        self.weather = load_weather(text("weather", weather))
        self.workload = load_workload(text("workload", workload))
        self.signals = load_signals(text("price", price), text("carbon", carbon))
        self.fault = one_of("fault", fault, (*faults.FAULTS, "any"))
        self.controller = None if controller is None else one_of("controller", controller, controllers.NUMBERS)
        self._perfect = one_of("sensors", sensors, ("perfect", "real")) == "perfect"
        self._actions = make_actions(actions, self.halls)
        self.action_space = self._actions.space
        self._masks = action_kinds.make_masks(actions, self._actions) if flag("masks", masks) else None
        self.observation_space = self._observation_space()
        self.state_size = layout.state_size(self.halls, self.days)
        self.episode_steps = layout.STEPS_PER_DAY * self.days
        self.table = np.zeros((step.REFERENCE_LOADS, step.REFERENCE_WET_BULBS, 4))  # of bound.py's table controller
        self.settings = np.zeros(batch.SETTINGS)
        self.settings[batch.OBJECTIVE] = OBJECTIVES.index(one_of("objective", objective, OBJECTIVES))
        self.settings[batch.RELATIVE] = float(one_of("reward", reward, ("relative", "raw")) == "relative")
        self.settings[batch.EXCESS_WEIGHT] = number("excess_weight", excess_weight, 0.0, 1000.0)
        self.settings[batch.SOFT_LIMIT] = number("soft_limit", soft_limit, 18.0, 45.0)
        self.settings[batch.MOVE_WEIGHT] = number("move_weight", move_weight, 0.0, 1000.0)
        self.settings[batch.SHIELD] = float(flag("shield", shield))
        if shield and self.controller:
            raise ValueError(
                f"shield is true and controller is {controller!r}: the shield is for agents, leave one out"
            )
        self.settings[batch.SHIELD_MARGIN] = number("shield_margin", shield_margin, 0.0, 5.0)
        self.settings[batch.CONTROLLER] = controllers.NUMBERS[self.controller] if self.controller else 0
        last = math.inf if last_celsius is None else number("last_celsius", last_celsius, 27.0, 100.0)
        self.settings[batch.LAST_CELSIUS] = last
        self._set_limits((supply_most, chilled_most, lift_most, air_margin))
        self.reference = assets.reference_table()

    def _observation_space(self) -> spaces.Space[Any]:
        vector = spaces.Box(-np.inf, np.inf, (observation_size(self.halls),), np.float32)
        if self._masks is None:
            return vector
        return spaces.Dict({"observation": vector, ACTION_MASK: spaces.MultiBinary(self._masks.size)})

    def _set_limits(self, given: tuple[float | None, ...]) -> None:
        """The limits of B2, or those of B3: given, or tuned for the climate."""
        limits = controllers.B2_LIMITS
        if self.controller == "b3":
            tuned = assets.tuned_limits(self.weather) if None in given else controllers.B2_LIMITS
            limits = [tuned[i] if value is None else value for i, value in enumerate(given)]
        elif any(value is not None for value in given):
            raise ValueError(
                f"supply_most, chilled_most, lift_most, air_margin are {given}: they are for controller b3"
            )
        self.settings[batch.SUPPLY_LIMIT] = number("supply_most", limits[0], 18.0, step.SUPPLY_MOST)
        self.settings[batch.CHILLED_LIMIT] = number("chilled_most", limits[1], step.CHILLED_LEAST, step.CHILLED_MOST)
        self.settings[batch.LIFT_LIMIT] = number("lift_most", limits[2], 12.0, 30.0)
        self.settings[batch.AIR_LIMIT] = number("air_margin", limits[3], 0.0, 1.0)

    def start(self, generator: np.random.Generator, fault: str | None = None) -> Array:
        """The state [S] in which an episode starts; `fault` instead of the world's own for this one."""
        name = self.fault if fault is None else one_of("fault", fault, (*faults.FAULTS, "any"))
        first_hour = 24 * int(generator.integers(365)) if self.week is None else 168 * self.week
        hours, loads = layout.hourly_count(self.days), layout.load_count(self.days)
        weather = self.weather.hours(generator, first_hour, hours)
        load = self.workload.steps(generator, first_hour * layout.STEPS_PER_HOUR, loads, self.halls)
        signals = self.signals.hours(first_hour, hours)
        event = faults.draw_fault(generator, name, self.days, self.halls)
        if event[0] == faults.HEAT_WAVE:
            weather = warmer(weather, faults.heat_wave_kelvin(event, hours))
        if event[0] == faults.LOAD_SPIKE:
            load = load.copy()
            load[int(event[1]) : int(event[2]) + 1] += event[3]
            load = np.minimum(load, 1.0)
        row = np.zeros(self.state_size)
        row[layout.FIRST_HOUR], row[layout.PRESSURE] = first_hour, weather.pressure_pascals
        row[layout.NOISE_SEED] = generator.integers(2**32)
        row[layout.FAULT : layout.FAULT + 5] = event
        traces = (*weather[:3], signals.price_usd_per_kwh, signals.carbon_grams_per_kwh)
        at = int(layout.dynamic_size(self.halls))
        row[at:] = np.concatenate([*traces, load.T.ravel()])
        begin_plant(row, self.halls, self.days)
        batch.settle(row, self.halls, self.days, SETTLING_STEPS, self.reference)
        return row

    def step(self, state: Array, action: Array, reward: Array, terminated: Array, metrics: Array) -> None:
        targets = self._actions.targets(state, action)
        self.step_to(state, targets, reward, terminated, metrics)

    def step_to(self, state: Array, targets: Array, reward: Array, terminated: Array, metrics: Array) -> None:
        """As `step`, but with the set points [B, 2 halls + 2] themselves, in their units."""
        tables = (self.settings, self.reference, self.table)
        batch.step_batch(state, targets, self.halls, self.days, *tables, reward, terminated, metrics)

    def observe(self, state: Array) -> Observation:
        out = np.empty((len(state), observation_size(self.halls)), np.float32)
        observe(state, self.halls, self.days, self._perfect, out)
        if self._masks is None:
            return out
        return {ACTION_MASK: self._masks.of(state), "observation": out}  # in the order of the space

    @cached_property
    def panel(self) -> Panel:
        """The operator's view; it remembers what it has been shown."""
        from keel.envs.cooling.panel import Panel

        return Panel(self.halls, self.days, self.weather.name, self.controller)

    def text(self, state: Array) -> str:
        return self.panel.text(state)

    def draw(self, state: Array, canvas: pygame.Surface) -> None:
        self.panel.draw(state, canvas)


def begin_plant(row: Array, halls: int, days: int) -> None:
    """A plant at rest in mild conditions, with everything free to be switched."""
    wet_bulb = row[int(layout.hourly_offset(layout.WET_BULB_TRACE, halls, days))]
    row[layout.CHILLED_SUPPLY : layout.CONDENSER_RETURN + 1] = (15.0, 22.0, 18.0, 22.0)
    row[layout.TOWER_AIR_WET_BULB] = wet_bulb + 4.0
    row[layout.CHILLED_SET], row[layout.TOWER_SET] = 15.0, 0.6
    row[layout.ECONOMISER_SECONDS] = row[layout.CHILLER_SECONDS] = 1200.0
    for index in range(halls):
        hall = int(layout.hall_offset(index))
        row[[hall + layout.COLD, hall + layout.COLD_MASS, hall + layout.SUPPLY, hall + layout.SUPPLY_REPORTED]] = 22.0
        row[[hall + layout.HOT, hall + layout.MASS, hall + layout.RETURN]] = 34.0
        row[hall + layout.VALVE] = 0.6
        row[hall + layout.SUPPLY_SET], row[hall + layout.CRAH_SET] = 22.0, 0.6
        row[hall + layout.INLET : hall + layout.INLET + layout.GROUPS] = 23.0
        row[hall + layout.HISTORY : hall + layout.HISTORY + layout.STEPS_PER_HOUR] = 23.0


def make_actions(kind: str | int, halls: int) -> action_kinds.Actions:
    """What an action means. Raises: ValueError."""
    kinds = {
        "box": action_kinds.SetPoints,
        9: action_kinds.OneMove,
        81: action_kinds.AllMoves,
        "multi": action_kinds.SeparateMoves,
    }
    if type(kind) not in (str, int) or kind not in kinds:
        raise ValueError(f"actions is {kind!r}, it must be one of {', '.join(map(str, kinds))}")
    if kind != "box" and halls != 1:
        raise ValueError(f"actions is {kind!r}, which is for a single hall, and halls is {halls}: use 'box'")
    return kinds[kind](halls)


def whole(name: str, value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name} is {value!r}, it must be a whole number from {least} to {most}")
    return value


def number(name: str, value: Any, least: float, most: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name} is {value!r}, it must be a number from {least:g} to {most:g}")
    return float(value)


def flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, it must be true or false")
    return value


def text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, it must be a name or the path of a file")
    return value


def one_of(name: str, value: Any, known: Any) -> str:
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} is {value!r}{closest(str(value), known)}; it must be one of {', '.join(known)}")
    return value
