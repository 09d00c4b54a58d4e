"""What outlives a call within a process: little, and each with a reason."""

import ast
import re
from collections.abc import Iterator

from conftest import PROJECT

SOURCE = PROJECT / "src"

# Context variables: what surrounds the running code, ended by the block that began it.
CONTEXT = {
    "energy.notices._sweep": "the sweep in whose processes a warning is said once",
    "loops.run._running": "the run that is recorded: runs do not nest",
    "record.measuring._open": "blocks whose energy is measured",
    "record.reporting._monitor": "the search that a run reports to",
    "search.callbacks._step": "a program's step before the first trial, until it is taken",
    "search.interrupt._graceful": "whether Ctrl-C is seen to",
    "search.patience._hurried": "whether a server that is away is waited for",
}
# What is changed, until the process ends.
STATE = {
    "data._loaded": "one data set, until another is loaded: the trials of a sweep share it",
    "energy.codecarbon._idle_trackers": "trackers take seconds to set up, and runs follow runs",
    "executors.node._fit": "a node is looked at before a process's first trial of a sweep",
    "loops.run._of_forks": "what the parent of a fork ends, and a fork must not",
    "record.left_open._open": "runs whose library broke off without a word, until the next one",
    "search.interrupt._asked": "a signal is the process's, until the next sweep begins",
    "search.interrupt._terminated": "likewise, until the sweep has ended",
    "search.trials_so_far._known": "what a study's ended trials sum up to, as long as it is open",
    "search.placement._taken": "GPUs belong to the process that took them, until it ends",
    "secrets.data._by_name": "all that a process writes is masked, until its next command",
    "secrets.known._known": "likewise",
    "sweeper.trial_task._studies": "connections to storages, until a sweep begins anew",
    "training.cuda_graph._failed": "PyTorch keeps asking a graph whose capture failed",
}
# What of other libraries behaves otherwise, once it is imported.
CHANGED_LIBRARIES = {
    "config.grammar.Transformer.str": "keeps the quotes of texts in stock sweeps",
    "config.grammar.Transformer.encode": "likewise",
    "ctrl_c.sys.excepthook": "Ctrl-C while a program is imported leaves no traceback",
    "search.storage.optuna.trial.Trial.set_user_attr": "masks secrets in stock sweeps",
}

CHANGES = {
    "add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove",
    "setdefault", "update",
}  # fmt: skip


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in (SOURCE / "greensweep").rglob("*.py"):
        name = ".".join(path.relative_to(SOURCE / "greensweep").with_suffix("").parts)
        yield name.removesuffix(".__init__"), ast.parse(path.read_text(encoding="utf-8"))


def assigned(module: ast.Module) -> Iterator[tuple[ast.expr, ast.expr]]:
    """The targets of a module's own assignments, with their values."""
    for node in module.body:
        if isinstance(node, ast.Assign):
            yield from ((target, node.value) for target in node.targets)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            yield node.target, node.value


def changed(module: ast.Module) -> Iterator[str]:
    """The names that something in a module rebinds or changes in place."""
    for node in ast.walk(module):
        match node:
            case ast.Global(names=names):
                yield from names
            case ast.Call(func=ast.Attribute(value=where, attr=method)) if method in CHANGES:
                while isinstance(where, ast.Subscript):
                    where = where.value
                if isinstance(where, ast.Name):
                    yield where.id
            case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
                yield name
            case ast.AugAssign(target=ast.Name(id=name)):
                yield name


def is_context(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func) == "ContextVar"


def test_context_variables_hold_what_surrounds_running_code() -> None:
    found = {
        f"{name}.{ast.unparse(target)}"
        for name, module in modules()
        for target, value in assigned(module)
        if is_context(value)
    }
    assert found == set(CONTEXT)


def test_what_a_process_remembers_has_a_reason() -> None:
    found = set()
    for name, module in modules():
        own = {target.id for target, _ in assigned(module) if isinstance(target, ast.Name)}
        found |= {f"{name}.{each}" for each in own & set(changed(module))}
    assert found == set(STATE)


def test_a_function_that_remembers_says_for_how_long() -> None:
    """As in `@cache  # a grammar does not change`."""
    silent = [
        f"{path.relative_to(SOURCE)}, line {number}"
        for path in (SOURCE / "greensweep").rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.match(r"@(cache|lru_cache\b.*\))$", line)
    ]
    assert not silent


def test_what_is_changed_in_other_libraries_has_a_reason() -> None:
    found = {
        f"{name}.{ast.unparse(target)}"
        for name, module in modules()
        for target, _ in assigned(module)
        if isinstance(target, ast.Attribute)
    }
    assert found == set(CHANGED_LIBRARIES)
