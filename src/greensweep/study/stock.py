"""The study of the stock Optuna sweeper, which does not know what its objectives are."""

import optuna

from greensweep.config.folders import sqlite_file
from greensweep.config.schema import TrainConfig
from greensweep.record.recorded_run import initial_result
from greensweep.search.shown import objective_names
from greensweep.search.storage import storage_faults


def name_stock_objectives(storage: str, name: str | None, config: TrainConfig) -> None:
    """Name the objectives of a study for dashboards; of one without a name nobody can find it.

    Raises:
        StudyError: the storage failed.
    """
    file = sqlite_file(storage)
    if name is None or (file is not None and not file.is_file()):  # nothing was begun
        return
    with storage_faults(storage):
        if name not in optuna.get_all_study_names(storage):
            return
        study = optuna.load_study(study_name=name, storage=storage)
        study.set_metric_names(
            objective_names(
                initial_result(config, None, ()).objective_label,
                len(study.directions),
                energy=config.objective.name == "pareto",
                priced=config.objective.name == "priced",
            )
        )
