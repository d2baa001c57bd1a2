"""The shield: before an action is taken, the plant's own model looks ten minutes ahead, and what would grow too warm
is drawn towards safety. Where that is not enough, Guideline 36 takes over for a while.

The model is the simulator without its surprises: load and weather stay as they are, and of faults it knows those that
a building's controls report by themselves (a stopped air handler, tower fan or chiller).

Source: after the two-stage checks that DeepMind and Google describe for their data centres (2018), here as a predictive
filter: Wabersich and Zeilinger (2021), "A predictive safety filter for learning-based control of constrained nonlinear
dynamical systems".
"""

from __future__ import annotations

import numpy as np

from keel.envs.compiled import kernel
from keel.envs.cooling import controllers, faults, layout, physics, plant
from keel.envs.cooling.layout import FALLBACK_STEPS, MODE, STEP_SECONDS
from keel.envs.cooling.step import RECOMMENDED_CELSIUS, SUBSTEPS, hottest_inlet, move_set_points
from keel.envs.protocol import Array

LOOK_AHEAD_STEPS = 2
BLENDS = 4  # an unsafe action is tried at a quarter, a half, three quarters of the way to safety
SAFE_SUPPLY, SAFE_CRAH, SAFE_CHILLED, SAFE_TOWER = 18.0, 1.0, 7.0, 1.0
HURRY = 3.0  # in an emergency set points move so much faster than usual
EMERGENCY_KELVIN = 1.0  # above the limit, seen ahead in spite of the safest action
FALLBACK_FOR_STEPS = 12


@kernel
def known_fault(row: Array) -> int:
    """The fault that acts, where the controls report it by themselves."""
    fault = faults.active_fault(row)
    return fault if fault == faults.CRAH or fault == faults.TOWER_FAN or fault == faults.CHILLER else 0


@kernel
def foresee(row: Array, target: Array, halls: int, hurry: float, scratch: Array) -> float:
    """The hottest inlet within the look-ahead where `target` is asked for now and held, degC."""
    size = layout.dynamic_size(halls)
    scratch[:size] = row[:size]
    fault, density = known_fault(row), physics.air_density(row[layout.PRESSURE])
    hottest = -100.0
    for _ in range(LOOK_AHEAD_STEPS):
        move_set_points(scratch, target, halls, hurry)
        for _ in range(SUBSTEPS):
            plant.advance_plant(scratch, halls, density, fault, STEP_SECONDS / SUBSTEPS)
            hottest = max(hottest, hottest_inlet(scratch, halls))
    return hottest


@kernel
def toward_safety(target: Array, halls: int, share: float, out: Array) -> None:
    """`target` moved by `share` of the way to full air, cold supply, cold water and a fast tower."""
    for index in range(halls):
        out[2 * index] = target[2 * index] + share * (SAFE_SUPPLY - target[2 * index])
        out[2 * index + 1] = target[2 * index + 1] + share * (SAFE_CRAH - target[2 * index + 1])
    out[2 * halls] = target[2 * halls] + share * (SAFE_CHILLED - target[2 * halls])
    out[2 * halls + 1] = target[2 * halls + 1] + share * (SAFE_TOWER - target[2 * halls + 1])


@kernel
def safest(row: Array, target: Array, halls: int, most: float, scratch: Array) -> tuple[float, float]:
    """Make `target` the first of the ways to safety that stays below `most`, or where none does, the coolest.

    First a quarter, a half, three quarters, all of the way at the usual speed, then the same in a hurry. More is not
    always safer: more air through a coil whose water is still warm comes out warmer.

    Returns: the speed at which set points shall move, beside the usual, and the hottest inlet ahead, degC.
    """
    asked = target.copy()
    tried = target.copy()
    best_hurry, coolest = 1.0, foresee(row, asked, halls, 1.0, scratch)
    for hurry in (1.0, HURRY):
        for blend in range(1, BLENDS + 1):
            if coolest <= most:
                return best_hurry, coolest
            toward_safety(asked, halls, blend / BLENDS, tried)
            hottest = foresee(row, tried, halls, hurry, scratch)
            if hottest < coolest:
                target[:] = tried
                best_hurry, coolest = hurry, hottest
    return best_hurry, coolest


@kernel
def correct(row: Array, target: Array, halls: int, margin: float, scratch: Array) -> float:
    """Make `target` [2 halls + 2] safe in place; returns how many times as fast as usual set points shall move.

    Sets MODE: 0 the agent's own, 1 corrected, 2 the fallback controller.

    Args: margin: K below the limit at which the look-ahead has to stay.
    """
    most = RECOMMENDED_CELSIUS - margin
    row[MODE] = 0.0
    if row[FALLBACK_STEPS] > 0.0:
        row[FALLBACK_STEPS] -= 1.0
        row[MODE] = 2.0
        limits = controllers.B2_LIMITS
        controllers.guideline_36(row, halls, limits[0], limits[1], limits[2], limits[3], target)
    elif foresee(row, target, halls, 1.0, scratch) > most:
        row[MODE] = 1.0
    else:
        return 1.0
    hurry, hottest = safest(row, target, halls, most, scratch)
    if row[MODE] == 1.0 and hottest > RECOMMENDED_CELSIUS + EMERGENCY_KELVIN:
        row[FALLBACK_STEPS] = FALLBACK_FOR_STEPS
        controllers.begin(row, halls)
    return hurry


@kernel
def scratch_row(halls: int) -> Array:
    """Room for a look ahead."""
    return np.zeros(layout.dynamic_size(halls))
