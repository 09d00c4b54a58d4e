"""The README is short, and its figures and claims are those of the product.

Its commands are run with those of the other pages, by tests/test_docs.py.
"""

import os
import re
import subprocess

import optuna
import pytest
from conftest import PROJECT
from pages import blocks, gallery

README = (PROJECT / "README.md").read_text(encoding="utf-8")
GALLERY = PROJECT / "docs" / "gallery"


def test_readme_is_read_in_minutes() -> None:
    assert len(README.split()) <= 900


def test_readme_begins_with_the_sweep_and_the_tests() -> None:
    first = blocks("README.md")[0]
    assert first.commands == ["make sweep", "make test"]
    for command in first.commands:
        ended = subprocess.run(
            [*command.split(), "--dry-run"],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr


def test_before_and_after_are_what_the_product_says_of_the_runs_that_are_kept() -> None:
    assert gallery().before_and_after(GALLERY / "digits.csv") in README


def test_figures_of_another_sweep_replace_those_of_the_readme_and_nothing_else() -> None:
    figures = gallery().before_and_after(GALLERY / "digits.csv")
    changed = gallery().with_figures(README, "> Take trial 0.")
    assert figures not in changed
    assert changed.replace("> Take trial 0.", figures) == README


def test_optuna_prunes_no_trial_of_two_objectives() -> None:
    """As the table beside CodeCarbon and Optuna says."""
    study = optuna.create_study(directions=["maximize", "minimize"])
    with pytest.raises(NotImplementedError, match="multi-objective"):
        study.ask().report(0.9, step=1)


def test_make_alone_lists_every_target() -> None:
    # Without MAKEFLAGS: this test may itself be run by make.
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    ended = subprocess.run(
        ["make"], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    )
    listed = {line.split()[0] for line in ended.stdout.splitlines()}
    phony = re.search(r"\.PHONY: (.*)", (PROJECT / "Makefile").read_text())
    assert phony is not None
    assert listed == set(phony.group(1).split())
