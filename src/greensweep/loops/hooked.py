"""A run that the hooks of a library begin and end: what the callbacks share."""

from contextlib import AbstractContextManager, ExitStack
from contextvars import Context, copy_context
from functools import partial
from pathlib import Path
from typing import Any, Literal

from greensweep.config.energy_options import EnergyOptions, energy_config
from greensweep.config.metrics import Direction
from greensweep.errors import StudyError
from greensweep.loops.live_run import Run
from greensweep.loops.run import again, run, running
from greensweep.record.left_open import end_left_open, end_with_program, ended


class RunOptions(EnergyOptions, total=False):
    """What a callback takes, as `greensweep.run` does; what it leaves out the library tells."""

    name: str
    model: object
    params: object
    dataset: str
    seed: int
    metric: str | None
    direction: Direction | None
    keep: Literal["last", "best"]
    keep_weights: bool
    layer_energy: bool
    example: object
    directory: str | Path | None
    mlflow: str | bool | None
    experiment: str
    energy: object


_OF_NETWORK = {"model", "example", "keep_weights", "layer_energy"}
_OF_RUNS = RunOptions.__annotations__.keys() - EnergyOptions.__annotations__.keys()


class RecordsRun:
    """What all callbacks show of their run."""

    _run: "HookedRun"

    @property
    def recorded(self) -> Run | None:
        """The run with its `.result`, `.joules` and `.directory`; None before it begins."""
        return self._run.latest


class HookedRun:
    """The run of a callback: the one that stands around the library's loop, else one of its own.

    Its own lives in a context of its own, since hooks cannot be blocks: if the library breaks off
    without a word, nothing of it is left in the program's. It then ends with the program's
    function in a sweep, with the next run, or with the program.

    Args:
        options: of `greensweep.run`, which win over what the library tells.

    Raises:
        ConfigError: an option does not exist or is out of its range.
    """

    def __init__(self, options: RunOptions) -> None:
        self._options = options
        meter: Any = {key: value for key, value in options.items() if key not in _OF_RUNS}
        energy_config(options.get("energy"), beside=_OF_RUNS, **meter)
        self._run: Run | None = None
        self._finished: Run | None = None
        self._stack: ExitStack | None = None
        self._context = Context()
        self._phase = ""
        self._done = 0  # epochs of earlier trainings in the run around

    @property
    def is_open(self) -> bool:
        return self._run is not None

    @property
    def epochs(self) -> int:
        """How many epochs, rounds or evaluations are reported."""
        return 0 if self._run is None else self._run.result.epochs

    @property
    def latest(self) -> Run | None:
        """The run that is open, else the one that finished last; None where there was none."""
        return self._run or self._finished

    def begin(self, **found: Any) -> None:
        """Begin the run of a training, in its set-up.

        Args:
            found: options of `greensweep.run` as the library tells them.
        """
        if self._stack is not None:
            self._break_off(None)
        self._run = None  # the one around an earlier training may be over
        if self._finished is not None and self._finished.result.epochs:
            self._finished = None  # what was evaluated before the training belongs to it
        self.go_on("setup", **found)
        self._done = self.epochs

    def go_on(self, phase: str, **found: Any) -> None:
        """Go on in a phase: with the run that is open, else with the one that finished last."""
        asked: Any = {**found, **self._options}
        if self._run is None:
            self._context, self._run = copy_context(), running()
        if self._run is None:
            if self._finished is None:
                end_left_open()
                self._open(run(**{"phase": phase, **asked}))
            elif self._finished.result.status == "finished":
                trained = self._finished.result.epochs > 0
                of_network = {} if trained else {n: asked[n] for n in _OF_NETWORK & asked.keys()}
                self._open(again(self._finished, phase, **of_network))
        self.enter(phase)

    def enter(self, phase: str) -> None:
        """Charge what follows to a phase."""
        if self._run is not None and phase != self._phase:
            self._phase = phase
            self._context.run(self._run.enter, phase)

    def report(self, epoch: int | None, epochs: int | None, metrics: dict[str, Any]) -> None:
        """Report what the training has come to, by the library's own names.

        Args:
            epoch: of this training; None is the next.
            epochs: that it will have.

        Raises:
            TrialEnded: the search ends the trial: the run has ended with it.
        """
        if self._run is not None:
            try:
                epoch, epochs = (each and each + self._done for each in (epoch, epochs))
                known = {**metrics, "epoch": epoch, "epochs": epochs}  # some log an epoch as well
                self._context.run(partial(self._run.report, **known))
            except BaseException as raised:
                self.end(raised)
                raise

    def log(self, metrics: dict[str, Any]) -> None:
        """Record figures that are of no epoch."""
        if self._run is not None:
            self._run.log(**metrics)

    def add(self, metrics: dict[str, Any]) -> None:
        """Record figures of what came before or after the training, and end with them."""
        if self._run is None and (around := running()) is not None:
            around.log(**metrics)  # in a phase of its own
            return
        if self._run is None and self._finished is not None:
            self.go_on("other")
        self.log(metrics)
        self.end()

    def end(self, raised: BaseException | None = None) -> None:
        """End the run, by an exception or well; the one around goes on with its own phase."""
        this, stack, self._run, self._stack = self._run, self._stack, None, None
        self._phase = ""
        if this is None:
            return
        if stack is None:
            this.enter()
            return
        ended(self._break_off)
        self._finished = this
        how = (None, None, None) if raised is None else (type(raised), raised, raised.__traceback__)
        self._context.run(stack.__exit__, *how)

    def _open(self, block: AbstractContextManager[Run]) -> None:
        self._stack = ExitStack()
        self._run = self._context.run(self._stack.enter_context, block)
        end_with_program(self._break_off)

    def _break_off(self, raised: BaseException | None) -> None:
        self.end(
            raised
            or StudyError(
                "the training broke off, of which its library told nothing: its log says why"
            )
        )
