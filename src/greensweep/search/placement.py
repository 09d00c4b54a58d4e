"""Which GPU a worker has: each process takes one that no other of the user's workers has."""

import logging
import os
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from greensweep.config.sweeper import SweeperConfig
from greensweep.energy.gpus import VISIBLE, CudaDevice, cuda_devices, machine_gpus
from greensweep.energy.ledger import runtime_folder
from greensweep.errors import StudyError, plural
from greensweep.messages import message_of
from greensweep.resources import usable_cores
from greensweep.search.planned_run import PlannedRun

log = logging.getLogger(__name__)

# Held for as long as this process lives; a dead one's are free again.
_taken: list[FileLock] = []


def visible_gpus() -> list[CudaDevice]:
    """Return what CUDA shows this process, without starting CUDA; nothing where NVML refuses."""
    try:
        return cuda_devices(machine_gpus())
    except Exception:  # pynvml's errors, whose class needs the library; the meter names them
        return []


def take_gpus(wanted: int | None) -> None:
    """Let CUDA show this process so many GPUs, those that the fewest other workers have.

    To be called before CUDA starts here; a process that has taken some keeps them, and they are
    always among those that it saw before.

    Args:
        wanted: 0 hides all; None leaves everything as it is.
    """
    torch = sys.modules.get("torch")
    if wanted is None or _taken or (torch is not None and torch.cuda.is_initialized()):
        return
    if wanted == 0:
        os.environ[VISIBLE] = ""
    elif visible := visible_gpus():
        try:
            folder = runtime_folder()
            with FileLock(folder / "gpus.lock"):  # so that two do not take halves of what both need
                os.environ[VISIBLE] = ",".join(_least_used(visible, wanted, folder))
        except OSError as error:
            log.warning(f"No worker has a GPU of its own: {message_of(error, '')}.")


def _least_used(visible: list[CudaDevice], wanted: int, folder: Path) -> list[str]:
    mine: list[str] = []
    for user, device in ((user, device) for user in count() for device in visible):
        if len(mine) == min(wanted, len(visible)):
            break
        if device.id not in mine:
            slot = FileLock(folder / f"{device.id.replace('/', '-')}.{user}.lock")
            with suppress(Timeout):
                slot.acquire(timeout=0)
                _taken.append(slot)
                mine.append(device.id)
    return mine


def gpus_of_worker(options: SweeperConfig, run: PlannedRun | None) -> int | None:
    """Return how many GPUs each worker takes; None where it takes none, and may use any.

    Args:
        run: as the configuration plans it; None of a program of which that is not known, and which
            may train on a GPU.
    """
    if options.gpus_per_worker is not None or options.executor == "slurm":
        return options.gpus_per_worker  # a login node knows nothing of other nodes' GPUs
    each = 1 if run is None else run.any_gpus
    return each if each and visible_gpus() else None


def workers_of(options: SweeperConfig, each: int | None) -> int:
    """Return how many workers a sweep has.

    Args:
        each: the GPUs that each takes.

    Raises:
        StudyError: there are too few GPUs for them; or they are to be as many as this machine has
            room for, and run elsewhere.
    """
    if options.executor == "slurm":
        if options.n_workers == "auto":
            raise StudyError(
                "hydra.sweeper.n_workers=auto is what this machine has room for, and trials run on "
                "others: give the number of jobs, hydra.sweeper.n_workers=4, say"
            )
        return int(options.n_workers)
    cores = max(usable_cores() // 2, 1)
    if not each:
        return cores if options.n_workers == "auto" else int(options.n_workers)
    shown, share = len(visible_gpus()), options.workers_per_gpu or 1
    room = shown * share // each
    workers = room if options.n_workers == "auto" else int(options.n_workers)
    if 0 < workers <= room:
        return workers
    if options.gpus_per_worker is not None or options.workers_per_gpu is not None:
        raise StudyError(
            f"hydra.sweeper.n_workers={options.n_workers}, gpus_per_worker={each} and "
            f"workers_per_gpu={share} need more than the GPUs that CUDA shows here, which are "
            f"{shown}: set hydra.sweeper.n_workers={max(room, 1)}, or change the other two"
        )
    log.info(
        f"Shared by {plural(workers, 'worker')}: {plural(shown, 'GPU')}, so that energy is "
        f"attributed: hydra.sweeper.n_workers={max(room, 1)} gives each worker its own."
    )
    return workers
