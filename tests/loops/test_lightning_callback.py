"""Lightning's `Trainer` with `GreensweepCallback`, in a project with its own configuration."""

import json
import runpy
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT
from pages import blocks
from search import needs, searched

import greensweep
from greensweep.errors import TrialEnded
from greensweep.record.result import find_result, read_result

FOLDER = PROJECT / "examples" / "lightning_project"

pytestmark = needs("lightning")

Fit = Callable[..., Any]


@pytest.fixture
def fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fit]:
    """Train the project's model, two epochs of two batches, and test it."""
    monkeypatch.syspath_prepend(FOLDER)
    import lightning
    from digits import Classifier, digits
    from lightning.pytorch.callbacks import ModelCheckpoint

    from greensweep.loops.lightning import GreensweepCallback

    def run(
        model: Any = None,
        also: Any = (),
        options: Any = None,
        test: bool = True,
        trainer: Any = lightning.Trainer,
        **more: Any,
    ) -> Any:
        given: dict[str, Any] = {
            "accelerator": "cpu", "logger": False, "enable_progress_bar": False,
            "enable_model_summary": False, "max_epochs": 2, "limit_train_batches": 2,
            "limit_val_batches": 1, "limit_test_batches": 1, "default_root_dir": tmp_path,
        }  # fmt: skip
        callback = GreensweepCallback(**(options or {"directory": tmp_path}))
        best = ModelCheckpoint(monitor="val/acc", mode="max")
        trainer = trainer(**{**given, "callbacks": [callback, best, *also], **more})
        try:
            trainer.fit(model or Classifier(8, 0.01), digits(32))
        finally:
            if test:
                trainer.test(model or Classifier(8, 0.01), digits(32), verbose=False)
        return trainer

    before = signal.getsignal(signal.SIGINT)
    yield run
    signal.signal(signal.SIGINT, before)  # which Lightning ignores from a Ctrl-C on


def test_a_fit_and_a_test_are_one_run(fit: Fit, tmp_path: Path) -> None:
    with searched() as search:
        fit()
    result = read_result(tmp_path)
    assert (result.status, result.epochs, result.model) == ("finished", 2, "Classifier")
    assert {split: set(of) for split, of in result.metrics.items()} == {
        "validation": {"loss", "acc"}, "test": {"loss", "acc"},
    }  # fmt: skip
    # What the checkpoint monitors.
    assert (result.objective_metric, result.objective_direction) == ("acc", "maximize")
    assert [each.objective_value for each in search.reports] == [
        each.metrics["acc"] for each in result.history
    ]
    assert [each.epochs for each in search.reports] == [2, 2]
    assert all(each.train_loss and each.energy_joules for each in result.history)
    assert [set(each.others) for each in result.history] == [{"train_acc"}] * 2
    assert set(result.energy_phases) == {"setup", "training", "evaluation", "other", "test"}
    assert result.layers == {"linear": 2, "relu": 1}
    assert "width: 8\nlr: 0.01\n" in (tmp_path / "config.yaml").read_text()


def test_a_validation_counts_for_the_epoch_that_it_followed(fit: Fit, tmp_path: Path) -> None:
    fit(max_epochs=3, check_val_every_n_epoch=2, test=False)
    validated = [set(each.metrics) for each in read_result(tmp_path).history]
    assert validated == [set(), {"loss", "acc"}, set()]


def test_what_is_validated_before_the_fit_is_counted_and_kept_with_it(
    fit: Fit, tmp_path: Path
) -> None:
    import lightning
    import torch
    from digits import Classifier

    class ValidatesFirst(lightning.Trainer):
        def fit(self, *given: Any, **named: Any) -> None:
            self.validate(*given, verbose=False)
            super().fit(*given, **named)

    model = Classifier(8, 0.01)
    fit(model, options={"directory": tmp_path, "keep_weights": True}, test=False,
        trainer=ValidatesFirst)  # fmt: skip
    result = read_result(tmp_path)
    assert (result.epochs, result.objective_metric, result.layers["linear"]) == (2, "acc", 2)
    kept = torch.load(tmp_path / "model.pt", weights_only=True)
    assert all(torch.equal(kept[name], each) for name, each in model.state_dict().items())


def test_a_fit_that_is_limited_by_steps_plans_its_epochs(fit: Fit) -> None:
    with searched() as search:
        fit(max_epochs=-1, max_steps=3, test=False)
        fit(max_epochs=-1, max_steps=3, limit_train_batches=5, accumulate_grad_batches=3,
            options={"meter": "unmetered", "name": "a"}, test=False)  # fmt: skip
    assert [(each.epoch, each.epochs) for each in search.reports] == [(1, 2), (2, 2)] * 2


def test_layers_are_counted_where_processes_share_the_work(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    for name in ("MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)  # which Lightning sets
    try:
        fit(strategy="ddp", devices=1, test=False)
    finally:
        torch.distributed.destroy_process_group()
    assert read_result(tmp_path).layers == {"linear": 2, "relu": 1}


def test_a_pruned_fit_ends_and_is_not_tested(fit: Fit, tmp_path: Path) -> None:
    with pytest.raises(TrialEnded), searched(ends_after=1):
        fit()
    result = read_result(tmp_path)
    assert (result.status, result.epochs, len(result.history)) == ("pruned", 1, 1)
    assert set(result.metrics) == {"validation"}
    assert len([*tmp_path.glob("checkpoints/*.ckpt")]) == 1  # of the epoch that it ended after


@pytest.mark.parametrize(
    ("fault", "raised", "status", "error"),
    [
        (ValueError("no such label"), ValueError, "failed", "ValueError: no such label"),
        (KeyboardInterrupt(), SystemExit, "stopped", "interrupted in epoch 2"),
    ],
)
def test_what_breaks_a_fit_leaves_what_was_measured(
    fit: Fit, tmp_path: Path, fault: BaseException, raised: Any, status: str, error: str
) -> None:
    from lightning.pytorch import Callback

    class Breaks(Callback):
        def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
            if trainer.current_epoch == 1:
                raise fault

    with pytest.raises(raised):
        fit(also=[Breaks()], test=False)
    result = read_result(tmp_path)
    assert (result.status, result.error, len(result.history)) == (status, error, 1)
    assert result.energy_joules is not None


def test_a_run_around_has_the_fit(fit: Fit, tmp_path: Path) -> None:
    with greensweep.run("mine", directory=tmp_path, meter="unmetered", params={"a": 1}) as run:
        fit(options={"directory": tmp_path / "own"})
        run.log(test_macro_f1=0.5)
    assert set(run.result.metrics["test"]) == {"loss", "acc", "macro_f1"}
    assert run.result.epochs == 2
    assert find_result(tmp_path / "own") is None


def test_ctrl_c_in_a_fit_stops_the_run_around(fit: Fit, tmp_path: Path) -> None:
    from lightning.pytorch import Callback

    class CtrlC(Callback):
        def on_train_batch_start(self, *_: Any) -> None:
            raise KeyboardInterrupt

    with pytest.raises(SystemExit), greensweep.run("a", directory=tmp_path) as run:
        fit(also=[CtrlC()], test=False)
    assert (run.result.status, run.result.error) == ("stopped", "interrupted in epoch 1")


def test_a_trainer_of_pytorch_lightning_takes_the_callback_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = pytest.importorskip("pytorch_lightning", reason="pytorch-lightning is not installed")
    import torch

    from greensweep.loops.lightning import GreensweepCallback

    class Model(old.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.net = torch.nn.Linear(2, 1)

        def training_step(self, batch: Any, _: int) -> Any:
            loss = self.net(batch).mean()
            self.log("train_loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    trainer = old.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        max_epochs=2, default_root_dir=tmp_path, enable_checkpointing=False,
        callbacks=[GreensweepCallback(directory=tmp_path, meter="unmetered")],
    )  # fmt: skip
    trainer.fit(Model(), torch.utils.data.DataLoader(torch.ones(4, 2)))
    result = read_result(tmp_path)
    assert (result.status, result.epochs) == ("finished", 2)
    assert result.history[1].train_loss is not None


@pytest.mark.slow
def test_trials_of_several_processes_are_searched_as_the_page_says(tmp_path: Path) -> None:
    (page,) = [each for each in blocks("docs/lightning.md") if "exec" in each.code]
    (said,) = page.commands
    words = [sys.executable if each == "python" else each for each in shlex.split(said)]
    words = [each.replace("examples/", f"{PROJECT}/examples/") for each in words]
    words[words.index("hydra.sweeper.n_trials=8")] = "hydra.sweeper.n_trials=1"
    small = ["trainer.max_epochs=1", "+trainer.limit_train_batches=2"]
    command = [sys.executable, "-m", "greensweep", *words[1:], *small]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    result = read_result(tmp_path / "multirun" / "greensweep" / "0")
    assert (result.status, result.objective_metric) == ("finished", "acc")
    assert result.metrics["validation"]["acc"] and result.energy_joules


@pytest.mark.slow
def test_the_project_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(FOLDER)
    searching = ["-m", "hydra/sweeper=greensweep", "hydra.sweeper.n_trials=2", "test=false"]
    small = ["trainer.max_epochs=2", "+trainer.limit_train_batches=4"]
    monkeypatch.setattr(sys, "argv", ["train.py", *searching, *small])
    runpy.run_path(str(FOLDER / "train.py"), run_name="__main__")
    folder = tmp_path / "multirun" / "greensweep"
    study = json.loads((folder / "study.json").read_text())
    assert study["search"]["finished_joules"] > 0
    results = [read_result(path.parent) for path in sorted(folder.glob("*/result.json"))]
    assert [(each.trial, each.status, each.objective_metric) for each in results] == [
        (0, "finished", "acc"), (1, "finished", "acc"),
    ]  # fmt: skip
    assert all(each.overrides and each.history for each in results)
