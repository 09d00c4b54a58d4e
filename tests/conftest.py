"""Fixtures that many tests share."""

import gc
import json
import logging
import os
import runpy
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import copy, deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any

# The networks of the tests are tiny: threads would only wait for each other. Set before torch
# is imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository, IConfigRepository
from hydra.core.config_store import ConfigStore
from hydra.core.default_element import ResultDefault
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, ListConfig, OmegaConf, ValueNode
from omegaconf.base import Metadata

from greensweep import app  # noqa: F401 - registers the schemas and resolvers
from greensweep.config.schema import TrainConfig
from greensweep.config.store import parse
from greensweep.energy import ledger_state, notices

PROJECT = Path(__file__).resolve().parents[1]
SHARED = PROJECT.parent / "shared"


_COUNTERS = Path("/sys/class/powercap").glob("intel-rapl:*/energy_uj")
no_sensors = pytest.mark.skipif(
    any(os.access(file, os.R_OK) for file in _COUNTERS), reason="this machine's CPU has a counter"
)


@pytest.fixture(autouse=True)
def computes_on(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test compute on the CPU, as where there is no GPU, unless it is marked `cuda`.

    A test so marked is skipped where there is none.
    """
    torch = sys.modules.get("torch")
    if request.node.get_closest_marker("cuda"):
        if torch is None or not torch.cuda.is_available():
            pytest.skip("PyTorch finds no CUDA GPU here")
        return
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    if torch is not None:  # which asks the environment once
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture(autouse=True)
def own_machine(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep metered runs of other tests, and an idle baseline of the user's, out of this test."""
    folder = tmp_path_factory.mktemp("machine")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    notices._warn.cache_clear()


@pytest.fixture(autouse=True)
def streams_left_open() -> None:
    """Keep absl's log handler, which comes with Keras, from closing a stream of pytest's.

    Hydra closes the handlers that it finds, and absl's then closes what is not sys.stderr any more.
    """
    if absl := sys.modules.get("absl.logging"):
        absl.get_absl_handler().python_handler.stream = sys.__stderr__


def pytest_xdist_auto_num_workers() -> int:
    """Run one more process than there are cores: some tests wait for commands that they start."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_collection_finish() -> None:
    """Let no collection look through all that was imported; statsmodels asks for a whole one."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)  # composing a configuration makes and drops thousands of nodes


@cache
def _study_tables() -> sqlite3.Connection:
    from optuna.storages import RDBStorage

    made = sqlite3.connect(":memory:", check_same_thread=False)
    with RDBStorage("sqlite://").engine.connect() as connection:
        file: Any = connection.connection.driver_connection
        file.backup(made)
    return made


@pytest.fixture(autouse=True)
def quick_studies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Optuna copy the tables of a new file and trust their version; processes do neither."""
    storage = sys.modules.get("optuna.storages._rdb.storage")
    if storage is None:  # pure tests load no Optuna
        return
    made, lock, metadata = _study_tables(), Lock(), storage.models.BaseModel.metadata
    create_all = metadata.create_all

    def copy_all(engine: Any) -> None:
        if engine.dialect.name == "sqlite":
            with lock, engine.connect() as connection:
                if not connection.exec_driver_sql("select 1 from sqlite_master").fetchone():
                    made.backup(connection.connection.driver_connection)
        else:
            create_all(engine)

    monkeypatch.setattr(metadata, "create_all", copy_all)
    check = "check_table_schema_compatibility"
    monkeypatch.setattr(storage._VersionManager, check, lambda _: None)


@pytest.fixture(scope="session", autouse=True)
def quick_copies() -> Iterator[None]:
    """Let OmegaConf copy a node as it is, in a fifth of the time that making another one takes.

    Hydra copies whole configurations several times for every command and every trial.
    """

    def copied_metadata(metadata: Metadata) -> Metadata:
        made = object.__new__(type(metadata))
        flags, cache = copy(metadata.flags), deepcopy(metadata.resolver_cache)
        vars(made).update(vars(metadata), flags=flags, resolver_cache=cache)
        return made

    def copied(self: Any, memo: dict[int, Any]) -> Any:
        made = object.__new__(type(self))
        own = vars(made)
        own.update(vars(self), _metadata=copied_metadata(self._metadata), _flags_cache=None)
        content = own.get("_content")
        if isinstance(content, dict):
            own["_content"] = {key: deepcopy(each, memo) for key, each in content.items()}
            children = own["_content"].values()
        elif isinstance(content, list):
            children = own["_content"] = [deepcopy(each, memo) for each in content]
        else:
            return made
        for each in children:
            vars(each)["_parent"] = made
        return made

    with pytest.MonkeyPatch.context() as patch:
        for kind in (DictConfig, ListConfig, *ValueNode.__subclasses__()):
            if "__deepcopy__" in vars(kind):
                patch.setattr(kind, "__deepcopy__", copied)
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_composition() -> Iterator[dict[type, tuple[str, Any]]]:
    """Let Hydra read each file, and put the same files together, once; processes do it anew.

    It does so for every command and every trial, which is most of what a small one takes. What a
    command overrides is applied each time. Yields what is Hydra's own.
    """
    read, merge = ConfigRepository.load_config, ConfigLoaderImpl._compose_config_from_defaults_list
    files: dict[Any, tuple[ConfigResult | None, Any]] = {}
    merged: dict[Any, DictConfig] = {}

    def load_config(self: ConfigRepository, config_path: str) -> ConfigResult | None:
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        if source is None:
            return read(self, config_path)
        name, version, node = source._normalize_file_name(config_path), None, None
        if source.scheme() == "file":
            found = (Path(source.path) / name).stat()
            version = (found.st_ino, found.st_size, found.st_mtime_ns)
        elif source.scheme() == "structured":
            node = ConfigStore.instance()._load(name)  # is kept, so that its id stays its own
            version = id(node)
        key = (source.provider, source.scheme(), source.path, name, version)
        if key not in files:
            files[key] = read(self, config_path), node
        return files[key][0]

    def compose_files(
        self: ConfigLoaderImpl, defaults: list[ResultDefault], repo: IConfigRepository
    ) -> DictConfig:
        found = {each.config_path: repo.load_config(each.config_path) for each in defaults}
        key = tuple((id(found[each.config_path]), each.package, each.primary) for each in defaults)
        if key not in merged:
            copies = deepcopy(found)  # merging takes their nodes for its own
            copied = SimpleNamespace(load_config=lambda config_path: copies[config_path])
            merged[key] = merge(self, defaults, copied)
            OmegaConf.clear_cache(merged[key])  # of `now`, which merging looks at
        return deepcopy(merged[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfigRepository, "load_config", load_config)
        patch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", compose_files)
        yield {
            ConfigRepository: ("load_config", read),
            ConfigLoaderImpl: ("_compose_config_from_defaults_list", merge),
        }


@cache
def _first_tables() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", check_same_thread=False)


@pytest.fixture(autouse=True)
def quick_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let MLflow copy the tables of a new store; a test that starts processes has it make them.

    MLflow makes them by all the migrations that it ever had, in 1 to 2 seconds.
    """
    utils = sys.modules.get("mlflow.store.db.utils")
    if utils is None:  # pure tests load no MLflow
        return
    make = utils._initialize_tables

    def copy(engine: Any) -> None:
        assert engine.dialect.name == "sqlite"
        made = _first_tables()
        is_first = not made.execute("select 1 from sqlite_master").fetchone()
        if is_first:
            make(engine)
        with engine.connect() as connection:
            file = connection.connection.driver_connection
            source, target = (file, made) if is_first else (made, file)
            source.backup(target)

    monkeypatch.setattr(utils, "_initialize_tables", copy)


# Tests run side by side. What others use of the machine counts where a test says so.
ledger_state.QUIET_PART, QUIET_PART = 1.0, ledger_state.QUIET_PART


@pytest.fixture
def others_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes without a meter count, as they do for users."""
    monkeypatch.setattr(ledger_state, "QUIET_PART", QUIET_PART)


@pytest.fixture(autouse=True)
def not_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no search believe in the Ctrl-C of an earlier test, which lasts as long as a process."""
    monkeypatch.setattr("greensweep.search.interrupt._asked", False)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that a trial sees: one number, which a test moves on."""
    seconds = [0.0]

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return seconds[0]

    for module in ("monitor", "limits", "trial"):
        monkeypatch.setattr(f"greensweep.search.{module}.time", Clock)
    return seconds


@pytest.fixture
def config() -> Callable[..., TrainConfig]:
    """Compose and check a training config: `config("model=dense_poly", "training.epochs=1")`."""
    return lambda *overrides: deepcopy(_composed(*overrides))


@cache
def _composed(*overrides: str) -> TrainConfig:
    with initialize_config_dir(str(PROJECT / "conf")):
        parsed = parse(compose("train", overrides=list(overrides)))
    assert isinstance(parsed, TrainConfig)
    return parsed


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a script of src/ in an empty folder, as a user would: `script("train.py", "seed=1")`."""

    def run(
        name: str, *arguments: str, environment: dict[str, str] | None = None, timeout: int = 240
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(PROJECT / "src" / name), *arguments],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "200", **(environment or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def cifar10_images() -> Path:
    """The shared folder of real CIFAR-10 images."""
    folder = SHARED / "data" / "cifar10"
    if not folder.is_dir():
        pytest.skip("the shared CIFAR-10 images are not here")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium that keeps its console's messages."""
    from selenium import webdriver

    path, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if path is None or driver is None:
        pytest.skip("no Chromium with its driver: install chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = path
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield found
    found.quit()


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    status: int
    output: str
    errors: str


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Finished]:
    """Run a script of src/ in this process and an empty folder: `cli("train.py", "seed=1")`.

    The same code as a process of its own, without seconds of imports for each.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")

    def run(name: str, *arguments: str) -> Finished:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        handlers = logging.getLogger().handlers[:]
        try:
            with pytest.raises(SystemExit) as ended:
                runpy.run_path(str(PROJECT / "src" / name), run_name="__main__")
        finally:
            logging.getLogger().handlers[:] = handlers
        captured = capsys.readouterr()
        code = ended.value.code
        errors = captured.err + (f"{code}\n" if isinstance(code, str) else "")
        return Finished(code if isinstance(code, int) else 1, captured.out, errors)

    return run


@pytest.fixture
def pressing(tmp_path: Path) -> tuple[str, ...]:
    """The options of a model that presses Ctrl-C in its 49th step, after the one of the warm-up.

    `+model.kwargs.trial=2` lets only one trial of a sweep press it.
    """
    (tmp_path / "pressing.py").write_text(
        "import os\n"
        "import signal\n"
        "from hydra.core.hydra_config import HydraConfig\n"
        "from torch import nn\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, image_size, num_classes, trial=None, sent='SIGINT'):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(image_size**2, num_classes))\n"
        "        presses = trial is None or HydraConfig.get().job.num == trial\n"
        "        self.left, self.sent = 50 if presses else -1, getattr(signal, sent)\n"
        "    def forward(self, images):\n"
        "        self.left -= self.training\n"
        "        if self.left == 0:\n"
        "            os.kill(os.getpid(), self.sent)\n"
        "        return super().forward(images)\n"
    )
    return ("model=custom", "model.target=pressing.Net")


@pytest.fixture
def results(tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Read every result.json below a folder of the test's own, in the order of trials."""

    def read(folder: str = ".") -> list[dict[str, Any]]:
        files = (tmp_path / folder).glob("**/result.json")
        found = [json.loads(path.read_text()) for path in files if "mlruns" not in path.parts]
        return sorted(found, key=lambda result: (result["trial"] is None, result["trial"]))

    return read
