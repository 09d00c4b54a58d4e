"""Factorial analysis of variance, its assumptions, and what follows it."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations, product

import numpy as np
import pandas as pd
from scipy import stats

from greensweep.analysis.comparison import holm
from greensweep.analysis.searches import Figures
from greensweep.errors import AnalysisError

_MOST_IN_SHAPIRO = 5000  # beyond, its p-value is not accurate
_MOST_IN_QQ = 500
_NO_VARIANCE = 1e-12  # deviation as a share of the largest value: rounding


def factorial_anova(
    frame: pd.DataFrame, response: str, factors: Sequence[str], order: int
) -> pd.DataFrame:
    """Return the ANOVA with Type III sums of squares and sum-to-zero contrasts.

    Args:
        order: of the highest interactions; 1 has main effects only.

    Returns:
        A row for each term, and one for the residual: sum_sq (of the response, squared), df, F, p,
        and the effect sizes eta_sq (of the sum of all terms' and the residual's squares),
        partial_eta_sq and omega_sq.

    Raises:
        AnalysisError: a factor has one level, a cell of the design is empty, or there are no runs
            beyond the cells.
    """
    # Not out of statsmodels.api, which loads half a second of other models.
    from statsmodels.regression.linear_model import OLS
    from statsmodels.stats.anova import anova_lm

    _check_design(frame, factors, order)
    names = {factor: f"f{index}" for index, factor in enumerate(factors)}
    plain = frame[list(factors)].rename(columns=names).assign(y=frame[response])
    sums = [f"C({name}, Sum)" for name in names.values()]
    parts = [":".join(each) for size in range(1, order + 1) for each in combinations(sums, size)]
    model = OLS.from_formula(f"y ~ {' + '.join(parts)}", plain)
    runs, coefficients = model.exog.shape
    if runs > coefficients > np.linalg.matrix_rank(model.exog):
        raise AnalysisError(
            f"the effects of {', '.join(factors)} cannot be separated, since some rise and fall "
            "together in all runs: leave one out of analysis.factors"
        )
    if runs <= coefficients:
        raise AnalysisError(
            f"{runs} runs leave no residual beside {' × '.join(factors)} up to order "
            f"{order}: set analysis.order={order - 1}"
            if order > 1
            else f"{runs} runs leave no residual beside {' + '.join(factors)}: add runs"
        )
    if plain["y"].std(ddof=0) <= _NO_VARIANCE * plain["y"].abs().max():
        raise AnalysisError(f"{response} is the same in all runs: there is no variance to explain")
    table = anova_lm(model.fit(), typ=3).drop(index="Intercept").rename(columns={"PR(>F)": "p"})
    back = {short: factor for factor, short in names.items()}
    table.insert(0, "term", [_readable(str(term), back) for term in table.index])
    residual, total = table["sum_sq"].iloc[-1], table["sum_sq"].sum()
    mean_residual = residual / table["df"].iloc[-1]
    effects = table.iloc[:-1]  # which the residual has none of
    squares = effects["sum_sq"]
    found: pd.DataFrame = table.assign(
        eta_sq=squares / total,
        partial_eta_sq=squares / (squares + residual),
        omega_sq=(squares - effects["df"] * mean_residual) / (total + mean_residual),
    )
    return found.reset_index(drop=True)


def assumptions(
    frame: pd.DataFrame, response: str, factors: Sequence[str], seed: int
) -> dict[str, float]:
    """Return Levene's test of equal variances (by medians) and Shapiro and Wilk's of normality.

    The latter is of the residuals from the cells' means; of many, of a seeded sample of 5,000.
    """
    cells = [group[response].to_numpy(float) for _, group in frame.groupby(list(factors))]
    large = [cell for cell in cells if len(cell) > 1]
    found: dict[str, float] = {}
    if len(large) > 1:
        with _without_variance():
            levene = stats.levene(*large)
        if np.isfinite(levene.statistic):
            found |= {"levene_W": float(levene.statistic), "levene_p": float(levene.pvalue)}
    residuals = _residuals(frame, response, factors)
    if len(residuals) > _MOST_IN_SHAPIRO:
        residuals = np.random.default_rng(seed).choice(residuals, _MOST_IN_SHAPIRO, replace=False)
    if len(residuals) >= 3 and np.ptp(residuals) > 0:
        shapiro = stats.shapiro(residuals)
        found |= {"shapiro_W": float(shapiro.statistic), "shapiro_p": float(shapiro.pvalue)}
    return found


def quantiles(frame: pd.DataFrame, response: str, factors: Sequence[str]) -> pd.DataFrame:
    """Return the points of a normal Q-Q plot of the residuals, at most 500."""
    (theoretical, ordered), _ = stats.probplot(_residuals(frame, response, factors))
    kept = np.unique(np.linspace(0, len(ordered) - 1, _MOST_IN_QQ).round().astype(int))
    return pd.DataFrame({"normal_quantile": theoretical[kept], "residual": ordered[kept]})


def kruskal_wallis(frame: pd.DataFrame, response: str, factors: Sequence[str]) -> pd.DataFrame:
    """Return Kruskal and Wallis's H and p-value of each factor by itself."""
    rows = []
    for factor in factors:
        groups = [group[response].to_numpy(float) for _, group in frame.groupby(factor)]
        rows.append((factor, *stats.kruskal(*groups), len(groups) - 1))
    return pd.DataFrame(rows, columns=["factor", "H", "p", "df"])[["factor", "H", "df", "p"]]


def post_hoc(
    frame: pd.DataFrame, response: str, factors: Sequence[str], confidence: float
) -> pd.DataFrame:
    """Return the differences of each factor's levels: Tukey's intervals, and Holm's p-values.

    Tukey's test is of one factor at a time, over all others. Holm's method adjusts Welch's t-tests
    over all pairs of all factors. Where levels have no variance, tests are missing.
    """
    from statsmodels.stats.multicomp import pairwise_tukeyhsd

    rows = []
    for factor in factors:
        levels = sorted(frame[factor].unique())
        with _without_variance():
            tukey = pairwise_tukeyhsd(
                frame[response].to_numpy(float),
                frame[factor].map(levels.index).to_numpy(),
                alpha=1.0 - confidence,
            )
        for index, (one, other) in enumerate(combinations(levels, 2)):
            first = frame.loc[frame[factor] == one, response].to_numpy(float)
            second = frame.loc[frame[factor] == other, response].to_numpy(float)
            with _without_variance():
                welch = stats.ttest_ind(first, second, equal_var=False)
            rows.append(
                {
                    "factor": factor,
                    "level": one,
                    "other": other,
                    "difference": float(tukey.meandiffs[index]),
                    "low": float(tukey.confint[index][0]),
                    "high": float(tukey.confint[index][1]),
                    "tukey_p": float(tukey.pvalues[index]),
                    "welch_p": float(welch.pvalue),
                }
            )
    table = pd.DataFrame(rows)
    table["welch_p_holm"] = holm(table["welch_p"].to_numpy(float))
    return table


@contextmanager
def _without_variance() -> Iterator[None]:
    """Let tests of groups without variance return NaN without a word."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def _readable(term: str, names: dict[str, str]) -> str:
    if term == "Residual":
        return "residual"
    return " × ".join(names[part.removeprefix("C(").split(",")[0]] for part in term.split(":"))


def _check_design(frame: pd.DataFrame, factors: Sequence[str], order: int) -> None:
    for factor in factors:
        levels = frame[factor].unique()
        if len(levels) < 2:
            raise AnalysisError(
                f"{factor} has one level ({levels[0]}) in these runs, so it explains nothing: "
                "leave it out of analysis.factors"
            )
    for size in range(2, order + 1):
        for group in combinations(factors, size):
            there = set(frame[list(group)].itertuples(index=False, name=None))
            cells = product(*(sorted(frame[factor].unique()) for factor in group))
            missing = next((cell for cell in cells if cell not in there), None)
            if missing is not None:
                named = ", ".join(f"{f}={v}" for f, v in zip(group, missing, strict=True))
                raise AnalysisError(
                    f"no run has {named}: Type III sums of squares need every cell of the "
                    f"design; set analysis.order={size - 1}, or add such runs"
                )


def _residuals(frame: pd.DataFrame, response: str, factors: Sequence[str]) -> Figures:
    means = frame.groupby(list(factors))[response].transform("mean")
    return (frame[response] - means).to_numpy(float)
