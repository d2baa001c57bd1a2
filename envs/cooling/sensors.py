"""What an agent sees: the observation of a state, with perfect sensors or with those of a real hall.

Noise is a hash of the episode's seed, the step and the sensor: an observation is a pure function of the state.
"""

from __future__ import annotations

import math

import numpy as np

from keel.envs.compiled import kernel
from keel.envs.cooling import layout, step
from keel.envs.cooling.layout import GROUPS, STEPS_PER_DAY, STEPS_PER_HOUR, hall_offset
from keel.envs.protocol import Array

COMMON = 14  # clock, weather, forecast, price, carbon, demand response
PLANT = 14
HALL = 9 + GROUPS
FORECAST_HOURS = (1, 3, 6)

DELAY_STEPS = 2
NOISE_KELVIN = 0.3
RESOLUTION_KELVIN = 0.1
HUMIDITY_NOISE, HUMIDITY_RESOLUTION = 0.03, 0.05  # relative humidity outside
DROPOUT = 0.01  # share of readings that fail: the reading before is repeated
DRIFT_KELVIN_PER_DAY = 0.05
FORECAST_NOISE_KELVIN = 0.3  # after one hour, growing with the root of the hours


@kernel
def uniform(seed: float, step_index: int, channel: int) -> float:
    """A number in (0, 1) that depends on nothing but its arguments (SplitMix64; Steele, Lea and Flood 2014)."""
    word = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(step_index) * np.uint64(0xD1B54A32D192ED03)
    word += np.uint64(channel + 1) * np.uint64(0x8CB92BA72F3D8DD7)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    word = word ^ (word >> np.uint64(31))
    return (float(word >> np.uint64(11)) + 0.5) / 9007199254740992.0


@kernel
def normal(seed: float, step_index: int, channel: int) -> float:
    """A standard normal number that depends on nothing but its arguments (Box and Muller 1958)."""
    radius = math.sqrt(-2.0 * math.log(uniform(seed, step_index, 2 * channel)))
    return radius * math.cos(2.0 * math.pi * uniform(seed, step_index, 2 * channel + 1))


@kernel
def real_temperature(row: Array, halls: int, channel: int) -> float:
    """What the sensor in the log's place `channel` reports: late, noisy, drifting, in steps, sometimes not at all."""
    now = int(row[layout.STEP])
    seed = row[layout.NOISE_SEED]
    lost = 1 if uniform(seed, now, 1000 + channel) < DROPOUT else 0
    measured = max(now - DELAY_STEPS - lost, 0)
    drift = DRIFT_KELVIN_PER_DAY * (2.0 * uniform(seed, 0, 2000 + channel) - 1.0) * now / STEPS_PER_DAY
    value = row[layout.log_offset(measured, halls) + channel] + drift + NOISE_KELVIN * normal(seed, measured, channel)
    return in_steps(value, RESOLUTION_KELVIN)


@kernel
def in_steps(value: float, size: float) -> float:
    """The nearest multiple of `size`."""
    return round(value / size) * size


@kernel
def temperature(row: Array, halls: int, channel: int, perfect: bool) -> float:
    """Of the log's place `channel`, degC: the truth of now, or what a real sensor reports."""
    if perfect:
        return row[layout.log_offset(int(row[layout.STEP]), halls) + channel]
    return real_temperature(row, halls, channel)


@kernel
def observe_common(row: Array, halls: int, days: int, perfect: bool, out: Array) -> None:
    """Clock, weather, forecast and signals into out[0:14]."""
    hours = row[layout.STEP] / STEPS_PER_HOUR
    day_angle = 2.0 * math.pi * (hours % 24.0) / 24.0
    year_angle = 2.0 * math.pi * ((row[layout.FIRST_HOUR] + hours) % 8760.0) / 8760.0
    out[0], out[1] = math.sin(day_angle), math.cos(day_angle)
    out[2], out[3] = math.sin(year_angle), math.cos(year_angle)
    dry_bulb, humidity = row[layout.DRY_BULB], row[layout.HUMIDITY]
    if not perfect:
        now, seed = int(row[layout.STEP]), row[layout.NOISE_SEED]
        dry_bulb = in_steps(dry_bulb + NOISE_KELVIN * normal(seed, now, 800), RESOLUTION_KELVIN)
        humidity = in_steps(humidity + HUMIDITY_NOISE * normal(seed, now, 801), HUMIDITY_RESOLUTION)
    out[4] = (dry_bulb - 15.0) / 15.0
    out[5] = (row[layout.WET_BULB] - 12.0) / 12.0 if perfect else 0.0
    out[6] = 2.0 * min(max(humidity, 0.0), 1.0) - 1.0
    out[7] = (row[layout.PRESSURE] - 9.5e4) / 1.0e4
    for index in range(len(FORECAST_HOURS)):
        ahead = FORECAST_HOURS[index]
        noise = (
            FORECAST_NOISE_KELVIN
            * math.sqrt(ahead)
            * normal(row[layout.NOISE_SEED], int(row[layout.STEP]), 900 + index)
        )
        coming = step.hourly(row, layout.WET_BULB_TRACE, halls, days, hours + ahead) + noise
        out[8 + index] = (coming - 12.0) / 12.0 if perfect else 0.0
    out[11] = (row[layout.PRICE] - 0.2) / 0.1
    out[12] = (row[layout.CARBON] - 400.0) / 200.0
    out[13] = 1.0 if step.faults.active_fault(row) == step.faults.DEMAND_RESPONSE else 0.0


@kernel
def observe_plant(row: Array, halls: int, perfect: bool, out: Array) -> None:
    """Water, machines and set points of the plant into out[14:28]."""
    out[14] = (temperature(row, halls, 0, perfect) - 14.0) / 6.0
    out[15] = (temperature(row, halls, 1, perfect) - 22.0) / 6.0
    out[16] = (temperature(row, halls, 2, perfect) - 20.0) / 8.0
    out[17] = (temperature(row, halls, 3, perfect) - 24.0) / 8.0
    out[18] = 2.0 * row[layout.CHILLED_FLOW] / (halls * step.physics.COIL_WATER_KILOGRAMS_PER_SECOND) - 1.0
    out[19] = row[layout.ECONOMISER_ON]
    out[20] = min(row[layout.ECONOMISER_SECONDS] / step.plant.HOLD_SECONDS, 1.0)
    out[21] = row[layout.ECONOMISER_SHARE]
    out[22] = row[layout.CHILLER_ON]
    out[23] = min(row[layout.CHILLER_SECONDS] / step.plant.HOLD_SECONDS, 1.0)
    out[24] = row[layout.PART_LOAD]
    out[25] = scaled(row[layout.CHILLED_SET], step.CHILLED_LEAST, step.CHILLED_MOST)
    out[26] = scaled(row[layout.TOWER_SET], step.TOWER_LEAST, step.TOWER_MOST)
    # Beside the reference's power, which is known for the wet bulb alone, the power would tell the wet bulb.
    out[27] = (row[layout.TOTAL] - row[layout.BASELINE]) / (100.0 * halls) if perfect else 0.0


@kernel
def observe_hall(row: Array, halls: int, index: int, perfect: bool, out: Array) -> None:
    """Load, air, valve and set points of one hall into its HALL numbers."""
    hall, at = hall_offset(index), COMMON + PLANT + index * HALL
    log = 4 + index * layout.SENSORS
    out[at] = 2.0 * row[hall + layout.LOAD] - 1.0
    out[at + 1] = 2.0 * row[hall + layout.LOAD_MEAN] - 1.0
    out[at + 2] = (row[hall + layout.HALL_IT] - 700.0) / 300.0
    out[at + 3] = (temperature(row, halls, log, perfect) - 22.0) / 5.0
    out[at + 4] = (temperature(row, halls, log + 1, perfect) - 34.0) / 5.0
    out[at + 5] = 2.0 * row[hall + layout.VALVE] - 1.0
    out[at + 6] = scaled(row[hall + layout.SUPPLY_SET], step.SUPPLY_LEAST, step.SUPPLY_MOST)
    out[at + 7] = scaled(row[hall + layout.CRAH_SET], step.CRAH_LEAST, step.CRAH_MOST)
    for group in range(GROUPS):
        out[at + 8 + group] = (temperature(row, halls, log + 2 + group, perfect) - 24.0) / 3.0
    out[at + 8 + GROUPS] = 5.0 * row[hall + layout.AIR_BALANCE]


@kernel
def scaled(value: float, least: float, most: float) -> float:
    """[least, most] onto [-1, 1]."""
    return 2.0 * (value - least) / (most - least) - 1.0


@kernel
def observe(state: Array, halls: int, days: int, perfect: bool, out: Array) -> None:
    """Observations [B O] float32 of the states [B S]."""
    for i in range(len(state)):
        observe_common(state[i], halls, days, perfect, out[i])
        observe_plant(state[i], halls, perfect, out[i])
        for index in range(halls):
            observe_hall(state[i], halls, index, perfect, out[i])


def observation_size(halls: int) -> int:
    """Numbers of an observation."""
    return COMMON + PLANT + HALL * halls
