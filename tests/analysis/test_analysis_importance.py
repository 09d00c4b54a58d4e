"""How much each option matters: on runs that the forest has not seen."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

from greensweep.analysis.importance import importance, shuffling_losses, unused, varying


def test_options_that_say_nothing_have_no_importance() -> None:
    """In sample, columns of noise had a third of the variance between them."""
    draw = np.random.default_rng(1)
    noise = [f"noise {number}" for number in range(8)]
    frame = pd.DataFrame(draw.random((60, 8)), columns=noise).assign(width=draw.random(60))
    frame["energy"] = frame["width"] + 0.25 * draw.normal(size=60)
    table = importance(frame, ["width", *noise], ["energy"], seed=0)
    assert table is not None
    figures = table.set_index("hyperparameter")["importance"]
    assert figures["width"] > 0.4
    assert figures[noise].max() < 0.05
    assert figures[noise].sum() == pytest.approx(0.0, abs=0.1)
    assert (table["deviation"] >= 0).all()


def test_shares_are_of_the_variance_whatever_the_unit() -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.random((90, 2)), columns=["width", "rate"])
    frame["joules"] = 3.0 * frame["width"] + frame["rate"]
    frame["kilojoules"] = frame["joules"] / 1000.0
    table = importance(frame, ["width", "rate"], ["joules", "kilojoules"], seed=0)
    assert table is not None
    one, other = (part["importance"].to_numpy() for _, part in table.groupby("target"))
    assert one == pytest.approx(other, rel=0.01)
    # Shuffling an option of a sum doubles its share of the variance: 2 x 9/10 and 2 x 1/10.
    assert one == pytest.approx([1.8, 0.2], abs=0.35)


def test_why_an_option_has_no_importance_is_told() -> None:
    frame = pd.DataFrame({"rate": [1, 2, 3], "momentum": [0.9, None, 0.8], "same": [1, 1, 1]})
    names = ["rate", "momentum", "same", "same"]
    assert varying(frame, names) == ["rate"]
    assert unused(frame, names) == [
        "No importance of momentum: it is missing in 1 of 3 runs.",
        "No importance of same: it has one value in all runs.",
    ]


def test_losses_are_those_of_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    design = draw.integers(0, 9, (40, 3)).astype(float)
    figures = design[:, 0] + draw.normal(0, 1, 40)
    forest = RandomForestRegressor(10, random_state=0).fit(design, figures)
    theirs = permutation_importance(
        forest, design, figures, scoring="neg_mean_squared_error", n_repeats=5, random_state=3
    )
    ours = shuffling_losses(forest, design, figures, seed=3)
    np.testing.assert_allclose(ours, theirs.importances, rtol=1e-12)
