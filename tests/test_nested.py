"""A reading that was stored is the reading that it was."""

import io

import pytest
import torch

from greensweep.energy import ComponentEnergy, EnergyReading
from greensweep.energy.uncertainty import Uncertainty
from greensweep.nested import from_json, to_json

RAM = ComponentEnergy(3.0, "constant_power", "estimated", net_joules=1.0, idle_joules=2.0)
GPU = ComponentEnergy(
    70.0,
    "nvml",
    "measured",
    charged_joules=60.0,
    beside={"others": 20.0},
    unsettled_joules=5.0,
    uncertainty=Uncertainty({0.5: 1.0, 9.25: 2.0}, 0.5, 0.1),
)


@pytest.mark.parametrize(
    "reading",
    [
        EnergyReading(),
        EnergyReading(2.5, {"ram": RAM}),
        EnergyReading(9.0, {"ram": RAM, "gpu": GPU}, 2, frozenset({"cpu", "ram"}), 1.5, 12.0),
    ],
)
def test_a_reading_comes_back_from_a_file_of_weights(reading: EnergyReading) -> None:
    file = io.BytesIO()
    torch.save(to_json(reading), file)
    file.seek(0)
    again = from_json(EnergyReading, torch.load(file, weights_only=True))
    assert again == reading
    for one, other in zip(again.components.values(), reading.components.values(), strict=True):
        assert one.uncertainty == other.uncertainty
    assert again + reading == reading + reading
