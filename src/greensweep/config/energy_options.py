"""The meter's options as keywords of `greensweep.measure` and `greensweep.run`."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Literal, TypedDict

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from greensweep.config import omegaconf_internals  # noqa: F401 - lets options be literals
from greensweep.config.options import option_faults
from greensweep.config.schema_energy import CalibrationConfig, EnergyConfig
from greensweep.errors import ConfigError, first_line, unknown


class EnergyOptions(TypedDict, total=False):
    """Options of the meter, as `conf/energy` has them; a meter takes those of its own.

    Attributes:
        meter: codecarbon (default), nvml_rapl, replay or unmetered.
        country: ISO 3166 alpha-3 code of the country whose grid feeds this machine, for emissions.
        region: a state or zone of it.
        grams_co2e_per_kwh: carbon intensity of the grid, instead of a country.
        gpus: to count: a list of nvidia-smi's numbers or UUIDs, or "all"; None is those that CUDA
            shows to the process.
        baseline: power of the idle machine: auto, measure or none.
        calibration: `{"idle_watts": 40, "load_watts": 120}` of a wall meter (codecarbon).
        tracking_mode: machine, or process for an estimate of this process's share (codecarbon).
        cpu_tdp_watts: rated power of the CPU, where CodeCarbon does not know it.
        path, column, unit, time_column, component: of recorded energy (replay).
    """

    meter: str
    country: str | None
    region: str | None
    grams_co2e_per_kwh: float | None
    gpus: list[int | str] | Literal["all"] | None
    baseline: Literal["auto", "measure", "none"]
    baseline_seconds: float
    baseline_hours: float
    calibration: Mapping[str, float]
    tracking_mode: Literal["machine", "process"]
    cpu_tdp_watts: float | None
    path: str
    column: str
    unit: str | None
    time_column: str | None
    component: Literal["cpu", "gpu", "ram"]


def energy_config(
    given: object = None, *, prefix: str = "", beside: Iterable[str] = (), **options: Any
) -> EnergyConfig:
    """Return the configuration of a meter.

    Args:
        given: a meter's configuration, or a mapping of options with `name` or `meter`, such as the
            `energy` group of a Hydra configuration; None is CodeCarbon's defaults.
        prefix: of the options where they were set; none of keywords.
        beside: keywords of the caller that are none of the meter's, one of which may be meant.
        options: of `EnergyOptions`; they win over `given`.

    Raises:
        ConfigError: an option does not exist, or is out of its range.
    """
    if isinstance(given, EnergyConfig) and not options:
        return given
    if isinstance(given, DictConfig):
        given = OmegaConf.to_container(given, resolve=True)
    elif isinstance(given, EnergyConfig):
        given = {each.name: getattr(given, each.name) for each in fields(given)}
    if not isinstance(given, Mapping | None):
        raise ConfigError(
            f"a meter is configured by keywords, as in country='NLD', got {given!r}: see "
            "help(greensweep.measure)"
        )
    asked = {**(given or {}), **options}
    name = asked.pop("meter", None) or asked.pop("name", "codecarbon")
    asked.pop("name", None)
    if not isinstance(name, str) or name not in EnergyConfig.choices:
        where = f"{prefix.rstrip('.')}: " if prefix.endswith(".") else ""
        raise ConfigError(where + unknown("meter", str(name), EnergyConfig.choices))
    schema = EnergyConfig.choices[name]
    names = [each.name for each in fields(schema) if each.name != "name"]
    if strange := [each for each in asked if each not in names]:
        is_anothers = strange[0] in EnergyOptions.__annotations__
        where = f"{prefix}meter={name}: " if prefix or is_anothers else ""
        said = unknown("option", str(strange[0]), [*names, "meter", *beside])
        raise ConfigError(f"{where}{said}")
    figures = asked.get("calibration", {})
    if not isinstance(figures, Mapping | CalibrationConfig):
        raise ConfigError(
            f"{prefix}calibration must be figures of a wall meter, as in "
            f"{{'idle_watts': 40, 'load_watts': 120}}, got {figures!r}"
        )
    try:
        node = OmegaConf.merge(OmegaConf.structured(schema), asked)
        if missing := OmegaConf.missing_keys(node) - {"name"}:
            raise ConfigError(f"{prefix}{min(missing)} has no value: set {prefix}{min(missing)}=…")
        config = OmegaConf.to_object(node)
    except OmegaConfBaseException as error:
        option = error.full_key or f"meter={name}"
        raise ConfigError(f"{prefix}{option}: {first_line(error)}") from error
    if faults := [*option_faults(config, prefix)]:
        raise ConfigError("; ".join(faults))
    assert isinstance(config, EnergyConfig)
    config.prefix = prefix
    return config
