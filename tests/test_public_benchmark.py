"""`benchmarks/public.py` searches the cells of EC-NAS, and says what a search was worth."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = Path(__file__).resolve().parents[1]
SCRIPT = PROJECT / "benchmarks" / "public.py"
TABLE = PROJECT.parent / "shared" / "ecnas" / "cells_5v.csv"
NO_EDGE = {f"edge_{a}_{b}": False for a in range(5) for b in range(a + 1, 5)}
OPERATIONS = {"operation_1": "conv3x3", "operation_2": "conv1x1", "operation_3": "maxpool3x3"}


@pytest.fixture
def cells(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    return importlib.import_module("cells")


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    monkeypatch.delitem(sys.modules, "public", raising=False)  # a library of that name
    return importlib.import_module("public")


@pytest.fixture
def small_table(cells: ModuleType, public: ModuleType) -> object:
    """Every cell, with an accuracy and joules made of its name."""
    accuracy, joules = {}, {}
    for point in cells.all_choices():
        cell = cells.cell_of(point)
        if cell is not None:
            number = int(cell[:4], 16)
            accuracy[cell], joules[cell] = number / 65536, 1.0 + number % 7
    return public.Table(accuracy, joules)


def test_cell_is_named_by_what_lies_between_input_and_output(cells: ModuleType) -> None:
    through_two = NO_EDGE | {"edge_0_2": True, "edge_2_4": True}
    through_one = NO_EDGE | {"edge_0_1": True, "edge_1_4": True}
    swapped = {**OPERATIONS, "operation_1": "conv1x1", "operation_2": "conv3x3"}

    name = cells.cell_of({**through_two, **OPERATIONS})
    assert name == cells.cell_of({**through_one, **swapped})
    assert name == cells.cell_of({**through_two, **OPERATIONS, "edge_0_3": True})
    assert name != cells.cell_of({**through_one, **OPERATIONS})
    assert cells.cell_of({**NO_EDGE, **OPERATIONS, "edge_0_1": True}) is None
    assert cells.cell_of({**dict.fromkeys(NO_EDGE, True), **OPERATIONS}) is None  # ten edges


def test_cells_are_those_of_the_public_table(cells: ModuleType, public: ModuleType) -> None:
    if not TABLE.is_file():
        pytest.skip(f"there is no {TABLE.name} of EC-NAS beside the project")

    table = public.read(TABLE)

    assert {cells.cell_of(point) for point in cells.all_choices()} - {None} == {*table.joules}


def test_invalid_cells_cost_nothing_and_are_drawn_anew(
    public: ModuleType, small_table: object
) -> None:
    accuracy, joules = public.trace(small_table, public.RANDOM, 0, 1, 20)

    assert len(accuracy) == len(joules) == 20
    assert joules.min() >= 1


def test_figures_are_against_random_search_and_the_whole_table(
    public: ModuleType, small_table: object
) -> None:
    one = public.measure(small_table, "random", 1, range(2), 8)
    two = public.measure(small_table, "scaled_tpe", 2, range(2), 17)

    assert one["energy_to_target"]["median"] == 1
    assert one["energy_to_target"]["reached_share"] == 1
    assert 0 < one["regret"]["median"] < 1
    assert 0 < two["hypervolume_after_16"]["median"] <= two["hypervolume_after_32"]["median"] < 1
    everything = [*small_table.accuracy.values()], [*small_table.joules.values()]
    assert small_table.hypervolume(*map(public.np.array, everything)) == 1


def test_without_the_table_nothing_is_searched(
    public: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "public.json"
    monkeypatch.setattr(
        "sys.argv", ["public.py", f"--table={tmp_path}/none.csv", f"--output={output}"]
    )

    public.main()

    assert "Skipped: there is no" in capsys.readouterr().out
    assert not output.exists()


def test_reported_seeds_are_held_out() -> None:
    rows = json.loads(SCRIPT.with_suffix(".json").read_text(encoding="utf-8"))["rows"]

    assert rows
    assert all(row["first_seed"] + row["seeds"] <= 100 for row in rows)
