"""What a table answers: nearest and fitted, inside and outside."""

import math
from pathlib import Path

import numpy as np
import pytest
from tables import CURVES, table, write

from greensweep.errors import StudyError
from greensweep.runs.replay import regression
from greensweep.runs.replay.answer import ReplayModel
from greensweep.runs.replay.regression import Surface
from greensweep.runs.replay.table import RecordedPoint, read_table

RATES = """
    lr    accuracy energy_joules
    0.001 0.1      10
    0.01  0.2      20
    0.1   0.3      30
"""
MIXED = """
    lr  optimizer accuracy energy_joules
    0   Adam      0.1      10
    1   Adam      0.2      20
    0   SGD       0.3      30
"""


@pytest.mark.parametrize(
    ("log", "asked", "line", "distance"),
    [
        ([], 0.04, 3, 0.03 / 0.099),
        ([], 0.06, 4, 0.04 / 0.099),
        (["lr"], 0.04, 4, math.log10(2.5) / 2),
        (["lr"], 0.02, 3, math.log10(2) / 2),
    ],
)
def test_the_nearest_is_found_on_the_scale_of_the_axis(
    tmp_path: Path, log: list[str], asked: float, line: int, distance: float
) -> None:
    answer = ReplayModel(table(tmp_path, RATES, "lr"), log=log).answer({"lr": asked})
    assert answer.line == line
    assert answer.distance == pytest.approx(distance)
    assert (answer.accuracy, answer.joules) == {3: (0.2, 20.0), 4: (0.3, 30.0)}[line]


def test_each_axis_counts_by_its_recorded_range(tmp_path: Path) -> None:
    recorded = table(
        tmp_path, "a b accuracy energy_joules\n0 0 0.1 1\n1 1000 0.2 2\n0.4 0 0.3 3", "a", "b"
    )
    answer = ReplayModel(recorded).answer({"a": 0.1, "b": 200})
    assert answer.line == 2
    assert answer.distance == pytest.approx(math.hypot(0.1, 0.2))


def test_another_choice_is_as_far_as_the_other_end_of_a_range(tmp_path: Path) -> None:
    model = ReplayModel(table(tmp_path, MIXED, "lr", "optimizer"))
    near = model.answer({"lr": 0.4, "optimizer": "adam"})
    assert (near.line, near.distance) == (2, pytest.approx(0.4))
    assert model.answer({"lr": 0.4, "optimizer": "sgd"}).line == 4
    far = model.answer({"lr": 1, "optimizer": "sgd"})
    assert far.distance == pytest.approx(1.0)
    unknown = model.answer({"lr": 0, "optimizer": "lion"})
    assert unknown.distance == pytest.approx(1.0)
    assert unknown.fault == "optimizer=lion is none of the recorded adam, sgd"


def test_true_and_false_match_however_a_table_writes_them(tmp_path: Path) -> None:
    for yes, no in (("True", "False"), ("1", "0")):
        text = f"relu accuracy energy_joules\n{yes} 0.1 1\n{no} 0.2 2"
        model = ReplayModel(table(tmp_path, text, "relu"))
        assert model.answer({"relu": True}).line == 2
        assert model.answer({"relu": False}).line == 3


def test_outside_of_the_recorded_range_is_told(tmp_path: Path) -> None:
    model = ReplayModel(table(tmp_path, RATES, "lr"), log=["lr"])
    for inside in (0.001, 0.1, 0.03):
        assert not model.answer({"lr": inside}).outside
    answer = model.answer({"lr": 0.2})
    assert answer.outside
    assert answer.fault == "lr=0.2 lies outside of the recorded 0.001 to 0.1"
    assert answer.accuracy == 0.3


def test_too_far_from_every_record_is_told(tmp_path: Path) -> None:
    # Twenty are 0.01 apart and one is alone: 95 % of the nearest distances are at most 0.01.
    rows = [f"{index / 100} 0.5 1" for index in range(20)] + ["1 0.5 1"]
    recorded = table(tmp_path, "\n".join(["x accuracy energy_joules", *rows]), "x")
    model = ReplayModel(recorded)
    assert model.radius == pytest.approx(0.01)
    assert not model.answer({"x": 0.2}).outside
    answer = model.answer({"x": 0.6})
    assert answer.distance == pytest.approx(0.4)
    assert answer.fault == (
        "the nearest recorded configuration, line 22, is 0.4 away, more than the radius 0.01"
    )
    assert not ReplayModel(recorded, radius=0.5).answer({"x": 0.6}).outside
    assert ReplayModel(recorded, radius=0.001).answer({"x": 0.105}).outside


def test_a_single_configuration_answers_itself_only(tmp_path: Path) -> None:
    model = ReplayModel(table(tmp_path, "x accuracy energy_joules\n0.1 0.5 7", "x"))
    assert not model.answer({"x": 0.1}).outside
    assert model.answer({"x": 0.11}).outside
    assert model.answer({"x": 0.11}).joules == 7
    assert model.error is None


def test_a_curve_is_answered_as_far_as_it_is_asked(tmp_path: Path) -> None:
    model = ReplayModel(table(tmp_path, CURVES, "learning_rate"))
    answer = model.answer({"learning_rate": 0.09}, epochs=2)
    assert answer.curve == (RecordedPoint(1, 0.5, 10.0, 1.0), RecordedPoint(2, 0.7, 25.0, 2.5))
    assert (answer.accuracy, answer.joules, answer.curve[-1].seconds) == (0.7, 25.0, 2.5)
    whole = model.answer({"learning_rate": 0.09})
    assert (whole.accuracy, whole.joules, whole.curve[-1].seconds) == (0.7, 45.0, 4.0)
    with pytest.raises(StudyError) as refused:
        model.answer({"learning_rate": 0.01}, epochs=4)
    assert str(refused.value) == (
        f"{tmp_path / 'runs.csv'}, line 5: the configuration that begins here has 3 epochs, fewer "
        "than training.epochs=4: set training.epochs=3"
    )


def test_without_curves_the_last_epoch_is_answered(tmp_path: Path) -> None:
    model = ReplayModel(table(tmp_path, RATES, "lr"))
    assert model.answer({"lr": 0.01}, epochs=15).curve == (RecordedPoint(15, 0.2, 20.0, None),)


def test_the_error_of_the_nearest_leaves_each_out(tmp_path: Path) -> None:
    model = ReplayModel(table(tmp_path, RATES, "lr"))
    # Left out, 0.001 and 0.1 are answered by 0.01, and 0.01 by 0.001.
    assert model.error is not None
    assert model.error.accuracy == pytest.approx(0.1)
    relative = math.sqrt((1.0**2 + 0.5**2 + (1 / 3) ** 2) / 3)
    assert model.error.joules == pytest.approx(relative)


def surface(rate: float, beta: float) -> tuple[float, float]:
    """A smooth peak at rate 1e-3, and joules that grow with beta."""
    return 0.9 * math.exp(-((math.log10(rate) + 3) ** 2)) * (1 - beta / 2), 100 * (1 + beta)


def sampled(folder: Path, count: int) -> Path:
    random = np.random.default_rng(0)
    lines = ["rate beta accuracy energy_joules"]
    for rate, beta in zip(10 ** random.uniform(-5, -1, count), random.random(count), strict=True):
        accuracy, joules = surface(rate, beta)
        lines.append(f"{rate} {beta} {accuracy} {joules}")
    return write(folder, "\n".join(lines))


def test_a_smooth_surface_is_fitted_better_than_by_the_nearest(tmp_path: Path) -> None:
    recorded = read_table(sampled(tmp_path, 150), options=["rate", "beta"])
    fitted = ReplayModel(recorded, method="regression")
    asked = np.random.default_rng(1)
    errors, relative = [], []
    for _ in range(200):
        rate, beta = 10 ** asked.uniform(-4.8, -1.2), asked.uniform(0.05, 0.95)
        accuracy, joules = surface(rate, beta)
        answer = fitted.answer({"rate": rate, "beta": beta}, epochs=5)
        assert answer.curve[0].epoch == 5
        errors.append(answer.accuracy - accuracy)
        relative.append(answer.joules / joules - 1)
    assert np.sqrt(np.mean(np.square(errors))) < 0.02
    assert np.sqrt(np.mean(np.square(relative))) < 0.02
    nearest = ReplayModel(recorded, log=["rate"]).error
    assert fitted.error is not None
    assert nearest is not None
    assert fitted.error.accuracy < nearest.accuracy / 2


def test_a_point_left_out_is_answered_as_a_fit_without_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(0)
    points = random.random((40, 2))
    figures = np.sin(5 * points[:, 0]) + 0.1 * random.standard_normal(40)
    kernel = 2.0, np.array([0.5, 3.0]), 0.1
    monkeypatch.setattr(regression, "_fit_kernel", lambda *_: kernel)
    left_out = Surface(points, figures).left_out
    for index in range(40):
        rest = np.arange(40) != index
        without = Surface(points[rest], figures[rest]).at(points[index])
        # Less the mean of the figures, which is not taken again without the point.
        assert left_out[index] == pytest.approx(without, abs=0.03)
    assert np.std(left_out - figures) > 0.1  # the noise, which no fit foresees


def test_figures_that_never_differ_are_fitted_too(tmp_path: Path) -> None:
    lines = ["x accuracy energy_joules", *(f"{index} 0.5 {10 + index}" for index in range(12))]
    model = ReplayModel(table(tmp_path, "\n".join(lines), "x"), method="regression")
    assert model.answer({"x": 3.5}).accuracy == 0.5
    assert model.answer({"x": 3.5}).joules == pytest.approx(13.5, rel=0.02)


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        (RATES, {"log": ["beta"]}, "replay.log: no dimension is called 'beta': there are lr"),
        (
            "lr accuracy energy_joules\n1 0.5 1\n0 0.5 1",
            {"log": ["lr"]},
            "{path}, line 3: lr=0 has no logarithm: declare it log: false in the space and take "
            "it off replay.log",
        ),
        (
            RATES,
            {"method": "regression"},
            "replay.method=regression takes 10 to 5000 configurations, and {path} holds 3: "
            "set replay.method=nearest",
        ),
        (
            "lr epoch accuracy energy_joules\n1 1 0.5 1",
            {"method": "regression"},
            "replay.method=regression does not fit learning curves: set replay.method=nearest, "
            "or keep one epoch, by replay.where.epoch=25, say",
        ),
        (
            "lr accuracy energy_joules\n" + "\n".join(f"{x} 0.5 {x}" for x in range(10)),
            {"method": "regression"},
            "{path}, line 2: the energy must be above 0 for replay.method=regression: leave the "
            "row out, or set replay.method=nearest",
        ),
    ],
)
def test_what_does_not_suit_the_table_is_told_in_one_sentence(
    tmp_path: Path, text: str, arguments: dict[str, object], said: str
) -> None:
    recorded = table(tmp_path, text, "lr")
    with pytest.raises(StudyError) as refused:
        ReplayModel(recorded, **arguments)  # type: ignore[arg-type]
    assert str(refused.value) == said.format(path=tmp_path / "runs.csv")


def test_a_value_that_does_not_suit_its_axis_is_told_in_one_sentence(tmp_path: Path) -> None:
    model = ReplayModel(table(tmp_path, RATES, "lr"), log=["lr"])
    with pytest.raises(StudyError, match=r"^lr=auto is no number, but the table's are: take it"):
        model.answer({"lr": "auto"})
    with pytest.raises(StudyError, match=r"^lr=0 has no logarithm: take it off replay\.log"):
        model.answer({"lr": 0})
