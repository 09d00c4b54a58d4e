"""Schemas of `src/analyse.py`: which table, which columns, which question."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from omegaconf import MISSING

from greensweep.config.groups import Group
from greensweep.config.metrics import Direction
from greensweep.config.options import option
from greensweep.config.schema import LARGEST_SEED, DecisionConfig
from greensweep.config.schema_energy import EnergyConfig, UnmeteredConfig
from greensweep.config.schema_tracking import MlflowConfig
from greensweep.csv_files.figures import AccuracyUnit, EnergyUnit


@dataclass
class ColumnsConfig(Group, choice="runs"):
    """`columns=NAME`: what a table of runs is of, and what its columns are called.

    Attributes:
        reader: import path of a function in `greensweep.sources`. It takes the path that `source`
            names and returns its `Rows`, with columns under our own names beside the others.
        reads_energy_alone: whether such a table has no figure that runs are compared by.
        tool: that measured its energy; None where that may be any.
    """

    reader: ClassVar[str] = "greensweep.sources.folder:read_rows"
    reads_energy_alone: ClassVar[bool] = False
    tool: ClassVar[str | None] = None

    energy: str = option("energy_joules", doc="training energy of a run")
    energy_unit: EnergyUnit | None = option(
        None, doc="unit of `energy`; null: what its name says (energy_kwh), or joules"
    )
    accuracy: str = option("accuracy", doc="accuracy of a run")
    accuracy_unit: AccuracyUnit | None = option(
        None, doc="share (0 to 1) or percent; null: what its name says (accuracy_pct), or share"
    )
    metric: str | None = option(
        None,
        doc="metric that runs are compared by instead of their accuracy: its column; null: what "
        "the runs themselves were selected by",
        example="macro_f1",
    )
    metric_direction: Direction | None = option(
        None, doc="in which `metric` is better; null: what is known of its name"
    )
    seconds: str | None = option(
        "seconds", doc="length of a run's training, which its energy is checked against"
    )
    spent: str | None = option(
        "energy_spent_joules", doc="energy of all that a run did; `energy` where there is none"
    )
    setting: list[str] = option(
        lambda: ["dataset", "model"], doc="columns within whose values strategies are compared"
    )
    strategy: str | None = option("strategy", doc="search strategy")
    seed: str | None = option("search", doc="which of several searches by the same strategy")
    order: str | None = option("trial", doc="number of the trial in its search")
    status: str | None = option("status", doc="finished, failed, pruned or stopped")
    infeasible: str | None = option(
        "infeasible",
        doc="constraints of its search that a finished run breaks: it counts in energy only",
    )
    start: str | None = option(
        "starting_point", doc="whether the run is what its search was given to start from"
    )
    quality: str | None = option("energy_quality", doc="quality of the energy figure")
    emissions: str | None = option(
        "emissions_spent_kg", doc="kg CO2e of all that a run did, as its source tells them"
    )
    machine: str | None = option("machine", doc="machine that the run was on")
    contended: str | None = option("energy_contended", doc="whether the machine did other work too")
    comparable: str | None = option(
        "energy_comparable",
        doc="whether the energy compares with other runs': it counts in energy only where not",
    )
    uncertainty: str | None = option(
        "energy_uncertainty_joules",
        doc="joules that the energy may be off by: runs that differ by less are not ranked by it",
    )
    low: str | None = option(
        "objective_low", doc="lower end of the 95 % interval of what runs are compared by"
    )
    high: str | None = option("objective_high", doc="its upper end")
    selected_on_test: str | None = option(
        "selected_on_test", doc="whether the run was selected by its accuracy on the test split"
    )


@dataclass
class CodeCarbonColumnsConfig(ColumnsConfig, choice="codecarbon"):
    reader = "greensweep.sources.codecarbon:read_codecarbon"
    reads_energy_alone = True
    tool = "CodeCarbon"


@dataclass
class CarbontrackerColumnsConfig(ColumnsConfig, choice="carbontracker"):
    reader = "greensweep.sources.carbontracker:read_carbontracker"
    reads_energy_alone = True
    tool = "carbontracker"


@dataclass
class MlflowTableColumnsConfig(ColumnsConfig, choice="mlflow_table"):
    reader = "greensweep.sources.mlflow_table:read_mlflow_table"


@dataclass
class WandbColumnsConfig(ColumnsConfig, choice="wandb"):
    reader = "greensweep.sources.wandb_table:read_wandb"


@dataclass
class AnalysisConfig(Group):
    """What all analyses have in common.

    Attributes:
        implementation: import path of a function in `greensweep.analysis`. It takes the table of
            runs and the options of the analysis, and returns its result.
        title: of its section on the page.
    """

    implementation: ClassVar[str]
    title: ClassVar[str]

    name: str = option(MISSING, doc="of the analysis, and of its folder in `output`")
    # Any, since a dict below Hydra's struct flag takes no names that it does not have yet.
    where: Any = option(
        None, doc="{column: value}: use only runs in which these columns hold these", example={}
    )
    confidence: float = option(0.95, doc="of all intervals", above=0.0, below=1.0)
    resamples: int = option(2000, doc="of each bootstrap", at_least=100, largest=10**6)
    seed: int = option(0, doc="of the bootstraps", at_least=0, at_most=LARGEST_SEED)


@dataclass
class StrategiesConfig(AnalysisConfig, choice="strategies"):
    implementation = "greensweep.analysis.strategies:compare_strategies"
    title = "Search strategies"

    name: str = option("strategies", doc="of the analysis, and of its folder in `output`")
    baseline: str = option("random", doc="strategy that the others are held against")
    target: float | None = option(
        None, doc="accuracy, or other metric, to reach; null: the baseline's final best"
    )
    fraction_of_best: float | None = option(
        None, doc="share of the best known one to reach", above=0.0, at_most=1.0
    )
    order_free: list[str] = option(
        lambda: ["random", "grid"],
        doc="strategies whose trials do not depend on earlier ones; `random` is `random@SPACE` too",
    )

    def faults(self, prefix: str) -> Iterator[str]:
        """Yield one sentence where two options contradict each other."""
        if self.target is not None and self.fraction_of_best is not None:
            yield (
                f"{prefix}target and {prefix}fraction_of_best both state the accuracy to reach: "
                "set one of them to null"
            )


@dataclass
class LayersConfig(AnalysisConfig, choice="layers"):
    implementation = "greensweep.analysis.layers:explain_layers"
    title = "Layers"

    name: str = option("layers", doc="of the analysis, and of its folder in `output`")
    factors: list[str] = option(list, doc="columns whose effect on energy is analysed")
    architecture: list[str] = option(
        list, doc="columns that together name an architecture; [] takes the factors"
    )
    features: list[str] = option(
        list,
        doc="columns that predict an architecture's energy; [] takes the factors, and FLOPs and "
        "parameters where these say more",
    )
    order: int | None = option(
        None, doc="of the highest interactions; null: as many as there are factors", at_least=1
    )


@dataclass
class TradeoffConfig(AnalysisConfig, choice="tradeoff"):
    implementation = "greensweep.analysis.tradeoff:analyse_tradeoff"
    title = "Accuracy and energy"

    name: str = option("tradeoff", doc="of the analysis, and of its folder in `output`")
    within: list[str] = option(
        lambda: ["dataset"], doc="columns within whose values accuracies compare"
    )
    configuration: list[str] = option(
        list, doc="columns that together name a configuration; [] takes each run for one"
    )
    hyperparameters: list[str] = option(
        list,
        doc="columns whose importance is estimated; [] takes what was searched, else the options "
        "of our own runs",
    )
    points_per_halving: float = option(
        1.0,
        doc="points that half the energy may cost; decision.points_per_halving sets it",
        at_least=0,
    )
    trainings: int = option(0, doc="give energy at so many trainings; 0: at none", at_least=0)
    kg_co2e_per_kwh: float | None = option(None, doc="emissions of your grid", at_least=0.0)
    price_per_kwh: float | None = option(None, doc="price, in your currency", at_least=0.0)


@dataclass
class OptionsConfig(AnalysisConfig, choice="options"):
    implementation = "greensweep.analysis.options:compare_values"
    title = "What each option costs"

    name: str = option("options", doc="of the analysis, and of its folder in `output`")
    options: list[str] = option(
        list, doc="columns whose values are compared; [] takes the options of our own runs"
    )
    levels: int = option(
        4, doc="of numbers, of which there may be more: quantiles of the runs", at_least=2
    )


def _names_columns(on: Any) -> bool:
    pairs = on.items() if isinstance(on, dict) else [(on,)] if isinstance(on, str) else [on]
    return on is None or (
        isinstance(on, str | list | dict)
        and bool(on)
        and all(isinstance(name, str) for pair in pairs for name in pair)
    )


def _names_sweeps(compared: Any) -> bool:
    if not isinstance(compared, list):
        return compared is None
    return 1 < len(compared) == len({*map(str, compared)})


@dataclass
class SourceConfig:
    source: str = option(
        MISSING,
        doc="a CSV or Parquet file, the folder of runs or sweeps, or mlflow; what `columns` reads "
        "of another tool",
    )
    mlflow_uri: str = option(MlflowConfig().uri, doc="store that source=mlflow reads")
    mlflow_experiment: str = option(MlflowConfig().experiment, doc="experiment in that store")
    columns: ColumnsConfig = MISSING
    join: str | None = option(
        None, doc="another table, with one row for each run or group of runs: its columns are added"
    )
    # Any, since it may be one name, several, or names by names.
    on: Any = option(
        None,
        doc="column by which rows of `source` and `join` belong together: run_id, [model, seed], "
        "or {run_id: id} where `join` calls it otherwise",
        must=("the name of a column, several, or {column of source: of join}", _names_columns),
        example="run_id",
    )

    def keys(self) -> dict[str, str]:
        """Return the columns that `on` names: those of `join` by those of `source`."""
        names = [self.on] if isinstance(self.on, str) else self.on or []
        return dict(names) if isinstance(names, dict) else {name: name for name in names}

    def faults(self, prefix: str) -> Iterator[str]:
        """Yield one sentence where one of `join` and `on` lacks the other."""
        if self.join is not None and self.on is None:
            yield f"join={self.join} needs the column by which rows belong together: set on=run_id"
        if self.join is None and self.on is not None:
            yield f"on={self.on} needs the table to join: set join=metrics.csv"
        if self.source == "mlflow" and self.columns.reader != ColumnsConfig.reader:
            yield "source=mlflow has columns of its own: leave columns out, or give a file"


@dataclass
class AnalyseConfig(SourceConfig):
    analysis: AnalysisConfig = MISSING
    decision: DecisionConfig = option(DecisionConfig, doc="the choice between runs")
    output: str = option("outputs/analysis", doc="folder for tables and analysis.json", path=True)


@dataclass
class ReportConfig(SourceConfig):
    source: str = option(
        "mlflow", doc="a CSV or Parquet file, the folder of runs or sweeps, or mlflow"
    )
    # Any, since it may be a list, or null.
    compare: Any = option(
        None,
        doc="sweeps side by side, instead of `source`: the folder of each, or its name or id in "
        "MLflow",
        must=("two sweeps or more, none of them twice", _names_sweeps),
        example="multirun/one,multirun/other",
    )
    decision: DecisionConfig = option(DecisionConfig, doc="the choice between runs")
    tradeoff: TradeoffConfig = MISSING
    strategies: StrategiesConfig = MISSING
    layers: LayersConfig = MISSING
    title: str | None = option(
        None, doc="heading of the page; null: Accuracy and energy, or the metric's name for it"
    )
    ui: str | None = option(
        None,
        doc="address of the MLflow UI that runs link to; null: the tracking server's own, or where "
        "mlflow ui shows a local store",
    )
    output: str = option(
        "outputs/report", doc="folder for index.html, figures and tables", path=True
    )

    def faults(self, prefix: str) -> Iterator[str]:
        """Yield one sentence where `ui` is no address, and those of `SourceConfig`."""
        yield from super().faults(prefix)
        if not (self.ui or "http://").startswith(("http://", "https://")):
            yield f"ui={self.ui} is no address: give http://HOST:PORT of the MLflow UI"


@dataclass
class StatementConfig(SourceConfig):
    source: str = option(
        MISSING,
        doc="folder of a run, a sweep or a study, or mlflow; or a table of runs, as of `report`",
    )
    final: str | None = option(
        None,
        doc="run of the final model: trial number, name, folder below `source` or its id; "
        "null: the best one",
    )
    country: str | None = option(
        None, doc="ISO 3166 alpha-3 code of the grid's country, for runs that declared none"
    )
    region: str | None = option(None, doc="region of the country, as for `energy.region`")
    grams_co2e_per_kwh: float | None = option(
        None, doc="carbon intensity of the grid, instead of a country", at_least=0, example=250
    )
    location: str | None = option(
        None, doc="where the runs were, for the model card; null: the declared country or region"
    )
    training_type: Literal["pre-training", "fine-tuning"] | None = option(
        None, doc="of the final model, for the model card"
    )
    output: str = option(
        "outputs/statement",
        doc="folder for statement.md, statement.tex, statement.bib and model_card.yaml",
        path=True,
    )

    def faults(self, prefix: str) -> Iterator[str]:
        """Yield one sentence per pair of options that contradict each other."""
        yield from super().faults(prefix)
        yield from self.grid.faults(prefix)

    @property
    def grid(self) -> EnergyConfig:
        """The options that declare a grid."""
        grid = UnmeteredConfig(
            country=self.country,
            region=self.region,
            grams_co2e_per_kwh=self.grams_co2e_per_kwh,
        )
        grid.prefix = ""
        return grid


def sweep_report(directory: Path, decision: DecisionConfig) -> ReportConfig:
    """Return the options of the report on one sweep, out of its `trials.csv`."""
    return ReportConfig(
        source=str(directory),
        output=str(directory / "report"),
        columns=ColumnsConfig(seed=None),
        decision=decision,
        tradeoff=TradeoffConfig(points_per_halving=decision.points_per_halving),
        strategies=StrategiesConfig(),
        layers=LayersConfig(),
        title=f"Sweep {directory.name}",
    )
