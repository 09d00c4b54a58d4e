"""The benchmarks work; what they measure is not asserted, since machines differ."""

import importlib
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture
def few_images(tmp_path: Path) -> Path:
    """A folder of 32x32 noise: enough images for one batch of training."""
    noise = np.random.default_rng(0)
    for part, count in (("train", 24), ("test", 2)):
        for label in "abcd":
            folder = tmp_path / "images" / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = noise.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "images"


@pytest.mark.slow
def test_every_benchmark_gives_its_figures(few_images: Path, tmp_path: Path) -> None:
    script = str(PROJECT / "benchmarks" / "run.py")
    groups = (["memory"], ["startup", "throughput", "options", "overhead", "metering"])
    started = []
    for number, names in enumerate(groups):  # side by side: nothing is timed here
        command = [sys.executable, script, "--quick", "--images", str(few_images)]
        command += [f"--only={name}" for name in names]
        command += ["--output", str(tmp_path / f"{number}.json")]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    ended = [process.communicate() for process in started]

    found = set()
    for number, (process, (_, errors)) in enumerate(zip(started, ended, strict=True)):
        assert process.returncode == 0, errors.decode()
        results = json.loads((tmp_path / f"{number}.json").read_text())
        assert {"machine", "figures", "skipped", "benchmark_seconds"} <= set(results)
        assert {"cpu_model", "cores", "python", "packages", "date"} <= set(results["machine"])
        assert not results["skipped"]
        for figure in results["figures"]:
            found.add(figure["benchmark"])
            assert {"subject", "of", "value", "low", "high", "pairs", "met"} <= set(figure)
            # Peak memory may be that of the bare loop, and nothing slow may be imported.
            if figure["unit"] == "x" and figure["benchmark"] != "memory":
                parts_of_overhead = figure["of"].startswith("of it")
                assert figure["value"] > 0 or parts_of_overhead, figure
    assert found == {name for names in groups for name in names}


def test_benchmarks_of_images_are_skipped_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    throughput = importlib.import_module("throughput")
    skipped = importlib.import_module("figures").Skipped

    with pytest.raises(skipped, match="no images at"):
        throughput.measure(tmp_path / "nowhere", throughput.QUICK)


@pytest.mark.slow
def test_training_on_a_gpu_is_compared_with_bare_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PROJECT / "benchmarks"))
    gpu_training = importlib.import_module("gpu_training")
    counter = itertools.count(0.0, 2.0)

    found = gpu_training.measure(torch.device("cpu"), gpu_training.QUICK, lambda: next(counter))

    assert [figure.of.rsplit(", ", 1)[1] for figure in found] == [
        "seconds per epoch",
        "joules per epoch",
    ]
    assert found[1].value == 1
    assert found[0].details["auto"] == {"mode": "none", "reason": "CUDA graphs need a GPU"}

    equal, _ = gpu_training.measure_determinism(torch.device("cpu"), gpu_training.QUICK)
    assert equal.met
