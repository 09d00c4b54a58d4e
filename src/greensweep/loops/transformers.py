"""Hugging Face's `Trainer` as a recorded run: `callbacks=[GreensweepTrainerCallback()]`."""

import math
from typing import Any, Unpack

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from greensweep.loops.hooked import HookedRun, RecordsRun, RunOptions

# What an evaluation tells of itself beside its metrics.
_NO_METRIC = ("epoch", "_runtime", "_per_second", "_preparation_time", "_compilation_time")


class GreensweepTrainerCallback(RecordsRun, TrainerCallback):
    """Record what a `Trainer` does as a run, which is the trial in a sweep.

    Evaluations have a phase of their own, and what lies beside training and them, such as
    checkpoints, has one. Each evaluation is reported, by the names of its metrics; a trainer that
    evaluates nothing reports its loss by epoch. `evaluate` and `predict` after the training add
    their metrics to the run; of their energy the trainer gives no notice before they end, so it
    is not metered. Inside of `with greensweep.run(…)` the callback reports to that one. In several
    processes the first one records.

    Args:
        options: as of `greensweep.run`. Left out, `metric` and `direction` are
            `metric_for_best_model` and `greater_is_better`, `params` the training arguments.

    Raises:
        ConfigError: an option does not exist or is out of its range.
        TrialEnded: out of `train`, when the search prunes or stops the trial: let it through.
    """

    def __init__(self, **options: Unpack[RunOptions]) -> None:
        self._run = HookedRun(options)
        self._figures: dict[str, float] | None = None  # to be reported
        self._loss: dict[str, float] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        model = kwargs["model"]
        found = {"name": type(model).__name__, "model": model, "seed": args.seed}
        self._run.begin(**found, params=args.to_sanitized_dict(), **_selected_by(args))
        self._figures, self._loss = None, {}

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._report(args, state)
        self._run.enter("training")

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if control.should_evaluate:
            self._run.enter("evaluation")
        elif control.should_save:
            self._run.enter("other")

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.on_step_end(args, state, control)
        if args.eval_strategy == "no":
            self._figures = {}

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if "loss" in kwargs["logs"]:
            self._loss = {"train_loss": kwargs["logs"]["loss"]}

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._run.enter("evaluation")

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._run.is_open:
            # One evaluation may be of several data sets, each with a name of its own.
            self._figures = {**(self._figures or {}), **_numbers(kwargs["metrics"])}
            self._run.enter("other")
        else:
            self._run.add(_numbers(kwargs["metrics"]))

    def on_predict(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._run.add(_numbers(kwargs["metrics"]))

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._run.enter("other")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._report(args, state)
        self._run.end()

    def _report(self, args: TrainingArguments, state: TrainerState) -> None:
        """Report what has been evaluated, once its checkpoint is saved."""
        if self._figures is None:
            return
        figures, self._figures = {**self._figures, **self._loss}, None
        epochs = state.num_train_epochs
        if args.eval_strategy == "steps":
            epochs = math.ceil(state.max_steps / state.eval_steps)
        self._run.report(None, epochs, figures)


def _numbers(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not name.endswith(_NO_METRIC)}


def _selected_by(args: TrainingArguments) -> dict[str, Any]:
    """Return the metric by which the trainer keeps its best model, and its direction."""
    if args.metric_for_best_model is None or args.greater_is_better is None:
        return {}
    direction = "maximize" if args.greater_is_better else "minimize"
    return {"metric": args.metric_for_best_model, "direction": direction}
