"""A search ends when more is not worth its energy."""

from pathlib import Path

import pytest
from searches import Search, spec, task_of_epochs

from greensweep.config.sweeper import StopConfig
from greensweep.search.stopping import best_gain_per_joule, least_gain_per_joule


def trials_until_not_worth(folder: Path, least: float) -> int:
    asked = spec(folder, 30, stop=StopConfig(min_gain_per_kilojoule=least, min_finished=8))
    search = Search(asked, task_of_epochs(1))
    ended = search.run()
    if len(search.trials) < 30:
        assert f"at least {least:.2g} was asked for" in str(ended)
    return len(search.trials)


@pytest.mark.slow
def test_the_more_a_kilojoule_has_to_gain_the_sooner_it_ends(tmp_path: Path) -> None:
    many = trials_until_not_worth(tmp_path / "little", 1e-9)
    few = trials_until_not_worth(tmp_path / "much", 0.1)
    least = trials_until_not_worth(tmp_path / "more", 1000.0)
    assert many == 30, "a gain of next to nothing is always to be had"
    assert least == 8, "no trial before min_finished ends it"
    assert least <= few < many


def test_the_gain_to_be_had_falls_as_the_search_closes_in(tmp_path: Path) -> None:
    search = Search(spec(tmp_path, 40), task_of_epochs(1))
    search.run(6)
    early = best_gain_per_joule(search.spec, search.study, search.trials)
    search.run(30)
    late = best_gain_per_joule(search.spec, search.study, search.trials)
    assert early is not None and late is not None
    assert late < early / 3


def test_nothing_is_told_without_energy(tmp_path: Path) -> None:
    search = Search(spec(tmp_path, 4), lambda params: params["rate"])
    search.run()
    assert best_gain_per_joule(search.spec, search.study, search.trials) is None


@pytest.mark.parametrize(
    ("stop", "grid", "least"),
    [
        (StopConfig(), None, None),
        (StopConfig(min_gain_per_kilojoule=2.0), None, 0.002),
        (StopConfig(min_gain_per_kg_co2e=5.0), 1e-4, 5e-4),
        (StopConfig(min_gain_per_kilojoule=2.0, min_gain_per_kg_co2e=5.0), 1e-4, 0.002),
    ],
)
def test_the_price_of_a_joule(
    tmp_path: Path, stop: StopConfig, grid: float | None, least: float | None
) -> None:
    asked = spec(tmp_path, stop=stop, kg_per_joule=grid)
    assert least_gain_per_joule(asked) == (None if least is None else pytest.approx(least))
