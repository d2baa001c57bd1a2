"""How every training ends: at its end, by a wish to stop, or by an error; status.json says which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from keel.runners.cost import CostMeter
from keel.runners.mirror.mirror import start_mirror
from keel.runners.run import Run, RunState
from keel.runners.stop import StopWish

MIRROR_TIMEOUT_SECONDS = 60.0


class Completing(Protocol):
    """What trains into a run's folder."""

    folder: Run
    training: Any  # its settings, of which `track` and, where there is one, `energy_country` count here
    wish: StopWish
    console: Any
    on_snapshot: Callable[[], object]  # what it calls after every snapshot

    def run(self) -> Any: ...

    def close(self, state: RunState, error: str | None = None) -> None: ...


def complete(trainer: Completing, finish: Callable[[Any], object]) -> Any:
    """Train, and `finish` the result where the training reached its end; the mirror to Weights & Biases runs beside, and
    what it costs is counted.

    Returns: the trainer's result; stopped by a signal that came while it was finished, too.
    """
    cost = CostMeter(trainer.folder, getattr(trainer.training, "energy_country", None))
    trainer.on_snapshot = cost.write
    mirror = start_mirror(trainer.folder) if trainer.training.track == "wandb" else None
    state: RunState = "failed"
    error: str | None = "stopped at once"
    try:
        with trainer.wish:
            result = trainer.run()
            if result.state == "finished":
                finish(result)
            if trainer.wish.signal is not None:
                result = result._replace(state="interrupted", stopped_by=trainer.wish.signal)
        state, error = result.state, None
    except Exception as failure:
        error = f"{type(failure).__name__}: {failure}"
        raise
    finally:
        trainer.close(state, error)
        cost.finish()
        if mirror is not None:
            trainer.console.message(mirror.finish(MIRROR_TIMEOUT_SECONDS))
    return result
