"""What is printed at the end of a sweep opens the store that was used, and no other."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Finished

from greensweep.tracking.mlflow_places import is_default_store, tracking_uri
from greensweep.tracking.view import ui_address, view_sentence

SWEEP = "0f" * 16
VIEW = f"/#/experiments/7/runs?viewStateShareKey={SWEEP}&workflowType=machine_learning"


@pytest.mark.parametrize(
    ("configured", "opened"),
    [
        ("sqlite:///mlruns/mlflow.db", "make ui, then open http://127.0.0.1:5000"),
        ("https://mlflow.lab.org/", "https://mlflow.lab.org"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        (
            "postgresql://ada:s3cret@db/runs",
            "mlflow ui --backend-store-uri 'postgresql://ada:***@db/runs', then open "
            "http://127.0.0.1:5000",
        ),
        (
            "sqlite:////data/my runs.db",
            "mlflow ui --backend-store-uri 'sqlite:////data/my runs.db', then open "
            "http://127.0.0.1:5000",
        ),
    ],
)
@pytest.mark.parametrize("inlet", ["tracking.uri", "MLFLOW_TRACKING_URI"])
def test_the_hint_opens_the_store_that_was_used(
    inlet: str, configured: str, opened: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if inlet == "MLFLOW_TRACKING_URI":
        monkeypatch.setenv(inlet, configured)
        configured = "sqlite:///mlruns/mlflow.db"
    uri = tracking_uri(configured)
    said = view_sentence(uri, "7", SWEEP, is_default=is_default_store(uri))
    assert said == f"Compare the runs in the MLflow UI: {opened}{VIEW}"
    assert ui_address(uri) == opened.rpartition(" ")[2]


@pytest.mark.parametrize("inlet", ["tracking.uri", "MLFLOW_TRACKING_URI"])
def test_a_sweep_names_its_own_store(
    cli: Callable[..., Finished], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inlet: str
) -> None:
    if inlet == "MLFLOW_TRACKING_URI":
        monkeypatch.setenv(inlet, "sqlite:///other.db")
    told = ("tracking.uri=sqlite:///other.db",) if inlet == "tracking.uri" else ()
    sweep = ("-m", "hydra/sweeper=basic", "warmup=0", "training.epochs=1",
             "energy=unmetered", "dataset.train_limit=100", "inference.seconds=0")  # fmt: skip
    ended = cli("train.py", *sweep, "seed=1,2", *told)
    assert ended.status == 0
    assert f"mlflow ui --backend-store-uri sqlite:///{tmp_path}/other.db, then" in ended.output
    assert "make ui" not in ended.output
