"""`hydra/sweeper=greensweep`: a sweeper that prunes, resumes, and keeps to a budget of energy."""

from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from greensweep.config.sweeper import SAMPLERS, SweeperConfig

ConfigStore.instance().store(
    group="hydra/sweeper",
    name="greensweep",
    node=SweeperConfig,
    provider="greensweep",
    replace=True,  # a worker imports this module before Hydra does
)
for name, node in SAMPLERS.items():
    ConfigStore.instance().store(
        group="hydra/sweeper/sampler", name=name, node=node, provider="greensweep", replace=True
    )


class GreensweepSweeper(Sweeper):
    """Searches any Hydra program whose function returns a number or numbers.

    Its options are those of `greensweep.config.sweeper.SweeperConfig`.
    """

    def __init__(self, **options: Any) -> None:
        self._sweep: Any = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        # Hydra imports every plugin at each start: what takes long waits for a sweep.
        from greensweep.study.planned import planned_run
        from greensweep.sweeper.sweep import Sweep

        self._sweep = Sweep(config, hydra_context, task_function, planned_run)

    def sweep(self, arguments: list[str]) -> None:
        self._sweep.run(arguments)
