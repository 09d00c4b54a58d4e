"""Where this machine's energy figures come from, and how to get better ones."""

import os
import platform
from contextlib import closing
from pathlib import Path

from greensweep.app.doctor.computing import device_meant
from greensweep.app.doctor.findings import ComponentSource, Finding, Verdict
from greensweep.config.schema_energy import CodeCarbonConfig, EnergyConfig
from greensweep.energy.build import build_source
from greensweep.energy.gpus import CudaDevice, Gpu, machine_gpus
from greensweep.energy.nvml import NvmlCounter, keeps_accounts, refusal
from greensweep.energy.rapl import POWERCAP, rapl_zones


def component_sources(config: EnergyConfig, device: str) -> tuple[ComponentSource, ...]:
    """Open the configured source and return what it reads of a run on that device.

    Raises:
        EnergyError: it cannot be opened.
    """
    source = build_source(config, device_meant(device))
    if source is None:
        return ()
    with closing(source):
        return tuple(
            ComponentSource(
                each.component, each.source, each.quality, each.basis, each.update_seconds
            )
            for each in source.open()
        )


def find_rapl(powercap: Path | None = None) -> Finding:
    """Look for RAPL, the counters of CPU and memory."""
    subject = "RAPL (CPU, memory)"
    if platform.system() != "Linux":
        advice = (
            "let CodeCarbon use powermetrics: allow it in sudoers, as its documentation describes"
            if platform.system() == "Darwin"
            else "measure at the wall, and set energy.calibration.idle_watts and load_watts"
        )
        return Finding(subject, "note", f"there is none on {platform.system()}", advice)
    root = powercap or POWERCAP
    zones = rapl_zones(root)
    if not zones:
        return Finding(
            subject,
            "note",
            f"no package zones in {root}: virtual machines and containers seldom show them",
            "on bare metal: sudo modprobe intel_rapl_msr; elsewhere measure at the wall once, and "
            "set energy.calibration.idle_watts and energy.calibration.load_watts",
        )
    unreadable = [zone for zone, _ in zones if not os.access(zone / "energy_uj", os.R_OK)]
    if unreadable:
        return Finding(
            subject,
            "note",
            f"{unreadable[0] / 'energy_uj'} may not be read by this user",
            f"sudo chmod a+r {root}/intel-rapl*/energy_uj {root}/intel-rapl*/*/energy_uj "
            "(until the next start; a udev rule or tmpfiles.d entry keeps it)",
        )
    names = sorted({component for _, component in zones})
    return Finding(subject, "ok", f"{len(zones)} zones can be read: {' and '.join(names)}")


def find_gpus() -> list[Finding]:
    """Look for NVIDIA GPUs, each with its name, UUID and slices, and what NVML tells of its use."""
    subject = "NVML (NVIDIA GPU)"
    try:
        gpus = machine_gpus()
    except Exception as error:  # pynvml's errors, whose class needs the library
        advice = "let nvidia-smi run for this user, in a container with --gpus all"
        return [Finding(subject, "note", refusal(error), advice)]
    if not gpus:
        return [Finding(subject, "ok", "no NVIDIA GPU or no driver here: nothing to measure")]
    return [_find_gpu(gpu) for gpu in gpus]


def _find_gpu(gpu: Gpu) -> Finding:
    facts = [f"{gpu.name}, {gpu.uuid}"]
    if gpu.slices:
        facts.append(f"in {len(gpu.slices)} MIG slices ({', '.join(gpu.slices)}), counted together")
    verdict: Verdict = "ok"
    advice = None
    try:
        counter = NvmlCounter(CudaDevice(gpu, gpu.uuid))
        facts.append(f"its energy counter moves every {counter.update_seconds:g} s")
    except Exception as error:  # pynvml's errors, whose class needs the library
        facts.append(f"no energy counter: {refusal(error)}")
        verdict, advice = "note", "energy=codecarbon samples its power instead"
    accounts = {True: "accounting on", False: "accounting off", None: "no accounting"}
    facts.append(accounts[keeps_accounts(gpu)])
    return Finding(f"GPU {gpu.index}", verdict, "; ".join(facts), advice)


def judge_sources(config: EnergyConfig, components: tuple[ComponentSource, ...]) -> Finding:
    """Say how good the configured sources are."""
    if not components:
        text = f"energy={config.name} reads nothing from this machine"
        return Finding("energy", "note", text, "set energy=codecarbon")
    estimated = [each.component for each in components if each.quality == "estimated"]
    if not estimated:
        return Finding("energy", "ok", "every component is measured by a counter")
    text = f"{' and '.join(estimated)} estimated, not measured"
    if measured := [each.component for each in components if each.quality == "measured"]:
        text += f"; {' and '.join(measured)} measured"
    advice = None
    if isinstance(config, CodeCarbonConfig) and "cpu" in estimated:
        advice = (
            "energy then differs between runs almost as their time does; see RAPL below, or "
            "declare energy.cpu_tdp_watts or energy.calibration"
        )
    return Finding("energy", "note", text, advice)
