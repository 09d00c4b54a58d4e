"""The architecture: rooms in a row, each importing only rooms before it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PROJECT

PACKAGE = PROJECT / "src" / "greensweep"
ROOMS = [
    "ctrl_c", "errors", "secrets", "files", "csv_files", "resources", "config", "messages",
    "imports",
    "data", "models", "training", "energy", "measuring", "reporting", "tracking", "result",
    "checkpoint", "run", "repeats", "replay", "search", "study", "analysis", "rendering",
    "upload", "doctor", "app", "__main__",
]  # fmt: skip


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "greensweep":
                names = [f"greensweep.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "greensweep" and len(parts) > 1:
                yield parts[1], node.lineno


def test_every_module_belongs_to_a_room() -> None:
    found = {room_of(path) for path in PACKAGE.rglob("*.py")} - {"__init__"}
    assert found == set(ROOMS)


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_a_room_imports_only_rooms_before_it(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        assert not list(imported_rooms(path))
        return
    later = [
        f"line {line}: {name}"
        for name, line in imported_rooms(path)
        if name not in ROOMS or ROOMS.index(name) > ROOMS.index(room)
    ]
    assert not later, f"{room} imports rooms after it: {later}"


@pytest.mark.parametrize("script", ["train", "evaluate", "prepare", "analyse", "report"])
def test_a_script_is_thin(script: str) -> None:
    tree = ast.parse((PROJECT / "src" / f"{script}.py").read_text(encoding="utf-8"))
    (function,) = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert len(function.body) == 1


def test_only_config_and_app_know_omegaconf() -> None:
    """Config stops at the door: no other room sees Hydra's objects."""
    allowed = {"config", "app", "study/preflight.py"}
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "from omegaconf" in text or "from hydra" in text:
            name = str(path.relative_to(PACKAGE))
            assert name in allowed or room_of(path) in allowed, name


def test_no_room_hides_a_function_of_the_package() -> None:
    """`import greensweep.report` would put a module where `greensweep.report(...)` was."""
    import greensweep

    assert not set(greensweep._PUBLIC) & set(ROOMS)
