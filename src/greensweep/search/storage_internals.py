"""Optuna's database of trials, read and written by fewer and smaller statements.

Optuna reads all running trials at each look, with all that is kept with them, builds objects of
each row, and writes each option and each attribute by a transaction of its own. Its tables are
used as they are, so that any of its programs reads what is written here. There is no public way to
do several things at once. `tests/search/test_storage_internals.py` holds this to the Optuna that
is installed.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy as deep_copied
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache, partial, wraps
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    check_distribution_compatibility,
    distribution_to_json,
    json_to_distribution,
)
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage, _StudyInfo
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import ColumnElement, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from greensweep.search.patience import Patience

_ROWS = 10_000  # of a long study, that are fetched at a time

_distribution = lru_cache(1024)(json_to_distribution)  # trials share theirs


@dataclass
class _Written:
    """What is yet to be written of a trial, and the trial with it."""

    trial: FrozenTrial
    params: dict[str, float] = field(default_factory=dict)  # as they are stored
    user: dict[str, Any] = field(default_factory=dict)
    system: dict[str, Any] = field(default_factory=dict)
    values: Sequence[float] | None = None
    state: TrialState | None = None
    known: frozenset[tuple[str, str]] = frozenset()  # attributes that are stored already

    def __post_init__(self) -> None:
        """See which attributes the trial had."""
        kinds = {"user": self.trial.user_attrs, "system": self.trial.system_attrs}
        self.known = frozenset((kind, key) for kind, attrs in kinds.items() for key in attrs)


class TrialStorage(_CachedStorage):
    """Trials in a database, those that were read among them in memory.

    Args:
        settled_by: the system attribute that is written last of a trial that is drawn: one that
            runs and has it changes no more until it ends, but for what it reports.
    """

    def __init__(self, backend: RDBStorage, settled_by: str) -> None:
        super().__init__(backend)
        self._settled_by = settled_by
        self._by_number: dict[int, list[FrozenTrial | None]] = defaultdict(list)  # of each study
        self._open: dict[int, set[int]] = defaultdict(set)  # ids of trials that did not end
        self._read_to: dict[int, int] = defaultdict(lambda: -1)  # the last id that was looked at
        self._written: dict[int, _Written] | None = None  # by trial, in a transaction
        self._attributes: dict[str, Any] = {}  # of trials that are made in it

    # --- reading

    def read_on(self, study_id: int, *, reports: bool) -> list[FrozenTrial]:
        """Return all trials as they are now.

        Args:
            reports: also what those that run have reported since they were read last.
        """
        self._read_on(study_id, reports=reports)
        return self._listed(study_id)

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return all trials as they are now, or as they were when a transaction began."""
        self._read_on(study_id, reports=True)
        if states is not None and not any(s in states for s in TrialState if s.is_finished()):
            with self._lock:
                numbers = sorted(
                    self._trial_id_to_study_id_and_number[each][1] for each in self._open[study_id]
                )
                found = [self._studies[study_id].trials[number] for number in numbers]
        else:
            found = self._listed(study_id)
        if states is not None:
            found = [trial for trial in found if trial.state in states]
        return deep_copied(found) if deepcopy else found

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial as it is now, with what a transaction will write of it."""
        with self._lock:
            known = self._get_cached_trial(trial_id)
        if known is not None:
            return known
        return self._read_one(trial_id) if self._written is None else self._of(trial_id).trial

    def _read_one(self, trial_id: int) -> FrozenTrial:
        found = self._read(models.TrialModel.trial_id == trial_id)
        if not found:
            raise KeyError(models.NOT_FOUND_MSG)
        return found[0]

    def _listed(self, study_id: int) -> list[FrozenTrial]:
        with self._lock:
            found: list[Any] = self._by_number[study_id]
            is_whole = len(found) == len(self._studies[study_id].trials)
            return found.copy() if is_whole else [*filter(None, found)]

    def _read_on(self, study_id: int, *, reports: bool) -> None:
        if self._written is not None:
            return
        with self._lock:
            last, open_ = self._read_to[study_id], self._open[study_id]
            of_study = models.TrialModel.study_id == study_id
            self._studies.setdefault(study_id, _StudyInfo())
            is_new = models.TrialModel.trial_id > last
            changing = or_(is_new, models.TrialModel.trial_id.in_(open_)) if open_ else is_new
            seen: list[int] = []
            if last >= 0 and not reports:
                seen, changed = self._changed(of_study & changing)
                changing = models.TrialModel.trial_id.in_(changed)
                trials = self._read(of_study & changing) if changed else []
            else:
                trials = self._read(of_study & changing, is_whole=last < 0)
            self._add_trials_to_cache(study_id, trials)
            self._read_to[study_id] = max([last, *seen, *(each._trial_id for each in trials)])

    def _changed(self, chosen: ColumnElement[bool]) -> tuple[list[int], list[int]]:
        """Return which trials there are, and which to read again, or for the first time."""
        table = models.TrialModel
        with _create_scoped_session(self._backend.scoped_session) as session:
            rows = session.execute(select(table.trial_id, table.state).where(chosen)).all()
        changed = [trial_id for trial_id, state in rows if not self._is_settled(trial_id, state)]
        return [trial_id for trial_id, _ in rows], changed

    def _is_settled(self, trial_id: int, state: TrialState) -> bool:
        known = self._trial_id_to_study_id_and_number.get(trial_id)
        if known is None:
            return False
        trial = self._studies[known[0]].trials[known[1]]
        is_drawn = state != TrialState.RUNNING or self._settled_by in trial.system_attrs
        return trial.state == state and is_drawn

    def _add_trials_to_cache(self, study_id: int, trials: list[FrozenTrial]) -> None:
        super()._add_trials_to_cache(study_id, trials)
        listed, open_ = self._by_number[study_id], self._open[study_id]
        for trial in trials:
            listed += [None] * (trial.number + 1 - len(listed))
            listed[trial.number] = trial
            (open_.discard if trial.state.is_finished() else open_.add)(trial._trial_id)

    def _read(self, chosen: ColumnElement[bool], *, is_whole: bool = False) -> list[FrozenTrial]:
        """Read trials, by number."""
        table = models.TrialModel
        with _create_scoped_session(self._backend.scoped_session) as session:
            options = {"yield_per": _ROWS} if is_whole else {}
            found: dict[int, FrozenTrial] = {}
            for row in session.scalars(select(table).where(chosen), execution_options=options):
                trial = _without_rows(row)
                found[trial._trial_id] = trial
            if not found:
                return []
            ids = select(table.trial_id).where(chosen) if is_whole else [*found]

            def rows(*columns: Any, by: Any = None) -> Iterable[Any]:
                asked = select(*columns).where(columns[0].in_(ids))
                return session.execute(asked.order_by(by), execution_options=options)

            def each_of(*columns: Any, by: Any = None) -> Iterator[Any]:
                for trial_id, *row in rows(*columns, by=by):
                    if trial_id in found:  # another may have begun meanwhile
                        yield found[trial_id], *row

            param = models.TrialParamModel
            for trial, name, stored, ranges in each_of(
                param.trial_id,
                param.param_name,
                param.param_value,
                param.distribution_json,
                by=param.param_id,
            ):
                trial.distributions[sys.intern(name)] = _distribution(ranges)
                trial.params[sys.intern(name)] = _distribution(ranges).to_external_repr(stored)
            value = models.TrialValueModel
            values: dict[int, list[float]] = defaultdict(list)
            for trial, stored, kind in each_of(
                value.trial_id, value.value, value.value_type, by=value.objective
            ):
                values[trial._trial_id].append(value.stored_repr_to_value(stored, kind))
            for trial_id, each in values.items():
                found[trial_id].values = each
            step = models.TrialIntermediateValueModel
            for trial, number, stored, kind in each_of(
                step.trial_id, step.step, step.intermediate_value, step.intermediate_value_type
            ):
                reported = step.stored_repr_to_intermediate_value(stored, kind)
                trial.intermediate_values[number] = reported
            user, system = models.TrialUserAttributeModel, models.TrialSystemAttributeModel
            for trial, key, text in each_of(user.trial_id, user.key, user.value_json):
                trial.user_attrs[sys.intern(key)] = json.loads(text)
            for trial, key, text in each_of(system.trial_id, system.key, system.value_json):
                trial.system_attrs[sys.intern(key)] = json.loads(text)
        return sorted(found.values(), key=lambda trial: trial.number)

    # --- writing

    @contextmanager
    def transaction(self, attributes: Mapping[str, Any]) -> Iterator[None]:
        """Write what is written of trials meanwhile by one transaction, at the end; read nothing.

        What raises within leaves nothing written, but that a trial runs.

        Args:
            attributes: system attributes that a trial which is made meanwhile has at once.
        """
        self._written, self._attributes = {}, dict(attributes)
        try:
            yield
            for trial_id, each in self._written.items():
                if each.params or each.user or each.system or each.state:
                    self._write(trial_id, each)
        finally:
            self._written, self._attributes = None, {}

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Make a trial, at once: it takes the next number."""
        if template_trial is None and self._attributes:
            template_trial = create_trial(state=TrialState.RUNNING, system_attrs=self._attributes)
        trial_id = super().create_new_trial(study_id, template_trial)
        if self._written is not None:
            number = self._trial_id_to_study_id_and_number[trial_id][1]
            self._written[trial_id] = _Written(self._studies[study_id].trials[number])
        return trial_id

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Write an option of a trial that is drawn."""
        study_id = self._trial_id_to_study_id_and_number.get(trial_id, (None, None))[0]
        if self._written is None or study_id is None:
            super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
            return
        known = self._studies[study_id].param_distribution
        check_distribution_compatibility(known.setdefault(param_name, distribution), distribution)
        written = self._of(trial_id)
        written.params[param_name] = param_value_internal
        written.trial.distributions[param_name] = distribution
        written.trial.params[param_name] = distribution.to_external_repr(param_value_internal)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Write an attribute that dashboards show."""
        if self._written is None:
            super().set_trial_user_attr(trial_id, key, value)
        else:
            written = self._of(trial_id)
            written.user[key] = written.trial.user_attrs[key] = json.loads(json.dumps(value))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Write an attribute that they do not."""
        if self._written is None:
            super().set_trial_system_attr(trial_id, key, value)
        else:
            written = self._of(trial_id)
            written.system[key] = written.trial.system_attrs[key] = json.loads(json.dumps(value))

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """End a trial; or take one from the queue, at once."""
        if self._written is None or not state.is_finished():
            return super().set_trial_state_values(trial_id, state, values)
        written = self._of(trial_id)
        written.state, written.values = state, values
        return True

    def _of(self, trial_id: int) -> _Written:
        assert self._written is not None
        if trial_id not in self._written:
            self._written[trial_id] = _Written(self._read_one(trial_id))
        return self._written[trial_id]

    def _write(self, trial_id: int, written: _Written) -> None:
        """Write what has come of a trial, all or nothing.

        Raises:
            UpdateFinishedTrialError: it has ended.
        """
        trial, now = written.trial, datetime.now()
        with _create_scoped_session(self._backend.scoped_session) as session:
            row: Any = models.TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
            self._backend.check_trial_is_updatable(trial_id, row.state)
            rows = [
                {
                    "trial_id": trial_id,
                    "param_name": name,
                    "param_value": value,
                    "distribution_json": distribution_to_json(trial.distributions[name]),
                }
                for name, value in written.params.items()
            ]
            if rows:
                session.execute(insert(models.TrialParamModel), rows)
            user, system = models.TrialUserAttributeModel, models.TrialSystemAttributeModel
            _write_attributes(session, trial_id, user, written.user, "user", written.known)
            _write_attributes(session, trial_id, system, written.system, "system", written.known)
            for objective, value in enumerate(written.values or ()):
                self._backend._set_trial_value_without_commit(session, row, objective, value)
            if written.state is not None:
                row.state, row.datetime_complete = written.state, now
        study = self._trial_id_to_study_id_and_number.get(trial_id)
        if study is not None:
            if written.state is not None:
                trial.state, trial.datetime_complete = written.state, now
                if written.values is not None:
                    trial.values = [*map(float, written.values)]
            with self._lock:
                self._add_trials_to_cache(study[0], [trial])


class PatientStorage(TrialStorage):
    """Trials in a database on a server: whatever is asked of it waits while that is away."""

    def __init__(self, backend: RDBStorage, settled_by: str) -> None:
        super().__init__(backend, settled_by)
        self.patience = Patience()

    def _write(self, trial_id: int, written: _Written) -> None:
        was_asked = False

        def write() -> None:
            nonlocal was_asked
            try:
                super(PatientStorage, self)._write(trial_id, written)
            except (UpdateFinishedTrialError, IntegrityError):
                if not was_asked:
                    raise
                # All was written, and the answer was lost with the connection.
            finally:
                was_asked = True

        self.patience.ask(write)


def _waiting(method: Any) -> Any:
    @wraps(method)
    def waiting(storage: PatientStorage, *arguments: Any, **named: Any) -> Any:
        return storage.patience.ask(partial(method, storage, *arguments, **named))

    return waiting


for _name in (
    *BaseStorage.__abstractmethods__,
    *("read_on", "record_heartbeat", "_get_stale_trial_ids"),
):
    setattr(PatientStorage, _name, _waiting(getattr(TrialStorage, _name)))


def _write_attributes(
    session: Session,
    trial_id: int,
    model: Any,
    attributes: Mapping[str, Any],
    kind: str,
    known: frozenset[tuple[str, str]],
) -> None:
    rows = []
    for key, value in attributes.items():
        text = json.dumps(value)
        if (kind, key) in known:
            of_trial = (model.trial_id == trial_id) & (model.key == key)
            session.execute(update(model).where(of_trial).values(value_json=text))
        else:
            rows.append({"trial_id": trial_id, "key": key, "value_json": text})
    if rows:
        session.execute(insert(model), rows)


def _without_rows(row: Any) -> FrozenTrial:
    """Return a trial without what other tables hold of it."""
    return FrozenTrial(
        number=row.number,
        state=row.state,
        value=None,
        datetime_start=row.datetime_start,
        datetime_complete=row.datetime_complete,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
        trial_id=row.trial_id,
    )
