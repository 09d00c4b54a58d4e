"""PyTorch as it is installed still has the private names that counting and keeping rest on."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from greensweep.models.torch_internals import (
    TorchDispatchMode,
    compiles_itself,
    drop_hook,
    is_compiled,
    of_tensors,
    persistent_buffers,
    profiler_runs,
)


def test_a_dispatch_mode_sees_the_operators_under_a_function() -> None:
    seen = []

    class Watching(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            seen.append(str(func.overloadpacket))
            return func(*args, **(kwargs or {}))

    with Watching():
        nn.functional.linear(torch.ones(2, 3), torch.ones(4, 3), torch.ones(4))
    assert "aten.addmm" in seen


def test_a_formula_may_look_at_the_tensors() -> None:
    @of_tensors
    def count(one: Tensor, *_: Any, **__: Any) -> int:
        return 1000 if one.is_complex() else 1

    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.mv: count}) as counter:
        matrix = torch.ones(2, 2, dtype=torch.complex64)
        matrix @ matrix[0]
    assert counter.get_total_flops() == 1000


def test_the_buffers_of_the_state_are_known_also_where_they_are_none() -> None:
    module = nn.Module()
    module.register_buffer("scale", torch.ones(2))
    module.register_buffer("unset", None)
    module.register_buffer("scratch", torch.ones(3), persistent=False)
    module.child = nn.BatchNorm1d(2)
    assert {name: each is None for name, each in persistent_buffers(module).items()} == {
        "scale": False,
        "unset": True,
    }


def test_a_compiled_network_is_told_from_the_one_that_it_was_made_of() -> None:
    network = nn.Linear(2, 2)
    assert is_compiled(torch.compile(network))
    assert not is_compiled(network)


def test_a_module_that_compiles_itself_is_told_from_one_that_does_not() -> None:
    network = nn.Linear(2, 2)
    assert not compiles_itself(network)
    network.compile()
    assert compiles_itself(network)


def test_a_hook_without_a_handle_is_removed_from_a_module() -> None:
    seen = []
    network = nn.Linear(2, 2)

    def watch(*inputs: Any) -> None:
        seen.append(inputs)

    network.register_forward_pre_hook(watch, with_kwargs=True)
    network.register_forward_hook(watch, always_call=True)
    drop_hook(network, watch)
    network(torch.ones(2))
    assert not seen


def test_a_profiler_that_records_is_known() -> None:
    assert not profiler_runs()
    with torch.profiler.profile():
        assert profiler_runs()
    assert not profiler_runs()
