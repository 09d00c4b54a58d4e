"""Trials that are read and written by fewer statements are those that Optuna reads and writes."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import TrialState, create_trial
from sqlalchemy import event

from greensweep.search.optuna_internals import one_transaction, read_trials, trial_of
from greensweep.search.storage_internals import TrialStorage

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

SETTLED = "settled"
SPACE: dict[str, Any] = {
    "rate": FloatDistribution(1e-5, 1e-1, log=True),
    "width": IntDistribution(1, 64),
    "name": CategoricalDistribution(["adam", None, True]),
}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/study.db"


def opened(url: str) -> Study:
    """The study as a further process of a search sees it."""
    storage = TrialStorage(RDBStorage(url), SETTLED)
    return optuna.create_study(storage=storage, study_name="study", load_if_exists=True)


@pytest.fixture
def ours(url: str) -> Study:
    return opened(url)


@pytest.fixture
def optunas(url: str, ours: Study) -> Study:
    """The same study as Optuna alone reads it."""
    return optuna.load_study(study_name="study", storage=url)


@pytest.fixture
def statements(ours: Study) -> Iterator[list[str]]:
    said: list[str] = []

    def hear(_connection: Any, _cursor: Any, text: str, *_: Any) -> None:
        said.append(text)

    engine = ours._storage._backend.engine  # type: ignore[attr-defined]
    event.listen(engine, "before_cursor_execute", hear)
    yield said
    event.remove(engine, "before_cursor_execute", hear)


def draw(study: Study) -> optuna.Trial:
    """Draw a trial in one transaction, which settles it, among those that there are."""
    read_trials(study, reports=False)
    with one_transaction(study):
        trial = study.ask(SPACE)
        study._storage.set_trial_system_attr(trial._trial_id, SETTLED, True)
    return trial


def numbers(study: Study, state: TrialState) -> list[int]:
    return [each.number for each in read_trials(study, reports=False) if each.state == state]


def test_trials_of_all_kinds_are_read_as_optuna_reads_them(ours: Study, optunas: Study) -> None:
    for value in (1.5, math.inf, -math.inf):
        optunas.tell(optunas.ask(SPACE), value)
    pruned = optunas.ask({"rate": SPACE["rate"]})
    for step, reported in enumerate((0.25, math.nan, math.inf)):
        pruned.report(reported, step)
    pruned.set_user_attr("accuracies", [0.5, None])
    optunas.tell(pruned, state=TrialState.PRUNED)
    optunas.tell(optunas.ask(), state=TrialState.FAIL)
    optunas.enqueue_trial({"width": 3}, {"enqueued": True})
    optunas.add_trial(
        create_trial(
            params={"name": None}, distributions={"name": SPACE["name"]}, values=None,
            state=TrialState.WAITING, system_attrs={"again": {"of": [3]}},
        )
    )  # fmt: skip
    expected = [vars(each) for each in optunas.get_trials()]
    for study in (ours, opened(str(ours._storage._backend.url))):  # type: ignore[attr-defined]
        found = [vars(each) for each in study.get_trials()]
        assert repr(found) == repr(expected)  # which holds of NaN, too
        assert [vars(trial_of(study, n)) for n in range(3)] == found[:3]
        assert [each.number for each in study.get_trials(states=(TrialState.WAITING,))] == [5, 6]
        assert [each.number for each in study.get_trials(states=(TrialState.PRUNED,))] == [3]


def test_what_is_drawn_in_a_transaction_is_what_optuna_reads(ours: Study, optunas: Study) -> None:
    ours.sampler = optuna.samplers.RandomSampler(seed=1)
    drawn = draw(ours)
    optunas.sampler = optuna.samplers.RandomSampler(seed=1)
    assert optunas.ask(SPACE).params == drawn.params
    found = optunas.get_trials()[0]
    assert (found.params, found.distributions) == (drawn.params, SPACE)
    assert found.system_attrs == {SETTLED: True}
    assert vars(found) == vars(read_trials(ours, reports=False)[0])


def test_an_end_is_written_at_once_and_read_by_all(ours: Study, optunas: Study, url: str) -> None:
    other, trial = opened(url), draw(ours)
    assert numbers(other, TrialState.RUNNING) == [0]
    with one_transaction(ours):
        ours._storage.set_trial_user_attr(trial._trial_id, "joules", 3.0)
        ours._storage.set_trial_system_attr(trial._trial_id, SETTLED, "again")
        ours.tell(trial.number, 0.75)
        assert trial_of(ours, 0).user_attrs == {"joules": 3.0}
        assert vars(optunas.get_trials()[0]) == vars(other.get_trials()[0])  # nothing is there yet
        assert optunas.get_trials()[0].state == TrialState.RUNNING
    (found,) = optunas.get_trials()
    assert (found.state, found.values, found.user_attrs) == (
        TrialState.COMPLETE, [0.75], {"joules": 3.0},
    )  # fmt: skip
    assert found.system_attrs == {SETTLED: "again"}
    assert found.duration is not None
    for study in (ours, other):
        assert vars(read_trials(study, reports=False)[0]) == vars(found)


def test_what_raises_in_a_transaction_leaves_nothing_written(ours: Study, optunas: Study) -> None:
    trial = draw(ours)
    with pytest.raises(ZeroDivisionError), one_transaction(ours):
        ours._storage.set_trial_user_attr(trial._trial_id, "joules", 3.0)
        ours.tell(trial.number, 1 / 0)
    assert (optunas.trials[0].state, optunas.trials[0].user_attrs) == (TrialState.RUNNING, {})
    ours.tell(trial.number, 0.5)
    assert optunas.trials[0].value == 0.5


def test_a_trial_that_another_has_ended_is_not_ended_again(ours: Study, optunas: Study) -> None:
    trial = draw(ours)
    with pytest.raises(UpdateFinishedTrialError), one_transaction(ours):
        ours._storage.set_trial_user_attr(trial._trial_id, "joules", 3.0)
        optunas.tell(trial.number, 0.5)
        ours.tell(trial.number, 0.75)
    assert (optunas.trials[0].value, optunas.trials[0].user_attrs) == (0.5, {})


def test_a_queued_trial_keeps_its_point(ours: Study, optunas: Study) -> None:
    optunas.enqueue_trial({"width": 3})
    assert draw(ours).params["width"] == 3
    assert numbers(ours, TrialState.RUNNING) == [0]
    assert optunas.trials[0].params["width"] == 3


def test_what_others_draw_end_and_report_is_seen(ours: Study, url: str) -> None:
    other = opened(url)
    own, first, second = draw(ours), draw(other), draw(other)
    assert numbers(ours, TrialState.RUNNING) == [0, 1, 2]
    other.tell(first.number, 0.5)
    second.report(0.25, 1)
    half_drawn = other.ask()
    assert (numbers(ours, TrialState.COMPLETE), numbers(ours, TrialState.RUNNING)) == (
        [1],
        [0, 2, 3],
    )
    half_drawn.suggest_int("width", 1, 64)  # by a sweeper that writes one option after another
    assert read_trials(ours, reports=False)[3].params == half_drawn.params
    assert read_trials(ours, reports=False)[2].intermediate_values == {}
    assert read_trials(ours, reports=True)[2].intermediate_values == {1: 0.25}
    ours.tell(own.number, 0.75)
    assert numbers(other, TrialState.COMPLETE) == [0, 1]


def test_a_draw_takes_no_more_statements_the_more_trials_run(
    ours: Study, url: str, statements: list[str]
) -> None:
    taken = []
    for running in (2, 40):
        other = opened(url)
        while len(numbers(other, TrialState.RUNNING)) < running:
            draw(other)
        read_trials(ours, reports=False)
        statements.clear()
        trial = draw(ours)
        numbers(ours, TrialState.RUNNING)
        ours.tell(trial.number, 0.5)
        taken.append(len(statements))
    assert taken[0] == taken[1] <= 26
