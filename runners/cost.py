"""What a run costs: RUN/cost.json, with the processors' time, and energy and CO2 where they were asked for.

Energy comes from codecarbon, offline: where the processor has a meter that may be read (RAPL and its kin) it is
"measured", and then it is all that the machine used meanwhile; elsewhere it is "estimated" from the processor time of
the run's own processes and the processor's rated power. That of memory is always by a model.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import resource
import time
from pathlib import Path
from typing import Any, Literal, NamedTuple

from keel.envs.errors import KeelError
from keel.runners.files import read_json, write_json
from keel.runners.run import Run

FILE = "cost.json"
METERS = ("intel_rapl", "windows_emi", "intel_power_gadget")  # modes of codecarbon's CPU that read a meter
METERED_PARTS = ("AppleSiliconChip", "Raspberry")  # and its kinds of hardware that are read by one

EnergyMethod = Literal["measured", "estimated"]


class Cost(NamedTuple):
    """As cost.json holds it, of all parts of a run that was resumed."""

    cpu_seconds: float = 0.0  # of training, evaluations and report, by all threads and worker processes
    energy_kwh: float | None = None
    emissions_grams: float | None = None  # of CO2 equivalents
    energy_method: EnergyMethod | None = None
    country: str | None = None  # whose grid counts, by its ISO code


def read_cost(run: Run) -> Cost | None:
    """What a run has cost so far; None where it was never written.

    Raises:
        KeelError: the file is damaged.
    """
    path = run.path / FILE
    if not path.exists():
        return None
    try:
        return Cost(**read_json(path))
    except TypeError as error:
        raise KeelError(f"{path} is not what a run has cost: {error}") from None


class CostMeter:
    """Counts from when it is made, on top of what cost.json says of the run's earlier parts.

    `write` brings cost.json up to date, which every snapshot does: of a part that is killed the end is lost, with the
    steps that are made again. The time of worker processes comes in when they have ended.
    """

    def __init__(self, run: Run, country: str | None = None) -> None:
        self._run = run
        self._before = read_cost(run) or Cost()
        self._energy = None if country is None else EnergyMeter(country, run.path)
        self._start = cpu_seconds()

    def write(self) -> None:
        cost = self._before._replace(cpu_seconds=self._before.cpu_seconds + cpu_seconds() - self._start)
        if self._energy is not None:
            cost = with_energy(cost, self._energy.read())
        write_json(self._run.path / FILE, cost._asdict())

    def finish(self) -> None:
        """Count to here, and no further."""
        self.write()
        if self._energy is not None:
            self._energy.close()


def cpu_seconds() -> float:
    """Processor time of this process and of those of its children that have ended, user and system."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


class Energy(NamedTuple):
    """What one part of a run used."""

    kwh: float
    grams: float  # of CO2 equivalents
    method: EnergyMethod
    country: str


def with_energy(before: Cost, energy: Energy | None) -> Cost:
    """`before` with a part more; what was estimated once stays an estimate."""
    if energy is None:
        return before
    estimated = "estimated" in (before.energy_method, energy.method)
    return before._replace(
        energy_kwh=(before.energy_kwh or 0.0) + energy.kwh,
        emissions_grams=(before.emissions_grams or 0.0) + energy.grams,
        energy_method="estimated" if estimated else "measured",
        country=energy.country,
    )


def check_country(country: str | None) -> None:
    """Whether energy can be counted for a country, before anything starts; None asks for nothing.

    Raises:
        KeelError: codecarbon is not installed.
        ValueError: it knows no grid of that country.
    """
    if country is None:
        return
    need_codecarbon()
    from codecarbon.input import DataSource

    codes = DataSource().get_global_energy_mix_data()
    if country not in codes:
        raise ValueError(
            f"energy_country is '{country}': it must be the ISO code of a country whose grid "
            f"codecarbon knows, such as DEU or USA ({len(codes)} in all)"
        )


class EnergyMeter:
    """codecarbon's tracker: no network, no files, not a word, whatever its own settings files say."""

    def __init__(self, country: str, folder: Path) -> None:
        need_codecarbon()
        from codecarbon import OfflineEmissionsTracker  # takes a second, with pandas

        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
        self._country = country
        self._last = LastReading()
        self._tracker = OfflineEmissionsTracker(
            country_iso_code=country,
            region=None,
            country_2letter_iso_code=None,
            cloud_provider=None,
            cloud_region=None,
            force_carbon_intensity_g_co2e_kwh=None,
            electricitymaps_api_token="",
            emissions_endpoint=None,
            output_methods=[],
            output_handlers=[self._last],
            output_dir=str(folder),
            tracking_mode="process",
            allow_multiple_runs=True,
            log_level="critical",
        )
        self._tracker.start()

    def read(self) -> Energy | None:
        """What was used since the meter was made; None where codecarbon has failed, which spoils no training."""
        self._tracker.flush()
        found = self._last.total
        if found is None:
            return None
        return Energy(found.energy_consumed, 1000.0 * found.emissions, self._method(), self._country)

    def close(self) -> None:
        with contextlib.suppress(AttributeError):  # of a tracker that could not be made, about which it is silent
            self._tracker.stop()

    def _method(self) -> EnergyMethod:
        parts = getattr(self._tracker, "_hardware", [])
        metered = any(getattr(part, "_mode", None) in METERS or type(part).__name__ in METERED_PARTS for part in parts)
        return "measured" if metered else "estimated"


class LastReading:
    """Takes what codecarbon would write to a file."""

    total: Any = None

    def out(self, total: Any, delta: Any) -> None:
        self.total = total

    def live_out(self, total: Any, delta: Any) -> None:
        """`out` is enough."""

    def task_out(self, data: Any, experiment_name: str) -> None:
        """There are no tasks."""

    def exit(self) -> None:
        """Nothing is open."""


def need_codecarbon() -> None:
    """Raises: KeelError where it is not installed."""
    if importlib.util.find_spec("codecarbon") is None:
        raise KeelError("energy_country needs the package codecarbon: pip install 'keel-rl[energy]'")
