"""The options of `hydra/sweeper=greensweep`, where Hydra configures sweepers: `hydra.sweeper`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from omegaconf import MISSING

from greensweep.config.groups import Group
from greensweep.config.options import option
from greensweep.config.schema_energy import EnergyConfig


@dataclass
class BudgetConfig:
    """What all trials together, finished or not, may cost; whichever runs out first."""

    joules: float | None = option(None, doc="gross energy, joules", above=0, example=50000)
    kwh: float | None = option(None, doc="gross energy, kilowatt-hours", above=0, example=0.1)
    hours: float | None = option(None, doc="time in which trials run, hours", above=0, example=2)
    emissions_kg: float | None = option(
        None, doc="emissions, kg CO2e, on the declared grid", above=0, example=0.05
    )


@dataclass
class StopConfig:
    """When more trials are not worth their energy."""

    min_gain_per_kilojoule: float | None = option(
        None,
        doc="end when a further kilojoule is expected to gain less, in the objective's own unit: "
        "accuracy from 0 to 1, RMSE in that of what is learnt",
        above=0,
        example=0.001,
    )
    min_gain_per_kg_co2e: float | None = option(
        None, doc="the same for a further kg CO2e", above=0, example=1
    )
    min_finished: int = option(10, doc="finished trials before the rule is asked", at_least=3)


@dataclass
class PruningConfig:
    """How soon and how surely a trial is given up."""

    min_finished: int = option(5, doc="finished trials before any is pruned", at_least=1)
    grace_epochs: int = option(1, doc="epochs that every trial may run", at_least=0)
    quantile: float = option(
        0.9,
        doc="pareto: quantile of what finished trials still gained that a trial is credited with",
        at_least=0,
        at_most=1,
    )
    percentile: float = option(
        25.0, doc="percentile: share of trials, in percent, that go on", above=0, below=100
    )
    reduction_factor: int = option(
        3, doc="successive_halving, hyperband: one in so many goes on", at_least=2
    )


# `Any` below, since a dict below Hydra's struct flag takes no names that it does not have yet.
def _is_mapping(given: Any) -> bool:
    return given is None or isinstance(given, dict)


@dataclass
class RayConfig:
    """`hydra.sweeper.executor=ray`: each trial is a task of a Ray cluster."""

    address: str | None = option(
        None, doc="of the cluster; auto is the one that runs here; null starts one", example="auto"
    )
    num_cpus: float = option(1.0, doc="CPUs of each trial, as Ray counts them", at_least=0)
    resources: Any = option(
        None,
        doc="of the cluster's own kinds, which each trial takes",
        must=("amounts by name", _is_mapping),
        example="'{tpu: 1}'",
    )
    runtime_env: Any = option(
        None,
        doc="Ray's runtime environment, beside the code that is sent anyway",
        must=("a mapping of Ray's options", _is_mapping),
        example="'{pip: [einops]}'",
    )


@dataclass
class SlurmConfig:
    """`hydra.sweeper.executor=slurm`: each worker is a job, which takes trials while it has time.

    Its options are named as in Hydra's submitit launcher.
    """

    partition: str | None = option(None, doc="that jobs go to; null is the cluster's default")
    account: str | None = option(None, doc="that jobs are charged to; null is your default")
    qos: str | None = option(None, doc="quality of service")
    timeout_min: int = option(60, doc="time limit of a job, minutes", at_least=1)
    signal_delay_s: int = option(
        120,
        doc="so long before its limit a job ends its trial after the running epoch, seconds",
        at_least=1,
    )
    cpus_per_task: int | None = option(None, doc="CPUs of each worker", at_least=1)
    mem_gb: float | None = option(None, doc="memory of each worker, GB", above=0)
    setup: list[str] = option(
        list, doc="shell commands before the worker starts", example="'[module load cuda]'"
    )
    additional_parameters: Any = option(
        None,
        doc="any other option of sbatch by its name",
        must=("options by name", _is_mapping),
        example="'{constraint: a100}'",
    )

    def faults(self, prefix: str) -> Iterator[str]:
        """Yield what is wrong with options together."""
        if self.signal_delay_s >= 60 * self.timeout_min:
            yield (
                f"{prefix}signal_delay_s must be less than a job's time, {self.timeout_min} min, "
                f"got {self.signal_delay_s} s: set {prefix}timeout_min to more"
            )


@dataclass
class SamplerConfig(Group):
    """What the samplers of our own have in common."""

    _target_: str = MISSING
    seed: int | None = option(None, doc="hydra.sweeper.seed counts, where it is set")


@dataclass
class AutoSamplerConfig(SamplerConfig, choice="auto"):
    """`hydra/sweeper/sampler=auto`: `ei_per_joule` for one objective, `scaled_tpe` for several."""

    _target_: str = "auto"


@dataclass
class ScaledTpeConfig(SamplerConfig, choice="scaled_tpe"):
    """`hydra/sweeper/sampler=scaled_tpe`: TPE that looks for wide ranges in their logarithm."""

    _target_: str = "greensweep.search.samplers.ScaledTPESampler"
    n_startup_trials: int = option(4, doc="trials before the model of the others is asked")
    log_decades: float | None = option(
        3.0,
        doc="positive ranges that span so many powers of ten are searched in their logarithm; "
        "null leaves them as the space has them",
    )
    even_start: bool = option(True, doc="spread the first trials evenly, instead of at random")


@dataclass
class EiPerJouleConfig(ScaledTpeConfig, choice="ei_per_joule"):
    """`hydra/sweeper/sampler=ei_per_joule`: expected improvement per predicted joule."""

    _target_: str = "greensweep.search.samplers.ExpectedImprovementPerJouleSampler"
    cost_exponent: float = option(
        1.0, doc="1 divides the improvement by the predicted joules, 0 leaves them out"
    )


@dataclass
class PaperGpConfig(SamplerConfig, choice="paper_gp"):
    """`hydra/sweeper/sampler=paper_gp`: the Bayesian search of Yarally et al. (2023)."""

    _target_: str = "greensweep.search.samplers.PaperGpSampler"


def _names_a_folder(name: str) -> bool:
    return bool(name.strip(". ")) and not {"/", "\\"} & {*name}


def _is_energy(given: Any) -> bool:
    return given is None or isinstance(given, dict | EnergyConfig)


def _are_points(given: Any) -> bool:
    listed = isinstance(given, list) and all(isinstance(each, dict) for each in given)
    return listed or given in (None, "present")


@dataclass
class SweeperConfig:
    _target_: str = "hydra_plugins.greensweep_sweeper.greensweep_sweeper.GreensweepSweeper"
    # Hydra 1.3 else makes an object of each option that has a target: of the sampler.
    _recursive_: bool = False
    defaults: list[Any] = field(default_factory=lambda: [{"sampler": "auto"}])
    sampler: Any = MISSING
    params: dict[str, Any] | None = option(None, doc="search space, in Hydra's sweep syntax")
    direction: Any = option(
        None,
        doc="minimize or maximize; a list for several objectives; null is that of the metric, "
        "where its name tells it, else minimize",
        example="maximize",
    )
    metric: str | None = option(
        None,
        doc="in a program of one's own: which reported metric is the objective, or the first of "
        "them; null is accuracy where it reports that, else the first that it does",
        example="val_loss",
    )
    n_trials: int = option(20, doc="trials in all, those of earlier commands included", at_least=1)
    n_workers: Any = option(
        1,
        doc="trials at a time; auto: one a GPU, else one a core pair",
        must=("auto or a whole number", lambda given: given == "auto" or type(given) is int),
        at_least=1,
        largest=1024,
    )
    gpus_per_worker: int | None = option(
        None, doc="GPUs of each worker; null is one where there are any", at_least=0, largest=1024
    )
    workers_per_gpu: int | None = option(
        None, doc="workers that may share a GPU, most", at_least=1, largest=1024
    )
    executor: Literal["local", "ray", "slurm"] = option(
        "local",
        doc="where trials run: in processes of this machine, as tasks of a Ray cluster, or in jobs "
        "of Slurm",
        example="ray",
    )
    ray: RayConfig = option(RayConfig, doc="the cluster, and what a trial takes of it")
    slurm: SlurmConfig = option(SlurmConfig, doc="the jobs, one a worker")
    check_nodes: bool = option(
        True, doc="send one short probe to each kind of node of a cluster before the first trial"
    )
    seed: int | None = option(None, doc="seed of the search; null draws one", at_least=0, example=0)
    study_name: str = option(
        "greensweep",
        doc="name of the study",
        must=("the name of one folder, not empty and without a slash", _names_a_folder),
        example="first",
    )
    storage: str | None = option(
        None,
        doc="any storage URL that Optuna takes, or FILE.log, its journal; null keeps optuna.db in "
        "the sweep's folder, and with executor=slurm journal.log",
    )
    max_failure_rate: float = option(
        1.0,
        doc="end when a larger share of the trials failed; our own runs end a sweep where the "
        "first three failed alike, too",
        at_least=0,
        at_most=1,
    )
    pruner: Literal[
        "auto", "none", "pareto", "median", "percentile", "successive_halving", "hyperband"
    ] = option("auto", doc="what gives trials up; auto is pareto for two objectives, else median")
    pruning: PruningConfig = option(PruningConfig, doc="how soon and how surely")
    budget: BudgetConfig = option(BudgetConfig, doc="what the sweep may cost")
    stop: StopConfig = option(StopConfig, doc="when more is not worth it")
    # Any, since a dict below Hydra's struct flag takes no names that it does not have yet.
    constraints: Any = option(
        None,
        doc="max_NAME or min_NAME to a bound: max_joules_per_run, min_accuracy, max_seconds, "
        "max_latency, max_size; what can only break one ends at once",
        must=("bounds by name", lambda given: given is None or isinstance(given, dict)),
        example="'{max_joules_per_run: 500}'",
    )
    price_per_kilojoule: float = option(
        0.0, doc="what a kilojoule makes the objective, a metric less a price, worse by", at_least=0
    )
    enqueue: Any = option(
        "present",
        doc="points to start from: present, the values that a single run would have where they "
        "are in the space, or a list of {option: value}; null leaves all to the sampler",
        must=("present, or a list of points", _are_points),
        example="'[{optimizer.learning_rate: 0.01}]'",
    )
    fidelities: list[dict[str, Any]] = option(
        list,
        doc="cheaper ways to train, in which points are tried first: a list of {option: value}",
    )
    points_per_halving: float = option(
        1.0,
        doc="of programs of one's own, what decision.points_per_halving is of our own runs: points "
        "of the metric that half the energy may cost",
        at_least=0,
    )
    racing: bool = option(
        False, doc="end a trial's repeats once a Welch test says they fall short of the best's"
    )
    preview: bool = option(
        False, doc="train two epochs of some points, print what the sweep will cost, and stop"
    )
    confirm_hours: float | None = option(
        None,
        doc="forecast our own runs before the first trial, and refuse a sweep that would take "
        "longer, hours",
        above=0,
        example=24,
    )
    confirmed: bool = option(False, doc="run it all the same")
    preview_overrides: list[str] = option(list, doc="what the runs of a preview set besides")
    changeable: list[str] = option(
        list, doc="options, or groups of them, that may differ between commands on one study"
    )
    extend: bool = option(False, doc="go on although the space or the objective has changed")
    fresh: bool = option(False, doc="start anew; an earlier study of this name is put aside")
    made_from: list[str] = option(
        list,
        doc="files and folders; where one of them, or the program's configuration, has changed "
        "since the study began, start anew as with fresh",
    )
    meter: Literal["trials", "search", "nothing"] = option(
        "trials",
        doc="trials: measure each trial, and the search between them. search: the program "
        "measures its runs itself",
    )
    energy: Any = option(
        None,
        doc="the meter: an energy group of greensweep, or a mapping of its options; null is "
        "CodeCarbon's default",
        must=("a mapping of a meter's options", _is_energy),
        example="'{country: NLD}'",
    )
