"""The callbacks of XGBoost and LightGBM."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from search import needs, searched

import greensweep
from greensweep.errors import ConfigError, StudyError, TrialEnded
from greensweep.record.left_open import end_left_open
from greensweep.record.result import find_result, read_result

xgboost = needs("xgboost")
lightgbm = needs("lightgbm")

FEATURES = np.arange(80.0).reshape(40, 2) % 7
TARGET = (FEATURES[:, 0] > 3).astype(int)
SETS = [(FEATURES, TARGET), (FEATURES[:20], TARGET[:20])]


@pytest.fixture
def classifier(tmp_path: Path) -> Callable[..., Any]:
    from xgboost import XGBClassifier

    from greensweep.loops.xgboost import GreensweepCallback

    def make(*also: Any, every: int = 2, **options: Any) -> Any:
        callback = GreensweepCallback(every=every, rounds=5, directory=tmp_path)
        return XGBClassifier(n_estimators=5, n_jobs=1, callbacks=[callback, *also], **options)

    return make


@xgboost
def test_a_callback_shows_its_run(tmp_path: Path) -> None:
    from xgboost import XGBClassifier

    from greensweep.loops.xgboost import GreensweepCallback

    callback = GreensweepCallback(every=1, directory=tmp_path)
    assert callback.recorded is None
    XGBClassifier(n_estimators=2, n_jobs=1, callbacks=[callback]).fit(
        FEATURES, TARGET, eval_set=SETS, verbose=False
    )
    assert callback.recorded is not None
    assert callback.recorded.joules == read_result(tmp_path).energy_joules


@xgboost
def test_rounds_of_xgboost_are_a_run(classifier: Callable[..., Any], tmp_path: Path) -> None:
    with searched() as search:
        classifier().fit(FEATURES, TARGET, eval_set=SETS, verbose=False)
    result = read_result(tmp_path)
    assert (result.status, result.model) == ("finished", "xgboost")
    assert [(each.epoch, each.epochs) for each in search.reports] == [(2, 5), (4, 5), (5, 5)]
    last = result.metrics["validation"]
    assert set(last) == {"logloss", "logloss_validation_0"}
    assert (result.objective_metric, result.objective_direction) == ("logloss", "minimize")
    assert search.reports[-1].objective_value == last["logloss"]
    assert result.energy_joules is not None


@xgboost
def test_a_training_set_is_no_validation(tmp_path: Path) -> None:
    import xgboost as xgb

    from greensweep.loops.xgboost import GreensweepCallback

    data = xgb.DMatrix(FEATURES, TARGET)
    xgb.train(
        {"eval_metric": "auc"}, data, 2, evals=[(data, "train")], verbose_eval=False,
        callbacks=[GreensweepCallback(every=1, directory=tmp_path, meter="unmetered")],
    )  # fmt: skip
    result = read_result(tmp_path)
    assert result.metrics == {}
    assert [set(each.others) for each in result.history] == [{"train_auc"}, {"train_auc"}]


@xgboost
def test_a_cross_validation_reports_its_means(tmp_path: Path) -> None:
    import xgboost as xgb

    from greensweep.loops.xgboost import GreensweepCallback

    found = xgb.cv(
        {"objective": "binary:logistic"}, xgb.DMatrix(FEATURES, TARGET), 2, nfold=2,
        callbacks=[GreensweepCallback(every=1, directory=tmp_path, meter="unmetered")],
        as_pandas=False,
    )  # fmt: skip
    (last,) = read_result(tmp_path).metrics["validation"].values()
    assert last == found["test-logloss-mean"][-1]


@xgboost
def test_a_pruned_boosting_ends(classifier: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(TrialEnded), searched(ends_after=1):
        classifier().fit(FEATURES, TARGET, eval_set=SETS, verbose=False)
    result = read_result(tmp_path)
    assert (result.status, result.epochs) == ("pruned", 2)


@xgboost
def test_an_early_stop_reports_its_last_round(
    classifier: Callable[..., Any], tmp_path: Path
) -> None:
    stopping = classifier(every=10, early_stopping_rounds=1, eval_metric="auc")
    stopping.fit(FEATURES, TARGET, eval_set=SETS, verbose=False)
    result = read_result(tmp_path)
    assert (result.status, result.objective_metric, result.epochs) == ("finished", "auc", 2)


@xgboost
def test_what_breaks_a_boosting_leaves_what_was_measured(
    classifier: Callable[..., Any], tmp_path: Path
) -> None:
    from xgboost.callback import TrainingCallback

    class Breaks(TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            if epoch == 2:
                raise ValueError("no such label")
            return False

    with pytest.raises(ValueError, match="no such") as raised:
        classifier(Breaks()).fit(FEATURES, TARGET, eval_set=SETS, verbose=False)
    end_left_open(raised.value)  # as the end of a trial, or of the program, does
    result = read_result(tmp_path)
    assert (result.status, result.error) == ("failed", "ValueError: no such label")
    assert len(result.history) == 1


@lightgbm
def test_rounds_of_lightgbm_are_reported_to_the_run_around(tmp_path: Path) -> None:
    from lightgbm import LGBMClassifier

    from greensweep.loops.lightgbm import GreensweepCallback

    model = LGBMClassifier(n_estimators=5, min_child_samples=1, n_jobs=1, verbose=-1)
    with searched() as search, greensweep.run("a", directory=tmp_path) as run:
        model.fit(FEATURES, TARGET, eval_set=SETS, callbacks=[GreensweepCallback(every=2)])
    assert [(each.epoch, each.epochs) for each in search.reports] == [(2, 5), (4, 5), (5, 5)]
    last = model.evals_result_
    figures = {metric: values[-1] for metric, values in last["valid_1"].items()}
    assert run.result.metrics["validation"].items() >= figures.items()


@lightgbm
def test_trainings_of_lightgbm_in_one_run_count_their_rounds_on(tmp_path: Path) -> None:
    from lightgbm import LGBMClassifier

    from greensweep.loops.lightgbm import GreensweepCallback

    model = LGBMClassifier(n_estimators=2, min_child_samples=1, n_jobs=1, verbose=-1)
    given: dict[str, Any] = {"eval_set": SETS, "callbacks": [GreensweepCallback(every=1)]}
    with searched() as search, greensweep.run("folds", directory=tmp_path):
        model.fit(FEATURES, TARGET, **given)
        model.fit(FEATURES, TARGET, **given)
        model.fit(FEATURES, TARGET, init_model=model.booster_, **given)
    assert [(each.epoch, each.epochs) for each in search.reports] == [
        (1, 2), (2, 2), (3, 4), (4, 4), (5, 6), (6, 6),
    ]  # fmt: skip


@lightgbm
def test_a_cross_validation_of_lightgbm_reports_its_means(tmp_path: Path) -> None:
    import lightgbm as lgb

    from greensweep.loops.lightgbm import GreensweepCallback

    with greensweep.run("cv", directory=tmp_path, meter="unmetered") as run:
        found = lgb.cv(
            {"objective": "binary", "min_data_in_leaf": 1, "num_threads": 1, "verbose": -1},
            lgb.Dataset(FEATURES, TARGET), 2, nfold=2, callbacks=[GreensweepCallback(every=1)],
        )  # fmt: skip
    (last,) = run.result.metrics["validation"].values()
    assert last == found["valid binary_logloss-mean"][-1]


@lightgbm
def test_a_pruned_boosting_of_lightgbm_ends(tmp_path: Path) -> None:
    from lightgbm import LGBMClassifier

    from greensweep.loops.lightgbm import GreensweepCallback

    model = LGBMClassifier(n_estimators=5, min_child_samples=1, n_jobs=1, verbose=-1)
    with (
        pytest.raises(TrialEnded),
        searched(ends_after=1),
        greensweep.run("a", directory=tmp_path),
    ):
        model.fit(FEATURES, TARGET, eval_set=SETS, callbacks=[GreensweepCallback(every=1)])
    assert (read_result(tmp_path).status, read_result(tmp_path).epochs) == ("pruned", 1)


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_reports_lie_at_least_a_round_apart(library: str) -> None:
    callbacks = pytest.importorskip(f"greensweep.loops.{library}")
    with pytest.raises(ConfigError, match="every counts rounds, so that it must be at least 1"):
        callbacks.GreensweepCallback(every=0)


@lightgbm
def test_lightgbm_without_a_run_around_is_refused(tmp_path: Path) -> None:
    from lightgbm import LGBMClassifier

    from greensweep.loops.lightgbm import GreensweepCallback

    with pytest.raises(StudyError, match=r"put `with greensweep.run\(…\):` around it"):
        LGBMClassifier(verbose=-1).fit(FEATURES, TARGET, callbacks=[GreensweepCallback()])
    assert find_result(tmp_path) is None
