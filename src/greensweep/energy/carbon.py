"""Emissions, from a declared grid only: never guessed from an address."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from greensweep.config.schema_energy import EnergyConfig
from greensweep.errors import EnergyError, unknown

if TYPE_CHECKING:
    from codecarbon.input import DataSource

_GRAMS_PER_KILOGRAM = 1000.0

# Bidding zones of the Nordic market, by the first letters of their names.
_NORDIC_ZONES = {"SWE": "SE", "NOR": "NO", "FIN": "FI"}


@dataclass(frozen=True)
class Grid:
    """The carbon intensity of a grid, kg CO2e per kWh, and how the user declared it."""

    kilograms_per_kwh: float
    declared: str

    def emissions_kg(self, kwh: float | None) -> float | None:
        """Return kg CO2e of that much energy, or None when it is unknown."""
        return None if kwh is None else kwh * self.kilograms_per_kwh


def declared_grid(config: EnergyConfig) -> Grid | None:
    """Return the declared grid, or None when the user named none.

    A country's or region's intensity is the yearly mean that CodeCarbon ships.

    Raises:
        EnergyError: the country code does not exist, or the region's grid is not known.
    """
    if config.grams_co2e_per_kwh is not None:
        grams = config.grams_co2e_per_kwh
        return Grid(grams / _GRAMS_PER_KILOGRAM, f"{grams:g} g CO2e/kWh")
    if config.country is None:
        return None
    from codecarbon.core.emissions import Emissions
    from codecarbon.core.units import Energy
    from codecarbon.external.geography import GeoMetadata
    from codecarbon.input import DataSource

    source = DataSource()
    emissions, one_kwh = Emissions(source), Energy(kWh=1.0)
    country = config.country.upper()
    known = source.get_global_energy_mix_data()
    if country not in known:
        codes = {str(each["country_name"]).upper(): code for code, each in known.items()}
        meant = get_close_matches(country, codes, 1, 0.8)
        hint = f"did you mean {codes[meant[0]]}?" if meant else unknown("country", country, known)
        raise EnergyError(
            f"{config.prefix}country={config.country} is no ISO 3166 alpha-3 code with a known "
            f"grid ({hint}): set one such as NLD, or {config.prefix}grams_co2e_per_kwh"
        )
    if config.region is None:
        place = GeoMetadata(country_iso_code=country)
        return Grid(emissions.get_country_emissions(one_kwh, place), country)
    region = _known_region(config, _regions(country, source))
    place = GeoMetadata(country_iso_code=country, region=region)
    return Grid(emissions.get_region_emissions(one_kwh, place), f"{region}, {country}")


def _known_region(config: EnergyConfig, regions: Iterable[str]) -> str:
    """Return a region under CodeCarbon's name."""
    name, before = str(config.region), config.prefix
    known = {region.lower(): region for region in regions}
    if name.lower() not in known:
        hint = unknown("region", name, known) if known else f"{config.country} has no known regions"
        raise EnergyError(
            f"{before}region={name} has no known grid ({hint}): leave it out for the mean of "
            f"the country, or set {before}grams_co2e_per_kwh"
        )
    return known[name.lower()]


def _regions(country: str, source: "DataSource") -> list[str]:
    """Return the regions of which CodeCarbon ships data; each kind has a table of its own."""
    if country == "USA":
        # The table begins with notes on itself: _unit, _source.
        return [name for name in source.get_country_emissions_data("usa") if name[0] != "_"]
    if country == "CAN":
        return list(source.get_country_energy_mix_data("can"))
    if country == "CHN":
        provinces = source.get_china_provincial_emissions_data()["data"].values()
        return [name for province in provinces for name in province["names"]]
    zone = _NORDIC_ZONES.get(country)
    zones = source.get_nordic_country_energy_mix_data()["data"] if zone else ()
    return [name for name in zones if name.startswith(str(zone))]
