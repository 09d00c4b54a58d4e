"""The torch module that a loop of one's own trains: its layers are counted, its weights kept."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from greensweep.energy import Phases
from greensweep.energy.phases import SETUP
from greensweep.errors import ConfigError, GreensweepError, ModelError, first_sentence
from greensweep.loops.calls import UNCALLED, Call, CallWatch, bare, call_on, device_of
from greensweep.loops.live_steps import PHASE, LiveSteps
from greensweep.messages import message_of
from greensweep.models.census import LayerCensus, count_modules, take_census
from greensweep.record.recorded_run import RecordedRun
from greensweep.record.result import CHECKPOINT_FILE, LAYER_ENERGY_FILE
from greensweep.runs.checkpoint import copy_weights, write_tensors
from greensweep.runs.layer_energy import shared_out, write_table
from greensweep.training.device import device_name
from greensweep.training.state import buffers_kept, python_state_kept

log = logging.getLogger(__name__)

# Of whose parameters each process holds a part: a forward pass waits for the others.
_SHARDED = {"FullyShardedDataParallel", "FSDPModule"}
_IS_SHARDED = "its parameters are shared out over processes, as by FSDP"


class Network(AbstractContextManager["Network"]):
    """A module while a loop, the block, trains it: counted, sampled, its weights kept.

    Args:
        directory: the run's own.
        example: what its layers are counted on at once: a tensor, a tuple of arguments, or keyword
            arguments by name; None waits until it is called.
        keep_weights: the run leaves `model.pt`.
        layer_energy: share the training energy out over layers.
    """

    def __init__(
        self,
        model: nn.Module,
        run: RecordedRun,
        phases: Phases,
        directory: Path,
        *,
        example: object = None,
        keep_weights: bool = False,
        layer_energy: bool = False,
    ) -> None:
        self._model = bare(model)
        self._run, self._phases, self._directory = run, phases, directory
        self._keeps_weights = keep_weights
        self._best: Mapping[str, Any] | None = None
        self._steps = LiveSteps(model, phases) if layer_energy else None
        self._watch: CallWatch | None = None
        self._is_counted = example is not None
        run.note(model=type(self._model).__name__)
        if example is not None:
            self._count(*([call] for call in _called_with(example, self._model)))
        if example is None or layer_energy:
            self._watch = CallWatch(model, self._follow)

    def _follow(self, module: nn.Module) -> None:
        """Sample the steps of the module that the loop calls, the whole or a part."""
        if self._steps is not None and self._watch is not None:
            if len(self._watch.calls) > 1:
                self._steps.give_up("its parts are called one by one")
            else:
                self._steps.follow(module)

    @property
    def known(self) -> Mapping[str, float | None]:
        """What a search may know of the network for good; nothing before it was counted."""
        names = ("parameters", "trainable_parameters", "flops") if self._is_counted else ()
        return {name: getattr(self._run.result, name) for name in names}

    def report(self) -> None:
        """Count the layers, once the module was called; it is afterwards as it was."""
        self.interrupt()
        if self._watch is not None and self._watch.calls:
            self._watch.end()
            if not self._is_counted:
                self._is_counted = True
                self._count(self._watch.calls.values())

    def interrupt(self) -> None:
        """What the loop does next is no training step."""
        if self._steps is not None:
            self._steps.interrupt()

    def keep_weights(self) -> None:
        """Keep the weights as they stand: they are the best so far."""
        if self._keeps_weights:
            with self._phases.phase("evaluation"), self._loses_no_run():
                self._best = copy_weights(self._model, into=self._best)

    def end(self, raised: BaseException | None) -> None:
        """Count and write what is left; of a block that failed, no more than what is known."""
        if raised is None:
            self.report()
        if self._watch is not None:
            self._watch.end()
            if not self._is_counted:
                self._note_size()
                if raised is None:
                    self._warn(self._watch.fault or UNCALLED)
        if self._steps is not None:
            self._steps.end()
            if raised is None:
                self._share_out(self._steps)
        failed_late = raised is not None and self._best is not None
        if self._keeps_weights and (raised is None or failed_late):
            self._write_weights()

    def _count(self, *attempts: Iterable[Call]) -> None:
        """Count the layers on the first calls on which the model does not fail."""
        fault: BaseException | None = None
        with self._phases.phase(SETUP):
            self._note_size()
            if _is_sharded(self._model):
                self._warn(_IS_SHARDED)
                return
            for calls in attempts:
                try:
                    census = _census(self._model, calls)
                except Exception as error:  # of the model's own code
                    fault = fault or error.__cause__ or error
                    continue
                self._run.note(
                    layers=census.layers, flops=census.flops, flops_left_out=census.flops_left_out
                )
                return
        if fault is not None:
            self._warn(fault)

    def _note_size(self) -> None:
        self._run.note(device=device_name(device_of(self._model)))
        if not any(map(is_lazy, self._model.parameters())):  # which have no shape yet
            self._run.note(**count_modules(self._model))

    def _warn(self, fault: BaseException | str) -> None:
        reason = first_sentence(fault) if isinstance(fault, BaseException) else fault
        way_out = "" if reason == _IS_SHARDED else ": give one of its inputs, example=inputs"
        name = type(self._model).__name__
        log.warning("The layers of %s are not counted (%s)%s.", name, reason, way_out)

    def _share_out(self, steps: LiveSteps) -> None:
        """Share the training energy out by layer, with a warning where that cannot be done.

        Of what sampling cost, the time by which watched steps were longer is training energy, at
        its mean power.
        """
        file = self._directory / LAYER_ENERGY_FILE
        trained, apart = self._phases.of("training"), self._phases.of(PHASE)
        try:
            times, longer_seconds = steps.times()
            write_table(times, trained.joules, file)
        except (GreensweepError, OSError) as error:
            name = type(self._model).__name__
            log.warning(
                "The training energy of %s is not shared out by layer: %s.",
                name,
                message_of(error, ""),
            )
            return
        self._run.files.append(file)
        cost = None
        if trained.joules is not None and trained.seconds > 0:
            cost = (apart.joules or 0.0) + longer_seconds / trained.seconds * trained.joules
        self._run.note(
            layer_energy=shared_out(times, trained.joules, cost, apart.seconds + longer_seconds)
        )

    def _write_weights(self) -> None:
        path = self._directory / CHECKPOINT_FILE
        with self._loses_no_run():
            write_tensors(self._best or copy_weights(self._model, into=None), path)
            self._run.note(checkpoint=str(path))

    def __exit__(self, kind: object, raised: BaseException | None, trace: object) -> None:
        self.end(raised)

    @contextmanager
    def _loses_no_run(self) -> Iterator[None]:
        """Keep no weights where they cannot be kept, with a warning."""
        try:
            yield
        except (OSError, ModelError) as error:
            self._keeps_weights = False
            log.warning("The weights are not kept: %s.", message_of(error, ""))


class _AsCalled(nn.Module):
    """A model whose forward pass is the calls that a loop made."""

    def __init__(self, model: nn.Module, calls: Iterable[Call]) -> None:
        super().__init__()
        self.model = model
        self._calls = calls

    def forward(self, _: Tensor) -> None:
        for call in self._calls:
            call()


def _is_sharded(model: nn.Module) -> bool:
    kinds = {base.__name__ for module in model.modules() for base in type(module).__mro__}
    return bool(kinds & _SHARDED)


def _census(model: nn.Module, calls: Iterable[Call]) -> LayerCensus:
    with buffers_kept(model, device_of(model)), python_state_kept(model):
        return take_census(_AsCalled(model, list(calls)), torch.zeros(1))


def _called_with(example: Any, model: nn.Module) -> list[Call]:
    """Return a model's call with the first of the inputs that a user gives, and with all.

    Raises:
        ConfigError: there is no tensor among them.
    """
    kwargs = example if isinstance(example, Mapping) else {}
    args = () if kwargs else example if isinstance(example, tuple) else (example,)
    device = device_of(model)
    try:
        return [call_on(model, args, kwargs, to=device, cut=cut) for cut in (True, False)]
    except ValueError as error:
        raise ConfigError(
            "example must be inputs of the model, a tensor, a tuple of arguments or keyword "
            f"arguments by name, got {type(example).__name__}"
        ) from error
