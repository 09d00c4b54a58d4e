"""`hydra/sweeper=greensweep`: a sweeper that prunes, resumes, and keeps to a budget of energy."""

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from greensweep.config.hydra_versions import store
from greensweep.config.sweeper import SamplerConfig, SweeperConfig

store("hydra/sweeper", "greensweep", SweeperConfig)
for name, node in SamplerConfig.choices.items():
    store("hydra/sweeper/sampler", name, node)


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
        from greensweep.study.own_sweep import finish_own_sweep
        from greensweep.study.planned import planned_run
        from greensweep.sweeper.sweep import Sweep

        self._sweep = Sweep(config, hydra_context, task_function, planned_run, finish_own_sweep)

    def sweep(self, arguments: list[str]) -> None:
        self._sweep.run(arguments)
