"""Emissions come from a declared grid, or there are none."""

import pytest
from codecarbon.input import DataSource

from greensweep.config import schema_energy
from greensweep.energy import Grid, declared_grid
from greensweep.energy.carbon import _regions
from greensweep.errors import EnergyError


def grid(**options: object) -> Grid | None:
    return declared_grid(schema_energy.CodeCarbonConfig(**options))


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
        ("Netherlands", "(did you mean NLD?)"),
        ("south corea", "(did you mean KOR?)"),
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


# --- regions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("country", "region", "declared"),
    [
        ("USA", "california", "california, USA"),
        ("usa", "California", "california, USA"),
        ("CAN", "ontario", "ontario, CAN"),
        ("SWE", "se1", "SE1, SWE"),
        ("NOR", "NO2", "NO2, NOR"),
    ],
)
def test_a_region_has_a_grid_of_its_own(country: str, region: str, declared: str) -> None:
    found = grid(country=country, region=region)
    assert found.declared.lower() == declared.lower()
    assert 0 < found.kilograms_per_kwh < 1.5
    assert found.kilograms_per_kwh != grid(country=country).kilograms_per_kwh


def test_a_region_of_coal_is_dirtier_than_one_of_water() -> None:
    dirty = grid(country="USA", region="wyoming").kilograms_per_kwh
    assert dirty > 2 * grid(country="USA", region="vermont").kilograms_per_kwh


@pytest.mark.parametrize("country", ["USA", "CAN", "CHN", "SWE", "NOR", "FIN"])
def test_every_region_that_is_offered_has_a_grid(country: str) -> None:
    regions = _regions(country, DataSource())
    assert regions
    for region in regions:
        assert grid(country=country, region=region).kilograms_per_kwh >= 0


@pytest.mark.parametrize(
    ("country", "region", "hint"),
    [
        ("USA", "califrnia", "no region is called 'califrnia': did you mean california"),
        ("SWE", "NO1", "no region is called 'NO1'"),
        ("NLD", "utrecht", "NLD has no known regions"),
    ],
)
def test_a_region_that_is_not_known_is_refused_with_a_way_out(
    country: str, region: str, hint: str
) -> None:
    with pytest.raises(EnergyError) as refused:
        grid(country=country, region=region)
    said = str(refused.value)
    assert said.startswith(f"energy.region={region} has no known grid (")
    assert hint in said
    assert said.endswith(
        "): leave it out for the mean of the country, or set energy.grams_co2e_per_kwh"
    )
    assert "\n" not in said
