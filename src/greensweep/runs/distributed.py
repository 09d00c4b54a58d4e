"""A training on several devices, as the run sees it: the loop of another on one."""

import logging
import os
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from greensweep.config.schema import TrainConfig
from greensweep.data import Split
from greensweep.errors import ConfigError
from greensweep.runs.checkpoint import copy_weights, restore_weights
from greensweep.runs.rank import Job, fingerprint
from greensweep.runs.ranks import PATIENCE_SECONDS, Ranks
from greensweep.tasks import Task
from greensweep.training import Epoch, Normalise, Training
from greensweep.training.capture import Capture

log = logging.getLogger(__name__)


class DistributedTraining(Training):
    """Trains by a process for each device; the run's own model follows after each epoch.

    This process trains nothing: it evaluates, keeps and reports, as of a training of its own.

    Raises:
        GreensweepError: as of `Training`; or it is a process of torchrun's itself.
    """

    def __init__(
        self, model: nn.Module, split: Split, normalise: Normalise, task: Task, config: TrainConfig
    ) -> None:
        devices = config.training.devices
        if "TORCHELASTIC_RUN_ID" in os.environ:
            raise ConfigError(
                f"training.devices={devices} starts a process for each device by itself: start "
                "the command without torchrun"
            )
        if config.training.batch_size < 2 * devices:
            # Batch norm has no statistics of one value.
            raise ConfigError(
                f"training.batch_size={config.training.batch_size} is divided among "
                f"training.devices={devices}, and each needs 2 samples of it: set "
                f"training.batch_size={2 * devices} or more"
            )
        super().__init__(
            model,
            split,
            normalise,
            task,
            training=config.training,
            optimizer=config.optimizer,
            scheduler=config.scheduler,
            seed=config.seed,
        )
        self._job_of = config, normalise.device.type, split
        self._ranks: Ranks | None = None

    def warm_up(self) -> None:
        """Start the processes, and let each warm up.

        Raises:
            GreensweepError: one of them cannot be had, or fails.
        """
        config, kind, split = self._job_of
        training = config.training
        reason = f"training.devices={training.devices}"
        if training.capture in ("graph", "compile"):
            log.warning("Training steps are taken plainly: %s.", reason)
        self.capture = Capture("none", reason)
        weights = copy_weights(self.network, into=None)
        job = Job(config, kind, weights, fingerprint(split), PATIENCE_SECONDS)
        self._ranks = Ranks(job, training.devices)

    def __iter__(self) -> Iterator[Epoch]:
        """Let all train, and yield after each epoch, whose weights the model has by then.

        Raises:
            GreensweepError: as of `Training`; or a process died.
        """
        while True:
            (epoch, weights), *_ = self._started.ask("epoch", self.evaluation_loss)
            if epoch is None:
                return
            restore_weights(self.model, weights)
            yield epoch

    @property
    def _started(self) -> Ranks:
        assert self._ranks is not None
        return self._ranks

    def state(self) -> dict[str, Any]:
        """As of `Training`, with the random generators of each device; the network follows."""
        (network, state, first), *others = self._started.ask("state")
        restore_weights(self.network, network)
        return {**state, "generators": [first, *others]}

    def resume(self, state: Mapping[str, Any]) -> None:
        generators = state.get("generators", [])
        self._started.ask("resume", (copy_weights(self.network, into=None), state, generators))
        self.evaluation_loss = state["evaluation_loss"]

    def close(self) -> None:
        """End the processes."""
        if self._ranks is not None:
            self._ranks.end()
            self._ranks = None
