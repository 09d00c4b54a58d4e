"""What Optuna's own tools show of a search; and studies of earlier versions, which showed more."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import IntDistribution
from searches import RANDOM, SPACE, Search, kill, outcomes, spec, task_of_epochs
from sqlalchemy import text

from greensweep.errors import StudyError
from greensweep.record.result import RunResult, write_result
from greensweep.search.budget import spent
from greensweep.search.loop import SEARCH_ENERGY
from greensweep.search.records import keep_of_study
from greensweep.search.shown import objective_names


@pytest.mark.parametrize(
    ("objectives", "asked", "names"),
    [
        (1, {}, ["validation accuracy"]),
        (1, {"priced": True}, ["validation accuracy less the price of energy"]),
        (2, {"energy": True}, ["validation accuracy", "training energy J"]),
        (3, {}, ["validation accuracy", "objective 2", "objective 3"]),
    ],
)
def test_objectives_have_the_names_that_people_know_them_by(
    objectives: int, asked: dict[str, bool], names: list[str]
) -> None:
    told = {"energy": False, "priced": False, **asked}
    assert objective_names("validation accuracy", objectives, **told) == names


def test_a_trial_shows_what_it_came_to_and_nothing_of_the_searchs_own(tmp_path: Path) -> None:
    def task(params: Any) -> tuple[float, float]:
        values = task_of_epochs(2, objectives=2)(params)
        result = RunResult(
            *("finished", None, "net", "data", 0),
            objective_metric="macro_f1",
            metrics={"validation": {"macro_f1": values[0]}},
            energy_joules=values[1],
            energy_spent_joules=values[1] + 5,
            energy_quality="measured",
            mlflow_run_id="0f" * 16,
        )
        write_result(result, search.folder(0))
        return float(values[0]), float(values[1])

    lines = f"{'0a' * 16} 7 http://lab:5000\n"
    (tmp_path / ".mlflow_parent").write_text(lines)
    search = Search(spec(tmp_path, 1, sampler=RANDOM, directions=("maximize", "minimize")), task)
    search.run()
    (trial,) = search.trials
    page = f"http://lab:5000/#/experiments/7/runs/{'0f' * 16}?workflowType=machine_learning"
    assert trial.user_attrs == {
        "status": "finished",
        "training energy J": trial.values[1],
        "energy of all phases J": trial.values[1] + 5,
        "energy quality": "measured",
        "validation macro F1": trial.values[0],
        "MLflow run": page,
    }
    study = optuna.load_study(study_name="study", storage=search.spec.storage)
    assert study.metric_names == ["validation macro F1", "training energy J"]
    assert study.user_attrs == {}


def test_a_trial_that_failed_shows_why(tmp_path: Path) -> None:
    def task(params: Any) -> float:
        raise ValueError("token=s3cret9876 was refused")

    search = Search(spec(tmp_path, 1, sampler=RANDOM), task)
    with pytest.raises(ValueError, match="token"):
        search.run()
    shown = search.trials[0].user_attrs
    assert shown["status"] == "failed"
    assert "was refused" in shown["error"] and "s3cret9876" not in shown["error"]


def as_earlier_versions_kept_it(search: Search) -> None:
    """Move what the search keeps for itself to where earlier versions kept it."""
    trials = ("greensweep:owner", "greensweep:progress", "greensweep:outcome", "greensweep:flops")
    with search.study._storage._backend.engine.begin() as connection:  # type: ignore[attr-defined]
        connection.execute(text("DELETE FROM trial_user_attributes WHERE key != 'enqueued'"))
        for kind, keys in (
            ("trial", " OR ".join(f"key = '{key}'" for key in trials)),
            ("study", "key LIKE 'greensweep:search_energy:%' OR key = 'greensweep:greensweep'"),
        ):
            connection.execute(
                text(
                    f"INSERT INTO {kind}_user_attributes ({kind}_id, key, value_json) SELECT "
                    f"{kind}_id, substr(key, 12), value_json FROM {kind}_system_attributes "
                    f"WHERE {keys}"
                )
            )
            connection.execute(text(f"DELETE FROM {kind}_system_attributes WHERE {keys}"))


def test_a_study_that_an_earlier_version_began_goes_on(tmp_path: Path) -> None:
    points = ({"rate": 1e-3, "width": 4},)
    asked = spec(tmp_path, 4, sampler=RANDOM, enqueue=points)
    search = Search(asked, task_of_epochs(2))
    search.run(2)
    kill(search, search.take())
    keep_of_study(search.study, f"{SEARCH_ENERGY}here:1:1", 7.0)
    cost = spent(search.study, search.trials)
    as_earlier_versions_kept_it(search)
    kept = optuna.load_study(study_name="study", storage=asked.storage)
    assert kept.user_attrs.keys() == {"greensweep", f"{SEARCH_ENERGY}here:1:1"}
    assert kept.trials[0].user_attrs.keys() >= {"owner", "outcome", "enqueued"}
    assert kept.trials[2].user_attrs.keys() == {"owner"}
    assert spent(kept, kept.trials) == cost

    with pytest.raises(StudyError, match="width was"):
        Search(
            spec(tmp_path, 4, distributions={**SPACE, "width": IntDistribution(1, 9)}),
            task_of_epochs(2),
        )
    resumed = Search(asked, task_of_epochs(2))
    resumed.run()
    assert resumed.states() == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert resumed.trials[3].params == resumed.trials[2].params
    assert [each and each.status for each in outcomes(resumed)] == [
        *("finished", "finished", "died", "finished", "finished")
    ]
