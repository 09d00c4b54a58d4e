"""The process of one device: it builds what the run has built, and trains when the run asks."""

import io
import logging
import os
import signal
import threading
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from greensweep.config.schema import TrainConfig
from greensweep.data import Split, TensorSplit
from greensweep.errors import DataError, GreensweepError, TrainingError, causes, describe
from greensweep.models import take_census
from greensweep.runs.checkpoint import copy_weights, restore_weights
from greensweep.runs.network import build_network
from greensweep.secrets.output import mask_output
from greensweep.training import choose_device, deterministic, start_state, use_threads
from greensweep.training.freezing import freeze_backbone
from greensweep.training.rank import RankTraining
from greensweep.training.state import random_state, set_random_state


@dataclass(frozen=True)
class Job:
    """What a rank is to train.

    Attributes:
        kind: of its device, cpu or cuda.
        weights: of the network, to begin from.
        samples: of the training split, as `fingerprint` has it.
        patience_seconds: how long it waits for the other ranks.
    """

    config: TrainConfig
    kind: str
    weights: dict[str, Any]
    samples: tuple[int, ...]
    patience_seconds: float


@dataclass(frozen=True)
class Failure:
    """What ended a rank.

    Attributes:
        follows: another rank did not answer, which may have failed itself.
    """

    error: GreensweepError
    follows: bool


def send(pipe: Connection, value: Any) -> None:
    """Send a value with its tensors, by no shared memory, of which containers have little.

    Raises:
        OSError: nobody listens any more.
    """
    file = io.BytesIO()
    torch.save(value, file)
    pipe.send_bytes(file.getbuffer())


def receive(pipe: Connection) -> Any:
    """Return the next value, its tensors on the CPU; it is of this run's own processes alone.

    Raises:
        EOFError, OSError: nobody speaks any more.
    """
    return torch.load(io.BytesIO(pipe.recv_bytes()), map_location="cpu", weights_only=False)


def fingerprint(split: Split) -> tuple[int, ...]:
    """Return numbers that differ where the samples of two splits do, or their order."""
    parts = [split.labels, split.inputs] if isinstance(split, TensorSplit) else [split.labels]
    arrays = [np.ascontiguousarray(each.cpu().numpy()) for each in parts]
    return (len(split), *(zlib.crc32(each.data) for each in arrays))


def work(pipes: Sequence[Connection]) -> None:
    """Do what the run asks by this rank's pipe, until it ends: the life of the process.

    Ctrl-C and SIGTERM are the run's, which ends its ranks; none ends by itself, for whose end the
    launcher would wait for the others'.
    """
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    rank = int(os.environ["RANK"])
    for number, other in enumerate(pipes):
        if number != rank:  # or nobody would see the end of that rank
            other.close()
    pipe = pipes[rank]
    logging.getLogger("greensweep").setLevel(logging.ERROR)  # the run itself has warned
    mask_output()
    with suppress(EOFError, OSError):  # the run has ended
        send(pipe, os.getpid())
        try:
            _obey(pipe, receive(pipe), rank)
        except (EOFError, BrokenPipeError):
            raise
        except Exception as error:
            send(pipe, _failure(error, rank))
            receive(pipe)
    os._exit(1)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _failure(error: Exception, rank: int) -> Failure:
    follows = any("gloo" in str(each) or isinstance(each, dist.DistError) for each in causes(error))
    if isinstance(error, GreensweepError):
        return Failure(type(error)(str(error)), follows)
    return Failure(TrainingError(f"training failed on device {rank} ({describe(error)})"), follows)


def _obey(pipe: Connection, job: Job, rank: int) -> None:
    with deterministic(job.config.training.deterministic):
        training = _built(job, rank)
        training.warm_up()
        send(pipe, None)
        epochs = iter(training)
        while True:
            asked, given = receive(pipe)
            answer: Any = None
            if asked == "epoch":
                training.evaluation_loss = given
                answer = next(epochs, None), copy_weights(training.model, into=None)
                if rank > 0:
                    answer = None
            elif asked == "state":
                answer = random_state()
                if rank == 0:
                    answer = copy_weights(training.network, into=None), training.state(), answer
            else:
                assert asked == "resume", asked
                network, state, generators = given
                restore_weights(training.network, network)
                fresh = random_state()
                training.resume(state)
                if rank > 0:  # its own, also where there were fewer devices
                    set_random_state(generators[rank] if rank < len(generators) else fresh)
            send(pipe, answer)


def _built(job: Job, rank: int) -> RankTraining:
    """Join the other ranks, and build what the run has built.

    Raises:
        GreensweepError: it cannot be built here.
    """
    config, training = job.config, job.config.training
    device = choose_device(f"cuda:{rank}" if job.kind == "cuda" else "cpu")
    dist.init_process_group(
        "nccl" if job.kind == "cuda" else "gloo",
        timeout=timedelta(seconds=job.patience_seconds),
        device_id=device if job.kind == "cuda" else None,
    )
    start_state(config.seed)

    def prepare(model: torch.nn.Module) -> None:
        if training.freeze == "backbone":
            freeze_backbone(model)

    network = build_network(config, device, prepare)
    if fingerprint(network.splits.train) != job.samples:
        raise DataError(
            f"training.devices={training.devices} reads the data once for each device, and other "
            "training samples than before came: let the data set give the same each time, by a "
            "seed of its own, say, or set training.devices=1"
        )
    model = network.model
    census = take_census(model, network.splits.example, network.task.outputs)
    step_flops = census.training_flops and float(census.training_flops * training.batch_size)
    use_threads(training.threads, step_flops, processes=training.devices)
    if training.memory_format == "channels_last":
        model.to(memory_format=network.normalise.layout)
    restore_weights(model, job.weights)
    # Each device draws its own random numbers, as of dropout.
    (seed,) = np.random.SeedSequence((config.seed, rank)).generate_state(1)
    start_state(int(seed))
    return RankTraining(
        model,
        network.splits.train.to(device),
        network.normalise,
        network.task,
        training=training,
        optimizer=config.optimizer,
        scheduler=config.scheduler,
        seed=config.seed,
    )
