"""What people see of a sweep in the MLflow UI and in optuna-dashboard, in a real browser."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from conftest import Finished

pytestmark = pytest.mark.slow

SWEEP = (
    "-m", "hydra/sweeper=greensweep", "objective=pareto", "hydra.sweeper.n_trials=3",
    "hydra.sweeper.pruner=none", "hydra.sweep.dir=sweep", "training.epochs=2",
    "dataset.train_limit=200", "warmup=0", "inference.seconds=0", "report.auto=false",
)  # fmt: skip


@contextmanager
def served(command: list[str], port: int) -> Iterator[str]:
    """Serve a UI with a command; yield its address."""
    address = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        for _ in range(240):
            try:
                urlopen(address, timeout=5).close()
                break
            except (URLError, OSError):
                assert process.poll() is None, f"{command} ended"
                time.sleep(0.5)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def seen(browser: Any, address: str, *awaited: str) -> str:
    """Open a page, wait until it shows all that is awaited, and return its text."""
    from selenium.webdriver.common.by import By

    browser.get("about:blank")
    browser.get(address)
    text = ""
    for _ in range(120):
        text = browser.find_element(By.TAG_NAME, "body").text
        if all(each in text for each in awaited):
            return str(text)
        time.sleep(0.5)
    raise AssertionError(f"{[each for each in awaited if each not in text]} not in {text}")


def test_the_printed_link_opens_the_trials_of_the_sweep_with_their_columns_filled(
    cli: Callable[..., Finished], tmp_path: Path, browser: Any
) -> None:
    from selenium.webdriver.common.by import By

    browser.set_window_size(3000, 1200)
    assert cli("train.py", "training.epochs=1", "dataset.train_limit=100").status == 0
    ended = cli("train.py", *SWEEP, "objective.metric=macro_f1")
    assert ended.status == 0, ended.errors
    study = json.loads((tmp_path / "sweep" / "study.json").read_text())
    found = re.search(r"http://127\.0\.0\.1:5000/(\S+)", ended.output)
    assert found is not None
    port = free_port()
    store = f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    command = [
        *(sys.executable, "-m", "mlflow", "ui", "--workers", "1"),
        *("--port", str(port), "--backend-store-uri", store),
    ]
    with served(command, port) as ui:
        columns = ("validation macro_f1", "training energy", "energy/saved_percent_of_best")
        options = ("optimizer.learning_rate", "training.batch_size")
        page = f"{ui}/{found[1]}"
        text = seen(browser, page, "3 matching runs", "trial 0", *columns, *options, "verdict")
        assert "sweep auto" not in text  # the parent has none of these figures
        assert "simple_cnn\n" not in text  # nor is the single run one of them
        cells = [each.text for each in browser.find_elements(By.CSS_SELECTOR, ".ag-cell")]
        assert len(cells) >= 3 * 9
        assert "-" not in cells
        trials = [json.loads(each.read_text()) for each in tmp_path.glob("sweep/*/result.json")]
        scores = [trial["metrics"]["validation"]["macro_f1"] for trial in trials]
        assert {f"{score:.4f}" for score in scores} <= {*cells}, "rounded"
        assert sum("chosen" in each for each in cells) == 1

        charts = f"{page}&compareRunsMode=CHART"
        seen(browser, charts, "Metric and energy", "energy/cumulative_joules")

        experiment = re.search(r"experiments/(\w+)/", page)
        assert experiment is not None
        sweep = f"#/experiments/{experiment[1]}/runs/{study['mlflow_run_id']}"
        seen(browser, f"{ui}/{sweep}?workflowType=machine_learning", study["answer"], "Show more")
        table = browser.find_element(By.CSS_SELECTOR, "table:has(a[href*=workflowType])")
        assert "against the best" in table.get_attribute("textContent")
        links = table.find_elements(By.TAG_NAME, "a")
        chosen = [each for each in links if f"trial {study['chosen_trial']}" in str(each.text)]
        address = (chosen or links)[0].get_attribute("href")
        text = seen(browser, address, "validation/accuracy", "About this run")
        assert "Evaluations" not in text


def test_optuna_dashboard_names_the_objectives_and_shows_trials_in_words(
    cli: Callable[..., Finished], tmp_path: Path, browser: Any
) -> None:
    pytest.importorskip("optuna_dashboard")
    assert cli("train.py", *SWEEP).status == 0
    port = free_port()
    storage = f"sqlite:///{tmp_path}/sweep/optuna.db"
    dashboard = str(Path(sys.executable).with_name("optuna-dashboard"))
    with served([dashboard, storage, "--port", str(port)], port) as ui:
        study = f"{ui}/dashboard/studies/1"
        seen(browser, study, "Objective X:\nvalidation accuracy", "training energy J")
        text = seen(browser, f"{study}/trials?numbers=1", "User Attributes", "status finished")
        shown = text.partition("User Attributes\n")[2]
        result = json.loads((tmp_path / "sweep" / "1" / "result.json").read_text())
        assert f"validation accuracy {result['validation_accuracy']}" in shown
        assert f"training energy J {result['energy_joules']}" in shown
        assert f"/runs/{result['mlflow_run_id']}?workflowType=machine_learning" in shown
        assert "{" not in shown and "owner" not in shown and "outcome" not in shown
