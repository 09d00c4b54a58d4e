"""Bad input gets one clear sentence and exit status 1, before anything is trained."""

import errno
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Finished
from PIL import Image

FAST = ("training.epochs=1", "tracking=local", "energy=unmetered")


def write_images(folder: Path, count: int, size: int = 8) -> None:
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 255, (count, size, size, 3), dtype=np.uint8)
    for index in range(count):
        Image.fromarray(pixels[index]).save(folder / f"{index}.png")


def one_sentence(errors: str) -> str:
    """The only line on standard error, which is no traceback."""
    lines = [line for line in errors.splitlines() if line]
    assert len(lines) == 1, errors
    assert lines[0].startswith("Error: ")
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dataset=digts"], "no dataset is called 'digts': did you mean digits?"),
        (["model=resnet18"], "model=timm model.name=NAME"),
        (["model=simple_cn"], "did you mean simple_cnn?"),
        (["optimizer.learning_rat=0.1"], "there is no option optimizer.learning_rat"),
        (["nonsense=1"], "there is no option nonsense"),
        (["training.epochs=many"], "'many' of type 'str' could not be converted to Integer"),
        (["model.name=resnet18"], "Invalid value 'resnet18', expected one of ['simple_cnn']"),
        (["model=mlp", "model.hidden=64"], "model.hidden takes a list, with brackets around it"),
        (["optimizer.learning_rate=0"], "optimizer.learning_rate must be above 0, got 0"),
        (["optimizer.learning_rate=-1"], "set optimizer.learning_rate=0.001"),
        (["training.batch_size=0"], "training.batch_size must be at least 1, got 0"),
        (["training.epochs=-3"], "training.epochs must be at least 1, got -3"),
        (["dataset=image_folder"], "dataset.root has no value"),
        (["model=timm", "model.name=resnet19"], "did you mean resnet18"),
        (["model=torchvision", "model.name=resnet17"], "did you mean resnet18"),
        (["model.conv_layers=4"], "set dataset.image_size=32 or fewer model.conv_layers"),
        (["training.batch_size=5000"], "training.batch_size must be at most the 1221"),
        (["dataset.train_limit=5"], "set dataset.train_limit=10 or more"),
        (["dataset=cifar10", "dataset.download=false"], "into data/downloads/cifar10"),
        (["dataset=image_folder", "dataset.root=nowhere"], "has no folder train/"),
        (["model=custom", "model.target=no_such_package.Net"], "importing no_such_package failed"),
        (["objective=pareto"], "objective=pareto needs energy, but energy=unmetered"),
        (["energy=codecarbon", "energy.country=XXX"], "energy.country=XXX"),
        (["energy=codecarbon", "energy.country=USA", "energy.region=bavaria"], "energy.region=bav"),
        (["energy=codecarbon", "energy.gpus=[99]"], "energy.gpus names GPU 99, and there is"),
        (["energy=replay"], "energy.path has no value"),
        (["energy=replay", "energy.path=nowhere.csv"], "energy.path=nowhere.csv cannot be read"),
        (["training.device=cuda"], "set training.device=cpu or auto"),
        (["training.device=cuda:1"], "training.device=cuda:1, but PyTorch finds no CUDA GPU here"),
        (
            ["training.device=gpu"],
            "training.device must be auto, cpu, cuda, or one of several GPUs",
        ),
        (
            ["energy=nvml_rapl", "energy.gpus=[first]"],
            "energy.gpus must be all, or a list of",
        ),
        (["dataset.image_size=16000"], "images of 16000x16000 pixels take 460 GB"),
        (["dataset.image_size=1000000"], "dataset.image_size must be at most 16384"),
        (
            ["task.loss=torch.nn.functional.mse_loss"],
            "task.loss=torch.nn.functional.mse_loss failed on outputs (64, 10) and targets (64,)",
        ),
        (["task.loss=operator.is_"], "task.loss=operator.is_ must return the mean loss"),
        (
            [
                "training.epochs=2",
                "scheduler=custom",
                "scheduler.target=torch.optim.lr_scheduler.StepLR",
                "+scheduler.kwargs.step_size=0",
            ],
            "scheduler.target=torch.optim.lr_scheduler.StepLR failed (ZeroDivisionError",
        ),
        (["training.threads=100000000"], "set training.threads=null"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_is_refused_in_one_sentence(
    cli: Callable[..., Finished], arguments: list[str], said: str
) -> None:
    ended = cli("train.py", *FAST, *arguments)
    assert ended.status == 1
    assert said in one_sentence(ended.errors)


def test_names_all_faults_of_range_and_consistency_at_once(cli: Callable[..., Finished]) -> None:
    ended = cli("train.py", "training.epochs=0", "training.batch_size=-1", "optimizer.beta1=2")
    said = one_sentence(ended.errors)
    for key in ("training.epochs", "training.batch_size", "optimizer.beta1"):
        assert f"{key} must be" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "-m has nothing to sweep"),
        (["seed=1"], "`-m hydra/sweeper=optuna`"),
        (["hydra/sweeper=optuna", "hydra/sweeper/sampler=tpee"], "no sampler is called 'tpee'"),
        (["hydra/sweeper=optuna", "hydra.sweeper.n_trials=0"], "n_trials must be at least 1"),
        (
            ["hydra/sweeper=optuna", "hydra.sweeper.direction=minimize"],
            "hydra.sweeper.direction=minimize is not that of objective=accuracy, maximize",
        ),
        (
            [
                "hydra/sweeper=greensweep",
                "objective=pareto",
                "objective.metric=log_loss",
                "energy=codecarbon",
                "hydra.sweeper.direction=[maximize,minimize]",
            ],
            "hydra.sweeper.direction=[maximize,minimize] is not that of objective=pareto, "
            "[minimize,minimize]",
        ),
        (["hydra/sweeper=optuna", "training.epochs=-1"], "training.epochs must be at least 1"),
        (["hydra/sweeper=greensweep", "hydra.sweeper.n_workers=0"], "n_workers must be at least 1"),
        (
            ["hydra/sweeper=greensweep", "hydra.sweeper.n_workers=all"],
            "hydra.sweeper.n_workers must be auto or a whole number, got all",
        ),
        (
            ["hydra/sweeper=greensweep", "hydra.sweeper.gpus_per_worker=2"],
            "gpus_per_worker=2 and workers_per_gpu=1 need more than the GPUs that CUDA shows here",
        ),
        (
            ["hydra/sweeper=optuna", "+space={training.epochs:{low:9,high:3}}"],
            "space: training.epochs must have low at most high, got 9 > 3",
        ),
        (
            ["hydra/sweeper=optuna", "hydra/launcher=joblib", "hydra.launcher.n_jobs=0"],
            "hydra.launcher.n_jobs=0 lets no job run: set how many run at a time, or -1",
        ),
        (
            ["hydra/sweeper=greensweep", "hydra/launcher=joblib", "hydra.launcher.n_jobs=0"],
            "hydra.launcher.n_jobs=0 lets no job run",
        ),
        (
            ["hydra/sweeper=optuna", "hydra.sweeper.storage=my.db"],
            "hydra.sweeper.storage=my.db is no address of a database: write sqlite:///FILE.db",
        ),
        (
            ["hydra/sweeper=greensweep", "hydra.sweeper.storage='sqlite://'"],
            "is in memory, where no worker finds it",
        ),
        (
            ["hydra/sweeper=optuna", "space=log_zero"],
            "space: optimizer.learning_rate is logarithmic, so low must be above 0, got 0",
        ),
        (
            ["hydra/sweeper=optuna", "space=architecture", "model=dense_poly"],
            "space: model.conv_layers cannot be",
        ),
        (
            ["hydra/sweeper=optuna", "space=negative"],
            "space: optimizer.learning_rate must be above 0",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_sweep_is_refused_before_a_trial_starts(
    cli: Callable[..., Finished], tmp_path: Path, arguments: list[str], said: str
) -> None:
    spaces = tmp_path / "more" / "space"
    spaces.mkdir(parents=True)
    (spaces / "log_zero.yaml").write_text(
        "optimizer.learning_rate: {low: 0, high: 0.1, log: true, levels: 3}\n"
    )
    (spaces / "negative.yaml").write_text(
        "optimizer.learning_rate: {low: -0.1, high: 0.1, levels: 3}\n"
    )
    ended = cli("train.py", "--config-dir", str(spaces.parent), "-m", *arguments)
    assert ended.status == 1
    assert said in one_sentence(ended.errors)
    assert not list(tmp_path.glob("multirun/**/result.json"))


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ({}, "holds no images"),
        ({"cat": [8, 8, 8]}, "at least 2 classes, the data set has 1: cat"),
        ({"cat": [8, 8, 9], "dog": [8, 8, 8]}, "images differ in size"),
    ],
    ids=["empty", "one class", "mixed sizes"],
)
def test_image_folder_that_cannot_be_used(
    cli: Callable[..., Finished], tmp_path: Path, classes: dict[str, list[int]], said: str
) -> None:
    (tmp_path / "images" / "train").mkdir(parents=True)
    for name, sizes in classes.items():
        for index, size in enumerate(sizes):
            write_images(tmp_path / "images" / "train" / name / str(index), 8, size)
    ended = cli("train.py", *FAST, "dataset=image_folder", "dataset.root=images")
    assert ended.status == 1
    assert said in one_sentence(ended.errors)


def test_a_broken_image_is_named_and_may_be_skipped(
    cli: Callable[..., Finished], tmp_path: Path
) -> None:
    for name in ("cat", "dog"):
        write_images(tmp_path / "images" / "train" / name, 20)
    broken = tmp_path / "images" / "train" / "cat" / "7.png"
    broken.write_bytes(broken.read_bytes()[:40])
    arguments = (*FAST, "dataset=image_folder", "dataset.root=images", "dataset.image_size=8")
    small = ("training.batch_size=8", "dataset.validation_fraction=0.3")
    refused = cli("train.py", *arguments, *small)
    assert refused.status == 1
    assert "images/train/cat/7.png cannot be read" in one_sentence(refused.errors)
    assert cli("train.py", *arguments, *small, "dataset.corrupt=skip").status == 0


def test_class_count_that_does_not_fit_names_both_counts(
    cli: Callable[..., Finished], tmp_path: Path
) -> None:
    (tmp_path / "seven.py").write_text(
        "from torch import nn\n"
        "def net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 7))\n"
    )
    ended = cli("train.py", *FAST, "model=custom", "model.target=seven.net")
    said = one_sentence(ended.errors)
    assert ended.status == 1
    assert "(1, 10)" in said
    assert "(1, 7)" in said


def test_a_file_where_the_output_directory_should_be(
    cli: Callable[..., Finished], tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("")
    ended = cli("train.py", *FAST, "hydra.run.dir=taken/run")
    assert ended.status == 1
    assert "hydra.run.dir=FOLDER" in one_sentence(ended.errors)


def test_a_full_disk_does_not_lose_the_tracked_result(
    cli: Callable[..., Finished], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    import greensweep.record.recorded_run

    def full(*_: object) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device", "run/result.json")

    monkeypatch.setattr(greensweep.record.recorded_run, "write_result", full)
    ended = cli("train.py", "training.epochs=1", "energy=unmetered", "hydra.run.dir=run")
    assert ended.status == 1
    assert "No space left on device" in one_sentence(ended.errors)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("greensweep")
    (tracked,) = client.search_runs([experiment.experiment_id])
    assert tracked.data.metrics["validation/accuracy"] > 0


def test_a_second_sweep_does_not_overwrite_the_first(
    cli: Callable[..., Finished], tmp_path: Path
) -> None:
    sweep = ("-m", "hydra.sweep.dir=sweep", "warmup=0", *FAST)
    assert cli("train.py", "seed=1,2", *sweep).status == 0
    before = (tmp_path / "sweep" / "0" / "result.json").read_bytes()
    ended = cli("train.py", "seed=3,4", *sweep)
    assert ended.status == 1
    assert "holds the trials of another sweep" in one_sentence(ended.errors)
    assert (tmp_path / "sweep" / "0" / "result.json").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("analyse.py", ["source=none.csv"], "source=none.csv is no file"),
        ("report.py", ["source=none.csv"], "source=none.csv is no file"),
        ("report.py", [], "no MLflow store at"),
        ("evaluate.py", ["checkpoint=none.pt"], "no checkpoint at none.pt"),
        (
            "prepare.py",
            ["dataset=cifar10", "dataset.download=false"],
            "into data/downloads/cifar10",
        ),
        ("analyse.py", ["source=${oc.env:NONE}"], "source: KeyError raised while resolving"),
        ("train.py", ["training.batch_size=${seeed}", *FAST], "did you mean seed?"),
        ("train.py", ["training.batch_size=???", *FAST], "training.batch_size has no value"),
        ("train.py", ["training.batch_size=[1"], "cannot be read: write OPTION=VALUE"),
        ("train.py", ["-m", "seed=choise(1,2)"], "Unknown function 'choise'): write choice(A,B)"),
        ("train.py", ["seed=1,2"], "seed=1,2 lists values, of which a run takes one: add -m"),
        ("train.py", ["optimizer=3"], "a group takes the name of one of its choices"),
        ("train.py", ["--config-dir", "nowhere"], "nowhere' not found"),
        ("report.py", ["--config-name", "nowhere"], "Cannot find primary config 'nowhere'"),
    ],
)
def test_every_script_says_what_is_wrong_in_one_sentence(
    cli: Callable[..., Finished], name: str, arguments: list[str], said: str
) -> None:
    ended = cli(name, *arguments)
    assert ended.status == 1
    assert said in one_sentence(ended.errors)


def test_usage_errors_exit_with_status_2(
    script: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    assert script("train.py", "--no-such-flag").returncode == 2
