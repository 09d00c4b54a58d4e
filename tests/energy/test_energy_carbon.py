"""Emissions come from a declared grid, or there are none."""

import pytest
from codecarbon.input import DataSource

from greensweep.config import schema
from greensweep.energy import Grid, declared_grid
from greensweep.errors import EnergyError


def grid(**options: object) -> Grid | None:
    return declared_grid(schema.CodeCarbonConfig(**options))


def test_without_a_declared_grid_there_are_no_emissions() -> None:
    assert grid() is None


def test_a_stated_intensity_is_used_exactly() -> None:
    stated = grid(grams_co2e_per_kwh=250.0)
    assert stated == Grid(0.25, "250 g CO2e/kWh")
    assert stated.emissions_kg(2.0) == 0.5


def test_a_grid_without_emissions_is_not_an_unknown_one() -> None:
    stated = grid(grams_co2e_per_kwh=0.0)
    assert stated.emissions_kg(2.0) == 0.0


def test_unknown_energy_has_unknown_emissions() -> None:
    assert grid(grams_co2e_per_kwh=250.0).emissions_kg(None) is None


@pytest.mark.parametrize("country", ["NLD", "nld", "Nld"])
def test_a_country_has_the_intensity_that_codecarbon_ships(country: str) -> None:
    shipped = DataSource().get_global_energy_mix_data()["NLD"]["carbon_intensity"]
    found = grid(country=country)
    assert found.declared == "NLD"
    assert found.kilograms_per_kwh == pytest.approx(shipped / 1000)
    assert 0.1 < found.kilograms_per_kwh < 0.5


def test_countries_differ() -> None:
    assert grid(country="FRA").kilograms_per_kwh < grid(country="POL").kilograms_per_kwh / 3


@pytest.mark.parametrize(
    ("country", "hint"),
    [
        ("XXX", "nor anything close to it"),
        ("NL", "did you mean"),
        ("Netherlands", ""),
        ("", ""),
    ],
)
def test_a_country_that_does_not_exist_is_refused_with_a_way_out(country: str, hint: str) -> None:
    with pytest.raises(EnergyError) as refused:
        grid(country=country)
    said = str(refused.value)
    assert said.startswith(
        f"energy.country={country} is no ISO 3166 alpha-3 code with a known grid"
    )
    assert said.endswith("): set one such as NLD, or energy.grams_co2e_per_kwh")
    assert hint in said
    assert "\n" not in said


def test_every_country_that_codecarbon_knows_has_a_grid() -> None:
    known = DataSource().get_global_energy_mix_data()
    for country in known:
        assert grid(country=country).kilograms_per_kwh >= 0
