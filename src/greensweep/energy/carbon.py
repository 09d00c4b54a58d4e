"""Emissions, from a declared grid only: never guessed from an address."""

from dataclasses import dataclass

from greensweep.config.schema import EnergyConfig
from greensweep.errors import EnergyError, unknown

_GRAMS_PER_KILOGRAM = 1000.0


@dataclass(frozen=True)
class Grid:
    """The carbon intensity of a declared grid.

    Attributes:
        kilograms_per_kwh: kg CO2e per kWh.
        declared: how the user named the grid.
    """

    kilograms_per_kwh: float
    declared: str

    def emissions_kg(self, kwh: float | None) -> float | None:
        """Return kg CO2e of that much energy, or None when it is unknown."""
        return None if kwh is None else kwh * self.kilograms_per_kwh


def declared_grid(config: EnergyConfig) -> Grid | None:
    """Return the declared grid, or None when the user named none.

    A country's intensity is the yearly mean that CodeCarbon ships.

    Raises:
        EnergyError: the country code does not exist.
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
    country = config.country.upper()
    known = source.get_global_energy_mix_data()
    if country not in known:
        raise EnergyError(
            f"energy.country={config.country} is no ISO 3166 alpha-3 code with a known grid "
            f"({unknown('country', country, known)}): set one such as NLD, "
            "or energy.grams_co2e_per_kwh"
        )
    per_kwh = Emissions(source).get_country_emissions(
        Energy(kWh=1.0), GeoMetadata(country_iso_code=country)
    )
    return Grid(per_kwh, country)
