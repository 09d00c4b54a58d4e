"""Hugging Face's `Trainer` as a recorded run: `callbacks=[GreensweepTrainerCallback()]`."""

import inspect
import math
from typing import Any, Unpack

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from greensweep.loops.calls import Hook
from greensweep.loops.hooked import HookedRun, RecordsRun, RunOptions
from greensweep.loops.run import running

# What an evaluation tells of itself beside its metrics.
_NO_METRIC = ("epoch", "_runtime", "_per_second", "_preparation_time", "_compilation_time")


class GreensweepTrainerCallback(RecordsRun, TrainerCallback):
    """Record what a `Trainer` does as a run, which is the trial in a sweep.

    Evaluations have a phase of their own, and what lies beside training and them, such as
    checkpoints, has one. Each evaluation is reported, by the names of its metrics; a trainer that
    evaluates nothing reports its loss by epoch. `evaluate` and `predict` before and after the
    training belong to the run too, from their first batch on. Inside of `with greensweep.run(…)`
    the callback reports to that one. In several processes the first one records.

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
        self._trains = False
        self._hook: Any = None  # of the model

    def on_init_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.is_world_process_zero:
            self._watch(kwargs["model"], args)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        model = kwargs["model"]
        self._run.begin(**_found(model, args), model=model)
        self._figures, self._loss, self._trains = None, {}, True
        self._watch(model, args)  # which may be another one: `model_init` makes it

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
        if self._trains:
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
        self._trains = False

    def _watch(self, model: Any, args: TrainingArguments) -> None:
        """Meter an evaluation from the first call of its model: the trainer tells of none before.

        Only its own calls count: a model is called by others too.
        """

        def begin(*_: Any) -> None:
            phase = None if self._run.is_open else _evaluation_here()
            around = running()
            if phase is not None and (around is None or not around.is_in_named_phase):
                self._run.go_on(phase, **_found(model, args), model=type(model).__name__)

        if self._hook is not None:
            self._hook.remove()
        self._hook = model.register_forward_pre_hook(Hook(begin))

    def _report(self, args: TrainingArguments, state: TrainerState) -> None:
        """Report what has been evaluated, once its checkpoint is saved."""
        if self._figures is None:
            return
        figures, self._figures = {**self._figures, **self._loss}, None
        if state.global_step == 0:  # `eval_on_start`
            self._run.log(figures)
            return
        done, planned = state.epoch or 0.0, float(state.num_train_epochs)
        if args.eval_strategy == "steps":
            done, planned = (n / state.eval_steps for n in (state.global_step, state.max_steps))
        self._run.report(math.ceil(done), math.ceil(planned), figures)


def _numbers(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not name.endswith(_NO_METRIC)}


def _found(model: Any, args: TrainingArguments) -> dict[str, Any]:
    params = args.to_sanitized_dict()
    return {
        "name": type(model).__name__, "seed": args.seed, "params": params, **_selected_by(args),
    }  # fmt: skip


def _evaluation_here() -> str | None:
    """Return the phase of the `evaluate` or `predict` of a trainer that this is called in."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_name != "evaluation_loop":
        frame = frame.f_back
    if frame is None or frame.f_back is None:
        return None
    return "test" if frame.f_back.f_code.co_name == "predict" else "evaluation"


def _selected_by(args: TrainingArguments) -> dict[str, Any]:
    """Return the metric by which the trainer keeps its best model, and its direction."""
    if args.metric_for_best_model is None or args.greater_is_better is None:
        return {}
    direction = "maximize" if args.greater_is_better else "minimize"
    return {"metric": args.metric_for_best_model, "direction": direction}
