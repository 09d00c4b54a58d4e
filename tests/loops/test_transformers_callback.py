"""Hugging Face's `Trainer` with `GreensweepTrainerCallback`, on a BERT of random weights."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT
from search import needs, searched

import greensweep
from greensweep.errors import TrialEnded
from greensweep.record.left_open import end_left_open
from greensweep.record.result import find_result, read_result

pytestmark = needs("transformers")

Trained = Callable[..., Any]


@pytest.fixture
def trainer(tmp_path: Path) -> Trained:
    """Make a trainer of two epochs of two steps."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

    from greensweep.loops.transformers import GreensweepTrainerCallback

    def make(directory: Path = tmp_path, also: Any = (), **changes: Any) -> Any:
        sample = {"input_ids": torch.arange(4), "labels": 1}
        size = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
        given: dict[str, Any] = {
            "num_train_epochs": 2, "eval_strategy": "epoch", "logging_strategy": "epoch",
            "per_device_train_batch_size": 2, "report_to": "none", "disable_tqdm": True,
            "use_cpu": True,
        }  # fmt: skip
        return Trainer(
            BertForSequenceClassification(BertConfig(vocab_size=9, num_hidden_layers=1, **size)),
            TrainingArguments(str(tmp_path / "trainer"), **{**given, **changes}),
            train_dataset=[sample] * 4,
            eval_dataset=[sample] * 2,
            compute_metrics=lambda _: {"macro_f1": 0.5},
            callbacks=[GreensweepTrainerCallback(directory=directory), *also],
        )

    return make


def test_a_training_is_a_run(trainer: Trained, tmp_path: Path) -> None:
    with searched() as search:
        trainer().train()
    result = read_result(tmp_path)
    assert (result.status, result.epochs, result.seed) == ("finished", 2, 42)
    assert result.model == "BertForSequenceClassification"
    assert set(result.metrics["validation"]) == {"loss", "macro_f1"}
    assert result.metrics["validation"]["macro_f1"] == 0.5
    assert all(each.train_loss and each.energy_joules for each in result.history)
    assert [each.epochs for each in search.reports] == [2, 2]
    assert set(result.energy_phases) == {"setup", "training", "evaluation", "other"}
    assert result.layers["linear"] == 8 and result.layers["embedding"] == 3
    assert "num_train_epochs: 2\n" in (tmp_path / "config.yaml").read_text()


def test_each_evaluation_is_reported_where_they_go_by_steps(
    trainer: Trained, tmp_path: Path
) -> None:
    with searched() as search:
        trainer(eval_strategy="steps", eval_steps=1).train()
    assert [(each.epoch, each.epochs) for each in search.reports] == [
        (1, 4), (2, 4), (3, 4), (4, 4),
    ]  # fmt: skip


def test_an_evaluation_before_the_first_step_is_no_epoch(trainer: Trained) -> None:
    with searched() as search:
        trainer(eval_on_start=True).train()
    assert [(each.epoch, each.epochs) for each in search.reports] == [(1, 2), (2, 2)]


def test_a_resumed_training_counts_its_epochs_on(trainer: Trained, tmp_path: Path) -> None:
    trainer(tmp_path / "first", num_train_epochs=1, save_strategy="epoch").train()
    with searched() as search:
        trainer(tmp_path / "resumed").train(
            resume_from_checkpoint=str(tmp_path / "trainer" / "checkpoint-2")
        )
    assert [(each.epoch, each.epochs) for each in search.reports] == [(2, 2)]


def test_without_evaluation_epochs_report_their_loss(trainer: Trained, tmp_path: Path) -> None:
    trainer(eval_strategy="no").train()
    result = read_result(tmp_path)
    assert [set(each.metrics) for each in result.history] == [set(), set()]
    assert all(each.train_loss for each in result.history)


def test_a_run_goes_by_the_metric_that_keeps_the_best_model(
    trainer: Trained, tmp_path: Path
) -> None:
    trainer(
        load_best_model_at_end=True, metric_for_best_model="eval_macro_f1", save_strategy="epoch"
    ).train()
    result = read_result(tmp_path)
    assert (result.objective_metric, result.objective_direction) == ("macro_f1", "maximize")


def test_an_evaluation_after_the_training_belongs_to_the_run(
    trainer: Trained, tmp_path: Path
) -> None:
    with searched():
        this = trainer(eval_strategy="no")
        this.train()
        trained = read_result(tmp_path)
        this.evaluate()
        this.predict(this.eval_dataset)
    tested = read_result(tmp_path)
    assert trained.metrics == {}
    assert {split: of["macro_f1"] for split, of in tested.metrics.items()} == {
        "validation": 0.5, "test": 0.5,
    }  # fmt: skip
    assert tested.energy_joules == trained.energy_joules
    assert tested.energy_phases.keys() - trained.energy_phases.keys() == {"evaluation", "test"}
    assert tested.energy_phases["test"].joules and tested.energy_phases["evaluation"].joules


def test_an_evaluation_before_the_training_belongs_to_the_run(
    trainer: Trained, tmp_path: Path
) -> None:
    this = trainer(metric_for_best_model="macro_f1", greater_is_better=True)
    this.evaluate()
    evaluated = read_result(tmp_path)
    this.train()
    result = read_result(tmp_path)
    assert (evaluated.epochs, evaluated.metrics["validation"]["macro_f1"]) == (0, 0.5)
    assert (result.epochs, result.objective_metric) == (2, "macro_f1")
    assert result.layers["linear"] == 8


def test_a_model_that_others_call_is_not_in_the_run(trainer: Trained, tmp_path: Path) -> None:
    this = trainer()
    this.train()
    trained = read_result(tmp_path)
    this.model(this.eval_dataset[0]["input_ids"][None])
    end_left_open()
    assert read_result(tmp_path) == trained


def test_a_pruned_training_ends(trainer: Trained, tmp_path: Path) -> None:
    this = trainer(save_strategy="epoch")
    with pytest.raises(TrialEnded), searched(ends_after=1):
        this.train()
    result = read_result(tmp_path)
    assert (result.status, result.epochs) == ("pruned", 1)
    this.evaluate()
    assert read_result(tmp_path) == result
    # Its checkpoint is saved, and paid for by no epoch.
    assert [each.name for each in (tmp_path / "trainer").iterdir()] == ["checkpoint-2"]


@pytest.mark.parametrize("fault", [ValueError("no such label"), KeyboardInterrupt()])
def test_what_breaks_a_training_leaves_what_was_measured(
    trainer: Trained, tmp_path: Path, fault: BaseException
) -> None:
    from transformers import TrainerCallback

    class Breaks(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 3:
                raise fault

    with pytest.raises(type(fault)):
        trainer(also=[Breaks()]).train()
    end_left_open(fault)  # as the end of a trial, or of the program, does
    result = read_result(tmp_path)
    stopped = ("stopped", "interrupted in epoch 2")
    failed = ("failed", "ValueError: no such label")
    assert (result.status, result.error) in (stopped, failed)
    assert len(result.history) == 1 and result.energy_joules is not None


def test_a_run_around_has_the_training(trainer: Trained, tmp_path: Path) -> None:
    with searched(), greensweep.run("mine", directory=tmp_path) as run:
        this = trainer(directory=tmp_path / "own")
        this.train()
        with run.phase("test"):
            this.evaluate(metric_key_prefix="test")
            trained = run.joules
            run.report(accuracy=0.5)
            assert run.joules == trained  # the evaluation has left the phase as it was
    assert (run.result.epochs, run.result.metrics["test"]["macro_f1"]) == (3, 0.5)
    assert find_result(tmp_path / "own") is None


def test_evaluations_in_a_run_around_have_their_phases(trainer: Trained, tmp_path: Path) -> None:
    with searched(), greensweep.run("mine", directory=tmp_path) as run:
        this = trainer(eval_strategy="no")
        this.train()
        this.evaluate()
        this.predict(this.eval_dataset)
    assert {"evaluation", "test"} < run.result.energy_phases.keys()
    assert run.result.metrics.keys() == {"validation", "test"}


@pytest.mark.slow
def test_two_processes_leave_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")  # else each trains alone where no GPU is
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    example = str(PROJECT / "examples" / "huggingface_trainer.py")
    subprocess.run([sys.executable, *torchrun, example], cwd=tmp_path, check=True, timeout=300)
    (left,) = tmp_path.glob("outputs/**/result.json")
    result = read_result(left.parent)
    assert (result.status, result.epochs, result.metrics.keys()) == (
        "finished", 3, {"validation", "test"},
    )  # fmt: skip
    assert result.layers and result.energy_phases["test"].joules


@pytest.mark.slow
def test_it_stands_beside_codecarbons_callback(trainer: Trained, tmp_path: Path) -> None:
    trainer(report_to="codecarbon").train()
    result = read_result(tmp_path)
    (line,) = (tmp_path / "trainer" / "emissions.csv").read_text().splitlines()[1:]
    assert line and (result.energy_joules or 0) > 0
