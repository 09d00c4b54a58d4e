"""Runs that share one GPU, with a real GPU's record of what its driver tells of them."""

import csv
from pathlib import Path

import pytest
from conftest import SHARED
from fakes import Machine, meter_of

from greensweep.energy import EnergyReading
from greensweep.energy.ledger import MachineLedger

TRACE = SHARED / "gpu" / "process_utilisation_h200.csv"
PROCESSES = ("p0", "p1", "p2", "p3")


class RecordedGpu(Machine):
    """A GPU that goes on as the record of an H200 says, with its driver's samples of processes.

    Four processes have it by time slices: three with the same load, the fourth with a small one.
    """

    def __init__(self, rows: list[dict[str, str]]) -> None:
        super().__init__()
        self.began = float(rows[0]["monotonic_s"])
        self.energy = [
            (float(row["monotonic_s"]), float(row["value"]) / 1000)
            for row in rows
            if row["call"] == "energy_mj"
        ]
        self.samples = [
            (float(row["monotonic_s"]), row["pid"])
            for row in rows
            if row["call"] == "sm" and float(row["value"])
        ]
        self.to(self.samples[3][0])  # under load from here on

    def to(self, moment: float) -> None:
        """Let time pass up to a moment of the record."""
        self.now = moment
        self.joules["gpu"] = [joules for at, joules in self.energy if at <= moment][-1]
        recent = {who for at, who in self.samples if moment - 1.0 <= at <= moment}
        self.gpu_users = {PROCESSES.index(who) for who in recent} or None
        for process in range(len(PROCESSES)):
            self.used[process] = self.waited[process] = 0.0


@pytest.fixture
def gpu() -> RecordedGpu:
    if not TRACE.is_file():
        pytest.skip("the shared record of a GPU's driver is not here")
    with TRACE.open() as file:
        return RecordedGpu(list(csv.DictReader(file)))


@pytest.mark.parametrize("seconds", [0.1, 0.5, 5.0])
def test_equal_runs_are_charged_the_same_of_a_gpu_whose_driver_names_one_at_a_time(
    gpu: RecordedGpu, tmp_path: Path, seconds: float
) -> None:
    meters = [
        meter_of(gpu, MachineLedger(tmp_path), process, ("gpu",), idle_watts=79.0)
        for process in range(len(PROCESSES))
    ]
    for meter in meters:
        meter.start()
    began, used = gpu.now, gpu.joules["gpu"]
    totals = [EnergyReading() for _ in meters]
    while gpu.now < began + 5.0:
        gpu.to(gpu.now + seconds)
        for place, meter in enumerate(meters):
            totals[place] += meter.lap()
    charged = [total.charged_joules or 0.0 for total in totals]
    joules = [total.joules or 0.0 for total in totals]
    assert sum(charged) <= gpu.joules["gpu"] - used + 1e-6
    assert max(joules[:3]) / min(joules[:3]) < 1.1
    assert min(joules) > 0
    assert {total.quality for total in totals} == {"attributed"}
    assert all(total.comparable for total in totals)
