"""The commands and code of README and documentation, as a reader would use them."""

import re
import shlex
from dataclasses import dataclass
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
from conftest import PROJECT
from other_tools import WANDB, logged_search, write_carbontracker
from PIL import Image
from sklearn.datasets import load_breast_cancer

_BLOCK = re.compile(r"(?:^<!-- test: ([^>]*) -->\n)?^```(\w*)\n(.*?)^```$", re.M | re.S)
# Commands at a size that fits a test: these come last, so they win.
SMALLER = {
    "train.py": ["training.epochs=1", "dataset.train_limit=120", "energy=unmetered"],
    "-m": ["warmup=0"],
    "sweeper": ["hydra.sweeper.n_trials=2"],
}
# Of these the blocks follow on another, and tests/test_tutorial.py goes through them in order.
IN_ORDER = ["docs/tutorial.md"]
# A table of runs as analysis.md and replay.md have it: eight architectures, three runs each.
_RUNS = pd.DataFrame(
    {
        "conv_layers": conv,
        "linear_layers": linear,
        "learning_rate": 10.0**-rate,
        "beta1": 0.5 + 0.1 * conv,
        "beta2": 0.9 + 0.01 * linear,
        "accuracy": 0.5 + 0.1 * rate + 0.01 * conv,
        "energy_joules": 100.0 + 30.0 * conv + 5.0 * linear + rate,
    }
    for conv in range(1, 5)
    for linear in (3, 7)
    for rate in (2, 3, 4)
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        mark: what a comment above it says of its test: empty, `slow`, or `not run, WHY`.
    """

    page: str
    line: int
    language: str
    code: str
    mark: str

    @property
    def is_run(self) -> bool:
        return not self.mark.startswith("not run, ")

    @property
    def path(self) -> str | None:
        """The file that the block is of, where its first line names it."""
        first = self.code.partition("\n")[0]
        return first[2:] if re.fullmatch(r"# [\w/]+\.(py|yaml)", first) else None

    @property
    def commands(self) -> list[str]:
        if self.language not in ("sh", "bash"):
            return []
        lines = self.code.replace("\\\n", " ").splitlines()
        return [line for line in lines if line.strip() and not line.startswith("#")]


@cache
def gallery() -> ModuleType:
    """Return `benchmarks/gallery.py`, which makes the pages' reports and the README's figures."""
    spec = spec_from_file_location("gallery", PROJECT / "benchmarks" / "gallery.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def blocks(page: str) -> tuple[Block, ...]:
    """Return the fenced blocks of a page, named by its path in the project."""
    text = (PROJECT / page).read_text(encoding="utf-8")
    return tuple(
        Block(page, text.count("\n", 0, match.start(2)) + 1, match[2], match[3], match[1] or "")
        for match in _BLOCK.finditer(text)
    )


def smaller(command: str) -> list[str]:
    """Return a command's arguments with overrides that make it quick."""
    arguments = shlex.split(command)[2:]
    extra = list(SMALLER.get(Path(shlex.split(command)[1]).name, []))
    if "-m" in arguments:
        extra += SMALLER["-m"]
    if "optuna" in command or "greensweep" in command:
        extra += SMALLER["sweeper"]
    if "objective=" in command or "energy." in command:
        extra.remove("energy=unmetered")
        if "inference" not in command and "latency" not in command:
            extra.append("inference.seconds=0")
    given = {argument.partition("=")[0] for argument in arguments}
    return arguments + [text for text in extra if text.partition("=")[0] not in given]


def write_files(page: str, folder: Path) -> None:
    """Write what a page's reader has: the files that it shows, images, tables, also of runs."""
    tumours = load_breast_cancer(as_frame=True)
    diagnosis = tumours.target.map(dict(enumerate(tumours.target_names)))
    tumours.data.assign(diagnosis=diagnosis).to_csv(folder / "tumours.csv", index=False)
    _RUNS.to_csv(folder / "runs.csv", index=False)
    logged_search(folder, runs=40)
    (folder / "wandb.csv").write_text(WANDB, encoding="utf-8")
    (folder / "logs").mkdir()
    for number in range(6):
        name = f"run{number}_4244.{number}_2026-05-04T080000Z"
        write_carbontracker(folder / "logs", name, [100.0 + 20 * number])
    for block in blocks(page):
        if block.path is not None and not (PROJECT / block.path).exists():
            (folder / block.path).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.path).write_text(block.code, encoding="utf-8")
    for name in ("cat", "dog"):
        images = folder / "my_images" / "train" / name
        images.mkdir(parents=True)
        for index in range(80):
            pixels = np.random.default_rng(index).integers(0, 255, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(images / f"{index}.png")
