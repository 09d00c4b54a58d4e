"""Continuous integration runs what a developer runs, on every Python that is supported."""

import re
from typing import Any

import pytest
import yaml
from conftest import PROJECT

WORKFLOW = PROJECT / ".github" / "workflows" / "ci.yml"


@pytest.fixture
def matrix() -> Any:
    return yaml.safe_load(WORKFLOW.read_text())["jobs"]["make"]["strategy"]["matrix"]


def test_each_command_is_a_target_of_make(matrix: Any) -> None:
    commands = [*matrix["run"], *(each["run"] for each in matrix["include"])]
    script = (PROJECT / ".ci" / "run").read_text()
    called = re.findall(r"make ([a-z-]+)", " ".join([*commands, script]))
    assert {*called} == {"test", "test-all", "test-integrations", "lint", "docs", "sweep", "repro"}
    targets = re.findall(r"^([a-z-]+):.*##", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert {*called} <= {*targets}


def test_the_tests_run_on_every_python_that_is_supported(matrix: Any) -> None:
    oldest = re.search(r'requires-python = ">=(.*)"', (PROJECT / "pyproject.toml").read_text())
    assert oldest is not None
    assert matrix["python"][0] == oldest[1]
    minors = [int(each.split(".")[1]) for each in matrix["python"]]
    assert minors == [*range(minors[0], minors[-1] + 1)]
