"""What runs and their sweeps cost in all."""

from typing import Any

import pandas as pd
import pytest

from greensweep.analysis import energy_bill, standard_table
from greensweep.analysis.result import Result
from greensweep.config.schema_analysis import ColumnsConfig
from greensweep.energy.units import watt_hours_text


def test_the_bill_has_a_line_for_all_that_searching_took() -> None:
    raw = pd.DataFrame(
        {
            "strategy": "tpe",
            "trial": range(4),
            "energy_joules": [10.0, 20.0, 3.0, 1.0],
            "energy_spent_joules": [12.0, 25.0, 4.0, 1.5],
            "accuracy": [0.5, 0.6, 0.1, None],
            "status": ["finished", "finished", "pruned", "failed"],
        }
    )
    sweeps = pd.DataFrame(
        {"search/search_joules": [2.0, 3.0], "sweep/energy_test_joules": [0.5, None]}
    )
    found = energy_bill(standard_table(raw, ColumnsConfig(), "here"), sweeps)
    bill = found.tables["bill"].set_index("part")
    assert bill["joules"].to_dict() == {
        "training of finished runs": 30.0,
        "their other phases and repeats": 7.0,
        "failed runs": 1.5,
        "pruned runs": 4.0,
        "drawing trials and keeping records": 5.0,
        "testing the best trials": 0.5,
    }
    assert bill["share"].sum() == 1.0
    assert found.figures["spent_joules"] == 48.0
    assert (found.figures["runs_joules"], found.figures["beside_joules"]) == (42.5, 5.5)
    assert found.figures["ratio_to_best"] == 48.0 / 20.0
    assert found.answers == [
        "4 runs took 42.5 J, and sweeps 5.5 J beside them: 48 J (13.3 mWh) in all (of unknown "
        "quality), 2.4 times the training of the most accurate of them.",
        "The training of finished runs took 30 J, 62 % of it; their other phases and repeats 7 J, "
        "failed runs 1.5 J, pruned runs 4 J, drawing trials and keeping records 5 J, testing the "
        "best trials 500 mJ.",
    ]


def test_idle_nodes_are_a_row_of_their_own_and_each_node_has_one() -> None:
    sweeps = pd.DataFrame(
        {
            "sweep/energy_idle_nodes_joules": [20.0, 3.6e6],
            "sweep/nodes/n1.site/joules": [100.0, 7.2e6],
            "sweep/nodes/n1.site/idle_joules": [20.0, 3.6e6],
            "sweep/nodes/n2/joules": [None, 3.6e6],
            "sweep/nodes/n2/idle_joules": [None, 0.0],
        }
    )
    found = bill([{"energy_joules": 40.0, "accuracy": 0.5}] * 2, sweeps)
    assert found.tables["bill"]["part"].iloc[-1] == "idle nodes and starting trials"
    assert found.tables["bill"]["joules"].iloc[-1] == 3.6e6 + 20.0
    assert found.figures["spent_joules"] == 3.6e6 + 100.0
    nodes = found.tables["nodes"].set_index("node")
    assert nodes["kwh"].to_dict() == {"n1.site": pytest.approx(2.0, rel=1e-3), "n2": 1.0}
    assert nodes["idle_joules"].to_dict() == {"n1.site": 3.6e6 + 20.0, "n2": 0.0}


def test_a_bill_without_nodes_that_were_read_has_no_such_row() -> None:
    found = bill([{"energy_joules": 40.0, "accuracy": 0.5}] * 2, pd.DataFrame([{}]))
    assert "nodes" not in found.tables
    assert not found.tables["bill"]["part"].str.contains("idle").any()


def test_the_reference_job_is_a_row_of_its_own_and_no_search() -> None:
    sweeps = pd.DataFrame({"sweep/energy_reference_joules": [2970.0]})
    found = bill([{"energy_joules": 2290.0, "accuracy": 0.5}] * 2, sweeps)
    assert found.tables["bill"].set_index("part")["joules"].to_dict() == {
        "training of finished runs": 4580.0,
        "their other phases and repeats": 0.0,
        "the reference job before and after": 2970.0,
    }
    assert "search" not in " ".join(found.answers)
    assert found.answers[1].endswith("; the reference job before and after 2.97 kJ.")


def bill(rows: list[dict[str, Any]], sweeps: pd.DataFrame | None = None) -> Result:
    return energy_bill(standard_table(pd.DataFrame(rows), ColumnsConfig(), "here"), sweeps)


def run(joules: float, **figures: Any) -> dict[str, Any]:
    return {"energy_joules": joules, "accuracy": 0.5, "energy_quality": "estimated", **figures}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        pytest.param([run(10.0)], ["1 run took 10 J (2.78 mWh) in all (estimated)."], id="one"),
        pytest.param(
            [run(10.0), run(10.0)],
            [
                "2 runs took 20 J (5.56 mWh) in all (estimated), 2 times the training of the most "
                "accurate of them."
            ],
            id="two",
        ),
        pytest.param(
            [run(0.0), run(3.6e9)],
            ["2 runs took 3.6 GJ (1 MWh) in all (estimated)."],
            id="for nothing",
        ),
        pytest.param(
            [run(10.0, energy_contended=True), run(10.0)],
            [
                "2 runs took 20 J (5.56 mWh) in all (estimated; 1 of them sharing the machine with "
                "other work), 2 times the training of the most accurate of them."
            ],
            id="shared",
        ),
        pytest.param(
            [run(10.0, energy_contended=True)],
            ["1 run took 10 J (2.78 mWh) in all (estimated; sharing the machine with other work)."],
            id="one shared",
        ),
        pytest.param(
            [run(1.0), run(20229.4)],
            [
                "2 runs took 20.2 kJ (5.62 Wh) in all (estimated), 20200 times the training of the "
                "most accurate of them."
            ],
            id="large",
        ),
        pytest.param(
            [run(10.0, dataset="a"), run(20.0, dataset="a", accuracy=0.1), run(4.0, dataset="b")],
            [
                "3 runs took 34 J (9.44 mWh) in all (estimated).",
                "Over the training of the most accurate on the same data, runs took 3 (a), 1 (b) "
                "times.",
            ],
            id="two data sets",
        ),
        pytest.param(
            [run(0.1, energy_spent_joules=0.7), run(0.2)],  # 0.3 + 0.6 is not 0.9, bit by bit
            [
                "2 runs took 900 mJ (0.25 mWh) in all (estimated), 9 times the training of the "
                "most accurate of them.",
                "The training of finished runs took 300 mJ, 33 % of it; their other phases and "
                "repeats 600 mJ.",
            ],
            id="rounding",
        ),
        pytest.param(
            [run(10.0, energy_spent_joules=30.0)],
            [
                "1 run took 30 J (8.33 mWh) in all (estimated).",
                "The training of finished runs took 10 J, 33 % of it; their other phases and "
                "repeats 20 J.",
            ],
            id="phases",
        ),
    ],
)
def test_the_bill_says_what_it_can_at_its_edges(
    rows: list[dict[str, Any]], told: list[str]
) -> None:
    assert bill(rows).answers == told


def test_the_bill_tells_emissions_where_all_runs_have_them() -> None:
    raw = pd.DataFrame(
        {
            "energy_joules": [10.0, 20.0],
            "energy_spent_joules": [15.0, 25.0],
            "accuracy": [0.5, 0.6],
            "emissions_spent_kg": [0.0015, 0.0025],
        }
    )
    sweeps = pd.DataFrame({"search/search_joules": [10.0]})
    found = energy_bill(standard_table(raw, ColumnsConfig(), "here"), sweeps)
    assert found.figures["emissions_spent_kg"] == pytest.approx(0.005)
    assert "50 J (13.9 mWh, 5 g CO2e) in all" in found.answers[0]
    partly = raw.assign(emissions_spent_kg=[0.0015, None])
    untold = energy_bill(standard_table(partly, ColumnsConfig(), "here"), sweeps)
    assert untold.figures["emissions_spent_kg"] is None
    assert "50 J (13.9 mWh) in all" in untold.answers[0]


def test_each_component_has_its_own_quality() -> None:
    raw = pd.DataFrame(
        {
            "energy_joules": [10.0, 20.0],
            "accuracy": [0.5, 0.6],
            "energy/cpu_joules": [4.0, 8.0],
            "energy/ram_joules": [6.0, 12.0],
            "energy/gpu_joules": [0.0, 0.0],
            "energy.quality.cpu": ["measured", "measured"],
            "energy.quality.ram": ["estimated", "attributed"],
        }
    )
    components = energy_bill(standard_table(raw, ColumnsConfig(), "here")).tables["components"]
    assert components.set_index("component")["quality"].to_dict() == {
        "ram": "attributed and estimated",
        "cpu": "measured",
        "gpu": "unknown",
    }
    untold = raw.drop(columns=["energy.quality.cpu", "energy.quality.ram"])
    found = energy_bill(standard_table(untold, ColumnsConfig(), "here"))
    assert "quality" not in found.tables["components"]


def test_each_phase_has_its_own_quality() -> None:
    raw = pd.DataFrame(
        {
            "energy_joules": [10.0, 20.0],
            "accuracy": [0.5, 0.6],
            "energy_quality": ["measured", "measured"],
            "phases/training_joules": [10.0, 20.0],
            "phases/inference_joules": [2.0, 3.0],
            "phases/test_joules": [None, 1.0],
            # Only where it is not that of the training: the counter failed after it.
            "phases.quality.inference": [None, "estimated"],
            "phases.quality.test": [None, "estimated"],
        }
    )
    phases = energy_bill(standard_table(raw, ColumnsConfig(), "here")).tables["phases"]
    assert phases.set_index("phase")["quality"].to_dict() == {
        "training": "measured",
        "inference": "estimated and measured",
        "test": "estimated",
    }
    untold = raw.drop(columns=["energy_quality", "phases.quality.inference"])
    phases = energy_bill(standard_table(untold, ColumnsConfig(), "here")).tables["phases"]
    assert phases.set_index("phase")["quality"].to_dict() == {
        "training": "unknown",
        "inference": "unknown",
        "test": "estimated",
    }


@pytest.mark.parametrize(
    ("joules", "told"),
    [(11.3e6, "3.14 kWh"), (3600.0, "1 Wh"), (3599.9, "1 Wh"), (36.0, "10 mWh"), (0.0, "0 Wh")],
)
def test_watt_hours_have_a_unit_that_scales(joules: float, told: str) -> None:
    assert watt_hours_text(joules) == told


def test_the_training_is_parted_by_layer_type_where_runs_carry_it() -> None:
    rows = [
        {**run(10.0), "layer_energy/conv_joules": 6.0, "layer_energy/relu_joules": 1.0},
        {**run(10.0), "layer_energy/conv_joules": 2.0, "layer_energy/relu_joules": None},
    ]
    table = bill(rows).tables["layer_types"].set_index("layer_type")
    assert table["joules"].to_dict() == {"conv": 8.0, "relu": 1.0}
    assert set(table["quality"]) == {"attributed"}
    assert "layer_types" not in bill([run(10.0)]).tables
