"""Several GPUs under real processes: each run has one of its own, and is charged that one."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gpus import environment_with

EIGHT = (100, 200, 300, 400, 500, 600, 700, 800)
PERIOD = 0.1  # of NVML's counter: what an edge of a window is worth

# Measures a second in which all of so many processes run, and leaves what it was charged.
MEASURING = """
    import json
    import os
    import sys
    import time
    from pathlib import Path

    import greensweep
    from greensweep.config.schema_energy import CodeCarbonConfig, NvmlRaplConfig

    def measure(name, meter, together):
        made = CodeCarbonConfig() if meter == "codecarbon" else NvmlRaplConfig()
        with greensweep.measure(made):
            Path(f"{name}.running").touch()
            while len(list(Path().glob("*.running"))) < together:
                time.sleep(0.01)
            with greensweep.measure() as energy:
                time.sleep(1.0)
        gpu = energy.reading.components.get("gpu")
        found = {
            "shown": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "watts": gpu and gpu.joules / energy.seconds,
            "quality": gpu and gpu.quality,
        }
        Path(f"{name}.json").write_text(json.dumps(found))
"""

ALONE = f"""{MEASURING}
    measure(*sys.argv[1:3], int(sys.argv[3]))
"""

SEARCHED = f"""{MEASURING}
    import hydra
    from hydra.core.hydra_config import HydraConfig

    @hydra.main(config_path=None, version_base=None)
    def main(config):
        measure(f"trial-{{HydraConfig.get().job.num}}", config.meter, config.together)
        return config.x

    main()
"""


def found_in(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]


def uuid(index: int) -> str:
    return f"GPU-{index}d5df1de-2b9c-4f4b-8e7c-f25d30f3c09f"


@pytest.mark.parametrize("meter", ["nvml_rapl", pytest.param("codecarbon", marks=pytest.mark.slow)])
@pytest.mark.parametrize("seen", [["0", "1"], [uuid(0), uuid(1)[:12]]], ids=["number", "UUID"])
def test_two_runs_on_two_gpus_are_each_charged_their_own(
    tmp_path: Path, meter: str, seen: list[str]
) -> None:
    (tmp_path / "program.py").write_text(textwrap.dedent(ALONE))
    running = [
        subprocess.Popen(
            [sys.executable, "program.py", f"run-{index}", meter, "2"],
            cwd=tmp_path,
            env={**environment_with(100, 300), "CUDA_VISIBLE_DEVICES": each},
        )
        for index, each in enumerate(seen)
    ]
    assert [process.wait() for process in running] == [0, 0]
    found = found_in(tmp_path)
    for each, watts in zip(found, (100, 300), strict=True):
        assert each["watts"] == pytest.approx(watts, rel=2.1 * PERIOD)
        assert each["quality"] == "measured"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("meter", "watts", "options", "shown"),
    [
        ("nvml_rapl", (100, 300), ["n_workers=2"], [{0}, {1}]),
        ("codecarbon", (100, 300), ["n_workers=2"], [{0}, {1}]),
        ("nvml_rapl", EIGHT, ["n_workers=auto"], [{index} for index in range(8)]),
        ("codecarbon", EIGHT, ["n_workers=auto"], [{index} for index in range(8)]),
        ("nvml_rapl", EIGHT[:4], ["n_workers=2", "gpus_per_worker=2"], [{0, 1}, {2, 3}]),
    ],
)
def test_each_worker_of_a_sweep_is_charged_the_gpus_that_it_has(
    tmp_path: Path, meter: str, watts: tuple[int, ...], options: list[str], shown: list[set[int]]
) -> None:
    (tmp_path / "program.py").write_text(textwrap.dedent(SEARCHED))
    sweeper = ["meter=search", "direction=maximize", f"n_trials={len(shown)}", *options]
    ended = subprocess.run(
        [
            *(sys.executable, "program.py", "-m", "hydra/sweeper=greensweep", "+x=interval(0,1)"),
            *(f"+meter={meter}", f"+together={len(shown)}"),
            *(f"hydra.sweeper.{each}" for each in sweeper),
        ],
        cwd=tmp_path,
        env=environment_with(*watts),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    lacking = (ended.stdout + ended.stderr).count("No cpu energy in this run's figures")
    assert lacking == (meter == "nvml_rapl")
    found = found_in(tmp_path)
    names = {uuid(index): index for index in range(len(watts))}
    assert sorted(sorted(names[each] for each in one["shown"].split(",")) for one in found) == [
        sorted(each) for each in shown
    ]
    for each in found:
        own = sum(watts[names[uuid]] for uuid in each["shown"].split(","))
        assert each["watts"] == pytest.approx(own, rel=2.1 * PERIOD)
        assert each["quality"] == "measured"


@pytest.mark.slow
def test_joblibs_processes_each_take_a_gpu_under_the_stock_sweeper(
    tmp_path: Path,
    script: Callable[..., subprocess.CompletedProcess[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    (tmp_path / "together.py").write_text(
        textwrap.dedent(
            """
            import os
            import time
            from pathlib import Path
            from hydra.core.hydra_config import HydraConfig
            from torch import nn

            class Net(nn.Sequential):
                def __init__(self, image_size, num_classes):
                    super().__init__(nn.Flatten(), nn.Linear(image_size**2, num_classes))
                    shown = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
                    Path(f"shown-{HydraConfig.get().job.num}").write_text(shown)
                    while len(list(Path().glob("shown-*"))) < 2:
                        time.sleep(0.01)
            """
        )
    )
    ended = script(
        *("train.py", "-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=1,2"),
        *("model=custom", "model.target=together.Net", "training.device=auto", "training.epochs=1"),
        *("energy=unmetered", "tracking=local", "warmup=0", "inference.seconds=0"),
        environment=environment_with(100, 300),
    )
    assert ended.returncode == 0, ended.stderr
    shown = {(tmp_path / f"shown-{job}").read_text() for job in range(2)}
    assert shown == {uuid(0), uuid(1)}


@pytest.mark.slow
def test_what_no_trial_can_measure_is_warned_of_once_in_a_sweep(
    tmp_path: Path,
    script: Callable[..., subprocess.CompletedProcess[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    ended = script(
        *("train.py", "-m", "hydra/sweeper=greensweep", "hydra.sweeper.n_trials=6"),
        *("hydra.sweeper.n_workers=2", "energy=nvml_rapl", "energy.gpus=all", "tracking=local"),
        *("training.epochs=1", "dataset.train_limit=100", "inference.seconds=0", "warmup=0.1"),
        environment=environment_with(100, 300),
    )
    assert ended.returncode == 0, ended.stderr
    told = ended.stdout + ended.stderr
    assert told.count("No cpu energy in this run's figures") == 1
