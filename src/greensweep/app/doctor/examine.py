"""The examination: versions, sources of energy, self-check, stores."""

import platform
from importlib.metadata import PackageNotFoundError, version

import greensweep
from greensweep.app.doctor.findings import ComponentSource, Examination, Finding, SelfCheck
from greensweep.app.doctor.self_check import check_meter, judge
from greensweep.app.doctor.sources import component_sources, find_gpus, find_rapl, judge_sources
from greensweep.app.doctor.stores import find_mlflow, find_optuna
from greensweep.config.schema import TrainConfig
from greensweep.energy import declared_grid
from greensweep.errors import GreensweepError

_PACKAGES = ("torch", "torchvision", "timm", "codecarbon", "mlflow", "optuna", "hydra-core", "dvc")


def examine(config: TrainConfig, storage: str) -> Examination:
    """Look at this machine as a sweep with this configuration would use it; takes seconds.

    Args:
        storage: URL of Optuna's store.
    """
    findings = [_find_device(config)]
    components: tuple[ComponentSource, ...] = ()
    check: SelfCheck | None = None
    try:
        device = config.training.device if findings[0].verdict != "fail" else "cpu"
        components = component_sources(config.energy, device)
        findings += judge_sources(config.energy, components)
        check = check_meter(config.energy, device)
    except GreensweepError as error:
        findings.append(Finding("energy", "fail", str(error)))
    findings += [find_rapl(), *find_gpus()]
    if check is not None:
        findings += judge(check)
    findings += [_find_grid(config), find_mlflow(config.tracking), find_optuna(storage)]
    return Examination(_versions(), components, check, tuple(findings))


def _find_device(config: TrainConfig) -> Finding:
    from greensweep.training import choose_device, device_name

    try:
        device = choose_device(config.training.device)
    except GreensweepError as error:
        return Finding("device", "fail", str(error))
    return Finding("device", "ok", f"trains on {device_name(device)}")


def _find_grid(config: TrainConfig) -> Finding:
    try:
        grid = declared_grid(config.energy)
    except GreensweepError as error:
        return Finding("emissions", "fail", str(error))
    if grid is None:
        return Finding(
            "emissions",
            "ok",
            "no grid declared, so no emissions are given",
            "set energy.country, or energy.grams_co2e_per_kwh",
        )
    return Finding(
        "emissions", "ok", f"{1000 * grid.kilograms_per_kwh:.3g} g CO2e/kWh ({grid.declared})"
    )


def _versions() -> dict[str, str]:
    import torch

    # Its own by itself, which a checkout knows that is not installed.
    versions = {"python": platform.python_version(), "greensweep": greensweep.__version__}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "missing"
    versions["cuda"] = torch.version.cuda or "none"
    return versions
