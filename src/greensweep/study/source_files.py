"""What a part of a program is made of: the modules that it imports, the configuration it composes.

A stage of the pipeline depends on their digests.
"""

import ast
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from greensweep.search.made_from import files_in

_PACKAGE = "__init__.py"


def source_files(path: Path, without: Collection[str] = ()) -> list[Path]:
    """Return a module, or all files of a package, and the modules that it imports from beside it.

    Beside it is the folder around the outermost package; libraries are left out. An import counts
    wherever it runs, also inside of a function, and not where a type checker alone sees it. So does
    an import path in a string that names a module of the same package, as `implementation =
    "greensweep.energy.meter:unmetered"` does.

    Of a primary configuration of Hydra's those are its own file and all of the groups in its
    defaults list; any other file or folder stands for itself.

    Args:
        without: groups that are left out.

    Raises:
        OSError, SyntaxError: a file cannot be read.
    """
    if path.suffix == ".py" or (path / _PACKAGE).is_file():
        return sorted(_imported(path))
    if path.suffix == ".yaml":
        return sorted(_composed(path, without))
    return [path]


def _imported(path: Path) -> set[Path]:
    root = path.parent
    while (root / _PACKAGE).is_file():
        root = root.parent
    asked = [*files_in(path)] if path.is_dir() else [path]  # templates, too
    found: set[Path] = set()
    while asked:
        file = asked.pop()
        if file not in found:
            found.add(file)
            names = _named(file, root) if file.suffix == ".py" else ()
            asked += [each for name in names for each in _modules(root, name)]
    return found


def _modules(root: Path, name: str) -> Iterator[Path]:
    """Yield the files that importing a dotted name runs: of the packages around it, and its own."""
    path = root
    for part in filter(None, name.split(".")):
        path /= part
        yield from filter(Path.is_file, (path / _PACKAGE, path.with_name(f"{part}.py")))


def _named(file: Path, root: Path) -> set[str]:
    """Return the dotted names in a file that may be modules, or names in them."""
    package = file.relative_to(root).parent.parts
    names = {".".join(package)}
    asked: list[ast.AST] = [ast.parse(file.read_bytes())]
    while asked:
        node = asked.pop()
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                asked += node.orelse  # what runs
                continue
            case ast.Import():
                names |= {alias.name for alias in node.names}
            case ast.ImportFrom():
                above = package[: len(package) + 1 - node.level] if node.level else ()
                module = ".".join([*above, *filter(None, [node.module])])
                names |= {f"{module}.{alias.name}" for alias in node.names}
            case ast.Constant(value=str(text)) if text.startswith(f"{(*package, '')[0]}."):
                names.add(text.replace(":", "."))
        asked += ast.iter_child_nodes(node)
    return names


def _composed(config: Path, without: Collection[str]) -> set[Path]:
    from ruamel.yaml import YAML

    found = {config}
    for entry in (YAML(typ="safe").load(config) or {}).get("defaults", ()):
        group = _group(entry)
        if group not in without:
            files = (config.parent / group).rglob("*.yaml")
            found |= {*files, *filter(Path.is_file, [config.parent / f"{group}.yaml"])}
    return found


def _group(entry: Any) -> str:
    """Return the group, or the file, that an entry of a defaults list names."""
    name = next(iter(entry)) if isinstance(entry, dict) else entry
    return str(name).split()[-1].partition("@")[0].lstrip("/")
