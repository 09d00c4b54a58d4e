"""Kept weights: copied while a run trains, written to a file, read again, or begun from."""

import io
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from greensweep.config.metrics import Metric
from greensweep.errors import ConfigError, ModelError, describe, first_line, listed
from greensweep.files import write_whole
from greensweep.messages import message_of
from greensweep.models.torch_internals import persistent_buffers

log = logging.getLogger(__name__)


class KeptWeights:
    """The weights of the best epoch, or of the last, on the CPU.

    Args:
        metric: by which an epoch is better than another.

    Attributes:
        weights: to restore.
        best_epoch: the first of the best ones, from 1; 0 before any.

    Raises:
        ModelError: the weights cannot be kept and put back, which nothing was trained for yet.
    """

    def __init__(self, model: nn.Module, metric: Metric, *, keep_last: bool) -> None:
        self._model, self._metric, self._keep_last = model, metric, keep_last
        self._best: float | None = None
        self.best_epoch = 0
        self.weights: Mapping[str, Any] = copy_weights(model, into=None)
        self.restore()

    def keep(self, epoch: int, value: float | None) -> bool:
        """Keep the weights as they stand, where they are the better ones; return whether they are.

        Args:
            value: the metric after the epoch; None where it is undefined.
        """
        is_better = self._metric.is_better(value, self._best)
        if is_better:
            self._best, self.best_epoch = value, epoch
        if is_better or self._keep_last:
            self.weights = copy_weights(self._model, into=self.weights)
            return True
        return False

    def restore(self) -> None:
        """Put the kept weights back into the model."""
        restore_weights(self._model, self.weights)

    def state(self) -> dict[str, Any]:
        """Return what `resume` takes."""
        return {"weights": dict(self.weights), "best": self._best, "best_epoch": self.best_epoch}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that was kept."""
        self.weights = state["weights"]
        self._best, self.best_epoch = state["best"], state["best_epoch"]


def copy_weights(model: nn.Module, into: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a copy of the model's state on the CPU, in the memory of an earlier copy if given.

    That is its tensors, and what modules add to them by `get_extra_state`.

    Raises:
        ModelError: there is more in it than a checkpoint can hold, or it cannot be had. Where an
            earlier copy has that part, it stays, with a warning: the run is not lost.
    """
    try:
        state = model.state_dict()
    except Exception as error:
        raise ModelError(
            f"the model's state_dict() fails ({describe(error)}): correct its get_extra_state"
        ) from error
    earlier = into or {}
    return {name: _copied(name, value, earlier.get(name)) for name, value in state.items()}


def _copied(name: str, value: Any, earlier: Any) -> Any:
    if type(value) not in (Tensor, nn.Parameter):
        try:
            return _filed(name, value)
        except ModelError as error:
            if earlier is None:
                raise
            log.warning("An earlier state is kept: %s.", message_of(error, ""))
            return earlier
    # The scale of quantised numbers and the places of sparse ones are not in the numbers' memory.
    plain = value.layout is torch.strided and not value.is_quantized
    if plain and isinstance(earlier, Tensor) and earlier.shape == value.shape:
        return earlier.copy_(value)
    return value.detach().to("cpu", copy=True)


def _filed(name: str, value: Any) -> Any:
    """Return a value as it comes back from a file of which no code is run."""
    file = io.BytesIO()
    try:
        torch.save(value, file)
        file.seek(0)
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelError(
            f"the model's state {name} ({type(value).__name__}) holds Python objects, which no "
            "checkpoint keeps: let get_extra_state return tensors, numbers, texts, lists or dicts"
        ) from error


def restore_weights(model: nn.Module, weights: Mapping[str, Any]) -> None:
    """Give a model the state that was copied; its buffers get the shapes that they had then.

    Raises:
        ModelError: the model does not take it.
    """
    device = next((each.device for each in model.parameters()), torch.device("cpu"))
    for path, module in model.named_modules(remove_duplicate=False):
        for name, buffer in persistent_buffers(module).items():
            kept = weights.get(f"{path}.{name}" if path else name)
            there, then = (None if each is None else each.shape for each in (buffer, kept))
            if there != then:
                empty = None if kept is None else torch.empty_like(kept, device=device)
                setattr(module, name, empty)
    try:
        model.load_state_dict(weights)
    except Exception as error:
        # The first line names the class only.
        raise ModelError(
            f"the model does not take back its own state ({' '.join(str(error).split())}): correct "
            "its set_extra_state"
        ) from error


def write_tensors(values: Mapping[str, Any], path: Path) -> None:
    """Write a mapping of tensors and plain values, whole or not at all.

    Raises:
        OSError: the folder cannot be written to.
    """
    try:
        write_whole(path, partial(_save, dict(values)))
    except RuntimeError as error:  # torch's writer reports a full disk so
        raise OSError(f"cannot write {path}: {first_line(error)}") from error


def _save(weights: dict[str, Any], path: Path) -> None:
    with path.open("wb") as file:  # torch would write a path's name into the file
        torch.save(weights, file)


def load_weights(weights: Mapping[str, Any], path: Path, model: nn.Module) -> None:
    """Give a model all of its state, as `read_checkpoint` read it from `path`.

    Raises:
        ConfigError: it is no state_dict, or one of another model.
    """
    try:
        if lacking := model.state_dict().keys() - weights.keys():
            raise LookupError(f"it lacks {min(lacking)}")
        restore_weights(model, weights)
    except Exception as error:
        raise ConfigError(
            f"{path} does not hold weights of the model in its config.yaml ({describe(error)})"
        ) from error


def load_initial_weights(path: Path, model: nn.Module) -> tuple[str, ...]:
    """Give a network those tensors of a checkpoint that fit it; return the names of the others.

    A head of another number of classes keeps the weights that it was initialised with, and the log
    names it. No code in the file is run.

    Args:
        path: a state_dict, such as the model.pt of a run, or a mapping that holds one under
            `state_dict` or `model`, as many programs write it.

    Raises:
        ConfigError: as `read_checkpoint`; or not a tensor in it fits.
    """
    weights = _state_in(read_checkpoint(path, "training.from_checkpoint="))
    own = model.state_dict()
    fitting = {
        name: value
        for name, value in weights.items()
        if isinstance(own.get(name), Tensor) and own[name].shape == value.shape
    }
    if not any(own[name].is_floating_point() for name in fitting):
        raise ConfigError(
            f"training.from_checkpoint={path} holds no weights that fit this network: it has "
            f"{listed(sorted(weights)) or 'no tensors'}, and the network {listed(sorted(own))}"
        )
    model.load_state_dict(fitting, strict=False)
    others = tuple(name for name in own if name not in fitting)
    if others:
        log.warning(
            f"{path} does not hold {len(others)} of {len(own)} tensors of this network in their "
            f"shape, which keep their initial values: {listed(others)}."
        )
    return others


def _state_in(kept: Any) -> dict[str, Tensor]:
    """Return the tensors of a state_dict, also of one that lies in another mapping."""
    if not isinstance(kept, dict):
        return {}
    inner = (kept.get("state_dict"), kept.get("model"), kept)
    kept = next(each for each in inner if isinstance(each, dict))
    return {str(name): value for name, value in kept.items() if isinstance(value, Tensor)}


def read_checkpoint(path: Path, option: str = "") -> Any:
    """Read what `torch.save` wrote, on the CPU; no code in it is run.

    Args:
        option: that named the file, for the error, as "training.from_checkpoint=".

    Raises:
        ConfigError: no such file, or no checkpoint.
    """
    if not path.is_file():
        raise ConfigError(f"no checkpoint at {option}{path}: name the model.pt of a run")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ConfigError(f"{option}{path} cannot be read ({error.strerror}): free it") from error
    except Exception as error:  # of whichever format torch took the file for
        raise ConfigError(
            f"{option}{path} is no checkpoint, is damaged, or holds more than tensors, such as "
            "code, which is never run: name the model.pt of a run, or save model.state_dict() alone"
        ) from error
