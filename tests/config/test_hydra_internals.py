"""Hydra as it is installed still has the private names that sweeps rest on."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus

from greensweep.config.hydra_internals import fault_of, let_choices_be_null


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
