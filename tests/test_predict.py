"""A kept model on samples that it has not seen: src/predict.py, and src/evaluate.py on them."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import Finished
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

Cli = Callable[..., Finished]
QUICK = ("energy=unmetered", "tracking=local", "inference.seconds=0", "hydra.run.dir=run")
TABLE = ("dataset=table", "dataset.path=all.csv", "model=mlp", "training.epochs=8")


def predictions(path: str = "outputs/predictions.csv") -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def trained(cli: Cli, *overrides: str) -> None:
    ended = cli("train.py", *QUICK, *overrides)
    assert ended.status == 0, ended.errors


@pytest.fixture
def cancers(cli: Cli) -> pd.DataFrame:
    """Train on a table with a text column and missing values; return it."""
    frame = load_breast_cancer(as_frame=True).frame
    frame["size"] = np.where(frame["mean radius"] > 14, "large", "small")
    frame["kind"] = np.where(frame.pop("target") == 1, "benign", "malignant")
    frame.loc[::7, "mean texture"] = np.nan
    frame.to_csv("all.csv", index=False)
    trained(cli, *TABLE, "dataset.target_column=kind")
    return frame


def test_rows_of_another_table_get_classes_and_probabilities(
    cli: Cli, cancers: pd.DataFrame
) -> None:
    some = cancers.sample(60, random_state=0)
    some.drop(columns="kind").to_csv("new.csv", index=False)
    ended = cli("predict.py", "checkpoint=run/model.pt", "data=new.csv")
    assert ended.status == 0, ended.errors
    assert "60 predictions: " in ended.output
    found = predictions()
    assert [row["sample"] for row in found] == [str(number) for number in range(60)]
    right = [row["prediction"] == kind for row, kind in zip(found, some["kind"], strict=True)]
    assert np.mean(right) > 0.8
    for row in found:
        each = {kind: float(row[f"probability_{kind}"]) for kind in ("benign", "malignant")}
        assert sum(each.values()) == pytest.approx(1)
        assert max(each, key=lambda kind: each[kind]) == row["prediction"]


def test_a_model_is_evaluated_on_another_table_as_its_predictions_are(
    cli: Cli, cancers: pd.DataFrame
) -> None:
    some = cancers.sample(60, random_state=1)
    some.to_csv("new.csv", index=False)
    assert cli("predict.py", "checkpoint=run/model.pt", "data=new.csv").status == 0
    right = [
        row["prediction"] == kind for row, kind in zip(predictions(), some["kind"], strict=True)
    ]
    ended = cli("evaluate.py", "checkpoint=run/model.pt", "data=new.csv", "energy=unmetered")
    assert f"accuracy {np.mean(right):.4f} on 60 samples" in ended.output


def test_a_table_is_made_into_inputs_as_the_training_rows_were(
    cli: Cli, cancers: pd.DataFrame
) -> None:
    """One row alone has no mean and no categories of its own."""
    cancers.iloc[:40].to_csv("new.csv", index=False)
    cancers.iloc[:1].to_csv("one.csv", index=False)
    for name in ("new", "one"):
        asked = ("checkpoint=run/model.pt", f"data={name}.csv", f"output={name}.out.csv")
        assert cli("predict.py", *asked).status == 0
    (one,) = predictions("one.out.csv")
    first = predictions("new.out.csv")[0]
    assert one["prediction"] == first["prediction"]
    for name in ("probability_benign", "probability_malignant"):
        assert float(one[name]) == pytest.approx(float(first[name]), abs=1e-6)


def test_values_are_predicted_in_the_units_of_the_target(cli: Cli) -> None:
    frame = load_diabetes(as_frame=True).frame
    frame.to_csv("all.csv", index=False)
    trained(cli, *TABLE, "dataset.target_column=target", "task=regression")
    frame.drop(columns="target").to_csv("new.csv", index=False)
    assert cli("predict.py", "checkpoint=run/model.pt", "data=new.csv").status == 0
    found = predictions()
    assert found[0].keys() == {"sample", "prediction"}
    known = np.corrcoef([float(row["prediction"]) for row in found], frame["target"])
    assert known[0, 1] > 0.3


@pytest.fixture
def digits(cli: Cli) -> np.ndarray:
    """Train on the digits; return them as the run read them, uint8 (N, 8, 8)."""
    trained(cli, "training.epochs=3", "model.conv_layers=1")
    return (load_digits().images * 15).astype(np.uint8)


def test_images_are_named_by_their_files_and_labelled_by_their_folders(
    cli: Cli, digits: np.ndarray
) -> None:
    labels = load_digits().target
    for number in range(20):
        folder = Path("pictures") / str(labels[number])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits[number]).save(folder / f"{number}.png")
    assert cli("predict.py", "checkpoint=run/model.pt", "data=pictures").status == 0
    found = predictions()
    assert [row["sample"] for row in found] == sorted(
        f"{labels[number]}/{number}.png" for number in range(20)
    )
    right = [row["prediction"] == row["sample"][0] for row in found]
    asked = ("checkpoint=run/model.pt", "data=pictures", "energy=unmetered")
    assert f"accuracy {np.mean(right):.4f} on 20" in cli("evaluate.py", *asked).output


def test_arrays_get_what_their_images_get(cli: Cli, digits: np.ndarray) -> None:
    Path("pictures").mkdir()
    for number in range(9):
        Image.fromarray(digits[number]).save(f"pictures/{number}.png")
    np.save("arrays.npy", digits[:9, None])
    for data in ("pictures", "arrays.npy"):
        asked = ("checkpoint=run/model.pt", f"data={data}", f"output={data}.csv")
        assert cli("predict.py", *asked).status == 0
    images, arrays = predictions("pictures.csv"), predictions("arrays.npy.csv")
    assert [row["prediction"] for row in images] == [row["prediction"] for row in arrays]
    assert [row["sample"] for row in arrays] == [str(number) for number in range(9)]


@pytest.mark.parametrize(
    ("script", "data", "said"),
    [
        ("predict.py", "none.npy", "data=none.npy cannot be read"),
        ("predict.py", "flat.npy", "inputs must have shape (N, 1, 8, 8)"),
        ("predict.py", "other.npz", "no array called inputs"),
        ("predict.py", "code.npy", "data=code.npy cannot be read"),
        ("predict.py", "empty", "data=empty holds no images"),
        ("predict.py", "notes.txt", "give a folder of images"),
        ("evaluate.py", "some.npy", "has no labels to evaluate by"),
        ("predict.py", "scaled.npy", "inputs hold 0.3, and the model was trained on uint8"),
        ("predict.py", "wide.npy", "inputs hold 300, and the model was trained on uint8"),
        ("evaluate.py", "classes.npz", "labels hold 10, and the model knows the classes 0 to 9"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    cli: Cli, digits: np.ndarray, script: str, data: str, said: str
) -> None:
    np.save("flat.npy", digits[:3])
    np.save("some.npy", digits[:3, None])
    np.savez("other.npz", images=digits[:3])
    np.save("scaled.npy", np.full((3, 1, 8, 8), 0.3))
    np.save("wide.npy", np.full((3, 1, 8, 8), 300))
    np.savez("classes.npz", inputs=digits[:3, None], labels=[1, 9, 10])
    np.save("code.npy", np.array([{}], dtype=object))
    Path("empty").mkdir()
    Path("notes.txt").write_text("none")
    ended = cli(script, "checkpoint=run/model.pt", f"data={data}")
    assert (ended.status, ended.errors.count("\n")) == (1, 1)
    assert said in ended.errors
    assert not Path("outputs/predictions.csv").exists()


@pytest.mark.parametrize("output", ["run", "run/model.pt/predictions.csv"])
def test_a_place_that_cannot_be_written_is_named_with_its_option(
    cli: Cli, digits: np.ndarray, output: str
) -> None:
    np.save("some.npy", digits[:3, None])
    ended = cli("predict.py", "checkpoint=run/model.pt", "data=some.npy", f"output={output}")
    assert ended.status == 1
    assert ended.errors.startswith(f"Error: output={output} cannot be written (")
    assert ended.errors.endswith("): name another\n")


def test_probabilities_are_those_of_the_kept_weights(cli: Cli, digits: np.ndarray) -> None:
    from greensweep.runs.kept_model import load_kept_model

    np.save("some.npy", digits[:5, None])
    assert cli("predict.py", "checkpoint=run/model.pt", "data=some.npy").status == 0
    kept = load_kept_model(Path("run/model.pt"))
    kept.model.eval()
    with torch.no_grad():
        inputs = kept.normalise(torch.from_numpy(digits[:5, None]))
        expected: Any = kept.model(inputs).softmax(dim=1).numpy()
    found = [[float(row[f"probability_{each}"]) for each in range(10)] for row in predictions()]
    assert np.allclose(found, expected, atol=1e-6)
