"""`benchmarks/gpu.py` works where there is no GPU, and loses nothing that it measured."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

PROJECT = Path(__file__).resolve().parents[1]
SCRIPT = PROJECT / "benchmarks" / "gpu.py"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark, as a module."""
    monkeypatch.setattr(sys, "path", [str(SCRIPT.parent), *sys.path])
    return importlib.import_module("gpu")


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_all_parts_give_figures_without_a_gpu(tmp_path: Path) -> None:
    output = tmp_path / "gpu.json"
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), "--minutes", "20", "--output", str(output)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(output.read_text())
    assert not found["failed"]
    assert not found["left_out"]
    parts = {figure["benchmark"] for figure in found["figures"]}
    assert parts == found["part_seconds"].keys() - {"compiled"}
    assert found["gpu_seen"] is False
    assert {aim["status"] for aim in found["aims"]} == {"not run"}
    assert all(figure["met"] is None for figure in found["figures"])
    assert "No GPU was seen" in ended.stdout


def test_what_there_is_no_time_for_is_named(
    gpu: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "gpu.json"
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--minutes", "0.3", "--output", str(output)])
    gpu.main()
    found = json.loads(output.read_text())
    assert list(found["left_out"]) == list(gpu.PARTS)
    assert not found["figures"]
    shown = capsys.readouterr().out
    assert "Left out, training: " in shown
    assert "No GPU was seen" in shown


def test_a_part_that_fails_keeps_what_it_measured(gpu: ModuleType, tmp_path: Path) -> None:
    session = importlib.import_module("gpu_parts.session")
    lines = tmp_path / "meters.jsonl"
    part = session.Session(torch.device("cpu"), session.TINY, 5.0, lines)
    figure = gpu.Figure("meters", "energy=nvml_rapl", "one reading", 3.2, unit="ms")
    with part.trying("meters"):
        part.keep(figure)
        with part.trying("a row"):
            raise RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA")
        assert not part.is_time_for("a long row", 60.0)
        raise ValueError("the counter is gone")
    with lines.open("a") as file:
        file.write('{"figure": {"bench')  # the process was ended as it wrote

    found = gpu.Found()
    gpu.take_lines(lines, "meters", found)
    assert found.figures == [figure]
    assert found.failed == {
        "meters: a row": "RuntimeError: CUDA error: out of memory",
        "meters": "ValueError: the counter is gone",
    }
    assert found.left_out == {"meters: a long row": "it takes about 60 s, and 5 s were left"}


def test_an_aim_is_met_when_all_its_figures_meet_their_target(gpu: ModuleType) -> None:
    aims = importlib.import_module("gpu_parts.aims")
    aim = aims.Aim("inference within 5 %", "inference", "smallest")
    figures = [
        gpu.Figure("inference", "resnet18", "largest - smallest", 0.03, at_most=0.05),
        gpu.Figure("inference", "resnet18", "smallest joules", 4.2),  # without a target
        gpu.Figure("training", "resnet18", "smallest", 0.5, at_most=0.1),  # another part's
    ]
    assert aim.reached(figures) == ("met", 1, 1)
    worse = gpu.Figure("inference", "smallest CNN", "largest - smallest", 0.3, at_most=0.05)
    assert aim.reached([*figures, worse]) == ("not met", 1, 2)
    assert aim.reached(figures[1:]) == ("not run", 0, 0)
