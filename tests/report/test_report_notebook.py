"""The notebook in docs/ runs from top to bottom, and says what it shows."""

import json
from typing import Any

import pytest
from conftest import PROJECT, SHARED


def test_the_papers_notebook_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = SHARED / "paper"
    if not folder.is_dir():
        pytest.skip("the paper's measurements are not here")
    monkeypatch.setenv("GREENSWEEP_PAPER", str(folder))
    cells = json.loads((PROJECT / "docs" / "paper.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert code
    names: dict[str, Any] = {}
    for cell in code:
        exec(compile(cell, "paper.ipynb", "exec"), names)
    assert "less energy than random to reach the target in 10 of" in capsys.readouterr().out
    shown = [
        "".join(text)
        for cell in cells
        for output in cell.get("outputs", [])
        for text in (output.get("text", []), output.get("data", {}).get("text/plain", []))
    ]
    assert any("less energy than random to reach the target in 10 of" in text for text in shown), (
        "the notebook was saved without its outputs"
    )
    drawing = names["draw_layers"](names["layers"])
    assert drawing._repr_png_().startswith(b"\x89PNG")
