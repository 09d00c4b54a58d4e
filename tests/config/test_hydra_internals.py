"""Hydra as it is installed still has the private names that sweeps rest on."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from greensweep.config.hydra_internals import distribution_of, fault_of, let_choices_be_null


@pytest.mark.parametrize("text", ["choice(1,null)", "shuffle(1,null)", "1,null"])
def test_a_choice_may_hold_null(text: str) -> None:
    let_choices_be_null()
    (override,) = OverridesParser.create().parse_overrides([f"key={text}"])
    assert set(override.sweep_iterator()) == {1, None}


def test_the_fault_of_a_job_is_what_it_raised(capsys: pytest.CaptureFixture[str]) -> None:
    raised = ValueError("no such width")
    failed = JobReturn(status=JobStatus.FAILED)
    failed.return_value = raised
    finished = JobReturn(status=JobStatus.COMPLETED)
    finished.return_value = 0.5
    assert (fault_of(failed), fault_of(finished)) == (raised, None)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tag(log, interval(1e-5,1e-1))", FloatDistribution(1e-5, 1e-1, log=True)),
        ("int(interval(1,8))", IntDistribution(1, 8)),
        ("range(0.1,0.35,0.1)", FloatDistribution(0.1, 0.3, step=0.1)),
        ("range(1,10,2)", IntDistribution(1, 9, step=2)),
        ("choice(adam,sgd)", CategoricalDistribution(["adam", "sgd"])),
    ],
)
def test_a_range_is_searched_as_the_stock_sweeper_searches_it(
    text: str, expected: BaseDistribution
) -> None:
    (override,) = OverridesParser.create().parse_overrides([f"key={text}"])
    assert distribution_of(override) == expected
