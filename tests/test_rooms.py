"""The architecture: rooms in a row, each importing only rooms before it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from conftest import PROJECT

PACKAGE = PROJECT / "src" / "greensweep"
GROUND = [
    "ctrl_c",
    "errors",
    "nested",
    "secrets",
    "files",
    "csv_files",
    "intervals",
    "pareto",
    "gaussian_process",
    "resources",
    "config",
    "messages",
    "imports",
]
ANY_PROGRAM = ["energy", "tracking", "record", "decision", "search", "executors", "sweeper"]
TRAINER = ["data", "models", "tasks", "training", "runs"]
ROOMS = [
    *GROUND, *ANY_PROGRAM, *TRAINER, "loops", "study", "sources", "analysis", "rendering", "app",
    "studies", "__main__",
]  # fmt: skip


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(parsed(path)):
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
    if room == "__init__":  # which imports nothing before it is asked for
        return
    later = [
        f"line {line}: {name}"
        for name, line in imported_rooms(path)
        if name not in ROOMS or ROOMS.index(name) > ROOMS.index(room)
    ]
    assert not later, f"{room} imports rooms after it: {later}"


def test_the_plugin_of_hydra_is_a_door() -> None:
    for path in (PROJECT / "src" / "hydra_plugins").rglob("*.py"):
        assert {name for name, _ in imported_rooms(path)} <= {"config", "study", "sweeper"}


def test_our_trainer_knows_nothing_of_searches() -> None:
    for path in PACKAGE.rglob("*.py"):
        if room_of(path) in TRAINER:
            met = {"search", "executors", "sweeper"} & {name for name, _ in imported_rooms(path)}
            assert not met, f"{path.relative_to(PACKAGE)} imports {met}"


def test_what_serves_any_program_loads_no_torch(tmp_path: Path) -> None:
    modules = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in PACKAGE.rglob("*.py")
        if room_of(path) in (*GROUND, *ANY_PROGRAM)
    ]
    code = (
        f"import importlib, sys\nfor name in {modules}: importlib.import_module(name)\n"
        "import hydra_plugins.greensweep_sweeper.greensweep_sweeper, greensweep.study.own_sweep\n"
        "import greensweep, greensweep.loops.run\n"
        "with greensweep.run('a', directory=sys.argv[1], meter='unmetered') as run:\n"
        "    run.report(epoch=1, accuracy=0.5)\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path], check=False).returncode == 0


def test_what_counts_a_module_of_ones_own_needs_nothing_but_torch() -> None:
    """Of all that our trainer imports, which takes seconds, and may not be installed."""
    code = (
        "import sys, greensweep.loops.network\n"
        "others = {'sklearn', 'pandas', 'torchvision', 'timm', 'PIL'}\n"
        "sys.exit(bool(others & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("script", ["train", "evaluate", "predict", "prepare", "analyse", "report"])
def test_a_script_is_the_program_of_its_name(script: str) -> None:
    tree = parsed(PROJECT / "src" / f"{script}.py")
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If)]
    assert ast.unparse(guarded.body[0]) == f"sys.exit(main(['{script}', *sys.argv[1:]]))"


def test_only_config_and_app_know_omegaconf() -> None:
    """Config stops at the door: no other room sees Hydra's objects."""
    checks = {"preflight", "declared", "searched_values", "planned"}  # of a composed sweep
    allowed = {"config", "app", "sweeper", *(f"study/{name}.py" for name in checks)}
    allowed.add("loops/place.py")  # the door of a loop of one's own
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "from omegaconf" in text or "from hydra" in text:
            name = str(path.relative_to(PACKAGE))
            assert name in allowed or room_of(path) in allowed, name


def test_no_room_hides_a_function_of_the_package() -> None:
    """`import greensweep.report` would put a module where `greensweep.report(...)` was."""
    import greensweep

    assert not set(greensweep.__all__) & set(ROOMS)


# A key of configurations, what is documented, and ATen's names of its operators.
PUBLIC_ALL_THE_SAME = {"_target_", "_fields", "os._exit", "aten._trilinear", "aten._cudnn_rnn"}


def is_private(name: object) -> bool:
    return isinstance(name, str) and name.startswith("_") and not name.startswith("__")


def names_made_in(tree: ast.AST) -> set[str]:
    """The functions, classes, variables and attributes that a file defines."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                found.add(name)
    return found


def private_uses(tree: ast.AST, own: set[str], inherited: set[str]) -> Iterator[str]:
    """Private names that a file takes from a library: by import, attribute or `getattr`.

    Args:
        own: what the file itself defines.
        inherited: what any file of the package defines, which an object may have of its class.
    """
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=names):
                parts = [*module.split("."), *(alias.name for alias in names)]
                if module.partition(".")[0] != "__future__" and any(map(is_private, parts)):
                    yield f"line {node.lineno}: from {module}"
            case ast.Import(names=names):
                if any(is_private(part) for alias in names for part in alias.name.split(".")):
                    yield f"line {node.lineno}: {ast.unparse(node)}"
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name):
                if is_private(name) and name not in inherited:
                    yield f"line {node.lineno}: {ast.unparse(node)}"
            case ast.Attribute(attr=name):
                text = ast.unparse(node)
                known = {text, name} & PUBLIC_ALL_THE_SAME or text.startswith("aten._fft")
                if is_private(name) and name not in own and not known:
                    yield f"line {node.lineno}: {text}"
            case ast.Call(func=ast.Name(id="getattr" | "hasattr" | "setattr"), args=[_, what, *_]):
                name = what.value if isinstance(what, ast.Constant) else ""
                if is_private(name) and name not in own | PUBLIC_ALL_THE_SAME:
                    yield f"line {node.lineno}: {ast.unparse(node)}"


def test_only_a_librarys_own_file_uses_what_is_private_of_it() -> None:
    """Another version may change it: `NAME_internals.py` says why it is used, and has its test."""
    trees = {
        path: parsed(path)
        for path in (PROJECT / "src").rglob("*.py")
        if not path.stem.endswith("_internals")
    }
    own = {path: names_made_in(tree) for path, tree in trees.items()}
    inherited = set().union(*own.values())
    found = [
        f"{path.relative_to(PROJECT)}, {use}"
        for path, tree in trees.items()
        for use in private_uses(tree, own[path], inherited)
    ]
    assert not found, found


def test_each_file_of_what_is_private_has_its_test() -> None:
    files = {path.stem for path in PACKAGE.rglob("*_internals.py")}
    assert files == {p.stem.removeprefix("test_") for p in PROJECT.glob("tests/**/*_internals.py")}


# Whatever else is written appears whole, by `files`.
DIRECT_WRITES = {
    "csv_files/cells.py": "into a part that `files.write_whole` gives",
    "executors/code.py": "into a folder that is only sent",
    "executors/node.py": "into a part that `files.write_whole` gives",
    "data/image_folder.py": "likewise",
    "runs/checkpoint.py": "likewise, and into memory",
    "runs/rank.py": "into memory, to another process",
    "rendering/write.py": "into a folder that `files.write_together` gives",
    "tracking/csv_file.py": "appended to while a run goes on, line by line",
    "search/reports.py": "likewise",
    "energy/ledger.py": "in place under a lock: a lap must not cost a millisecond",
}
WRITES = {"write_text", "write_bytes", "pwrite", "rename", "savez", "save", "to_csv", "to_parquet"}


def writes(path: Path) -> Iterator[str]:
    """Calls that write a file, or put one in the place of another."""
    for node in ast.walk(parsed(path)):
        match node:
            case ast.Call(func=ast.Attribute(attr="open"), args=[ast.Constant(value=mode), *_]):
                if set(str(mode)) & set("wax+"):
                    yield ast.unparse(node)
            case ast.Call(func=ast.Attribute(attr="replace"), args=[to], keywords=[]):
                if not isinstance(to, ast.Dict):  # of a data frame; a text's has two
                    yield ast.unparse(node)
            case ast.Call(func=ast.Attribute(attr=name)) if name in WRITES:
                if not any(each.arg == "columns" for each in node.keywords):  # of a data frame
                    yield ast.unparse(node)


def test_files_are_written_whole() -> None:
    found = {str(p.relative_to(PACKAGE)): [*writes(p)] for p in PACKAGE.rglob("*.py")}
    assert {name for name, calls in found.items() if calls} - {"files.py"} == set(DIRECT_WRITES)
