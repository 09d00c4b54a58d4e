"""Whose a kernel's time is, in traces as PyTorch's profiler writes them on a machine with a GPU.

No GPU is needed: the traces are made up, of what the profiler tells on one: operators with the
number of the next node of the backward graph, gradients on a thread of their own with the number
of their node, and kernels that run on a stream later than they were launched.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from greensweep.training.attribution import CALL, FORWARD, NODE, STEP, Layer, StepTrace
from greensweep.training.layer_time import LayerTimes, mean_times
from greensweep.training.traces import read_trace

MAIN, BACKWARD = 100, 101
CALLS = [Layer(""), Layer("conv"), Layer("conv", "conv"), Layer("head"), Layer("head", "linear")]


class Recording:
    """A trace in the making. What begins or ends on the CPU does so 1 µs after what was before."""

    def __init__(self, first_node: int = 0, *, annotated: bool = False) -> None:
        self.events: list[dict[str, Any]] = []
        self.now = 0.0
        self.free = {7: 0.0, 8: 0.0}  # when each stream has done its work
        self.node = first_node
        self.annotated = annotated
        self.thread = MAIN
        self.running: list[int] = []

    @contextmanager
    def host(self, name: str, category: str = "cpu_op", node: int | None = None) -> Iterator[None]:
        arguments = {"External id": len(self.events) + 1}
        if node is not None:
            arguments["Sequence number"] = node
        event = self.add(category, name, self.thread, self.now, 0.0, arguments)
        self.running.append(arguments["External id"])
        self.now += 1
        yield
        self.running.pop()
        self.now += 1
        event["dur"] = self.now - event["ts"]

    @contextmanager
    def differentiable(self, name: str, nodes: int = 1) -> Iterator[None]:
        """An operator that makes nodes of the backward graph."""
        with self.host(name, node=self.node):
            yield
        self.node += nodes

    @contextmanager
    def call(self, number: int, *, is_layer: bool) -> Iterator[None]:
        if not self.annotated:
            yield
            return
        with self.host(f"{CALL}{number}", "user_annotation"):
            self.note()
            yield
            if is_layer:
                self.note()

    def note(self) -> None:
        if self.annotated:
            with self.host(NODE, "user_annotation"), self.host("aten::detach", node=self.node):
                pass

    def gradient(self, name: str, node: int | None, *kernels: float) -> None:
        with (
            self.host(f"autograd::engine::evaluate_function: {name}", node=node),
            self.host(name, node=node),
            self.host("aten::of_gradient"),
        ):
            for microseconds in kernels:
                self.kernel(microseconds)

    def kernel(
        self,
        microseconds: float,
        category: str = "kernel",
        *,
        stream: int = 7,
        by_operator: bool = True,
    ) -> None:
        """Launch what runs on the GPU 5 µs later, or when its stream has done its work."""
        number = {"External id": self.running[-1]} if by_operator else {}
        shared = number | {"correlation": 1000 + len(self.events)}
        self.add("cuda_runtime", "cudaLaunchKernel", self.thread, self.now, 1.0, shared)
        self.now += 1
        start = max(self.now + 5, self.free[stream])
        self.add(category, "of_gpu", stream, start, microseconds, shared | {"stream": stream})
        self.free[stream] = start + microseconds

    def wait(self) -> None:
        self.now = max(self.now, *self.free.values())

    def add(
        self, category: str, name: str, thread: int, start: float, length: float, arguments: Any
    ) -> dict[str, Any]:
        event = {
            "ph": "X", "cat": category, "name": name, "pid": 0, "tid": thread,
            "ts": start, "dur": length, "args": arguments,
        }  # fmt: skip
        self.events.append(event)
        return event

    def read(self, folder: Path) -> StepTrace:
        path = folder / "trace.json"
        # Of the others that a trace has.
        others = [{"ph": "M", "name": "process_name"}, {"ph": "X", "cat": "Trace", "name": "all"}]
        span = {**self.events[0], "cat": "gpu_user_annotation", "tid": 7}
        path.write_text(json.dumps({"traceEvents": [*others, span, *self.events]}))
        return StepTrace(read_trace(path))


def record(first_node: int = 0, *, annotated: bool = False) -> Recording:
    """A step of a convolution, an addition and a linear layer; 1000 µs for all kernels."""
    step = Recording(first_node, annotated=annotated)
    with step.host(STEP, "user_annotation"):
        with step.host("aten::copy_"):
            step.kernel(30, "gpu_memcpy")
        with step.host("aten::sub", node=step.node):
            step.kernel(20)
        with step.host(FORWARD, "user_annotation"):
            with step.call(0, is_layer=False):
                with (
                    step.call(1, is_layer=False),
                    step.call(2, is_layer=True),
                    step.differentiable("aten::conv2d"),
                    step.host("aten::cudnn"),
                ):
                    step.kernel(10, "gpu_memset")
                    step.kernel(190)
                with step.differentiable("aten::add"):
                    step.kernel(40)
                with (
                    step.call(3, is_layer=False),
                    step.call(4, is_layer=True),
                    step.differentiable("aten::linear", nodes=2),
                ):
                    step.kernel(60)
            step.note()
        with step.differentiable("aten::cross_entropy_loss"):
            step.kernel(15)
        with step.host("Optimizer.zero_grad#Adam.zero_grad", "user_annotation"):
            step.kernel(5, "gpu_memset")
        step.thread = BACKWARD
        step.gradient("LossBackward", first_node + 4, 25)
        step.gradient("AddmmBackward", first_node + 3, 70, 50)
        step.gradient("torch::autograd::AccumulateGrad", None, 35)
        step.gradient("TBackward", first_node + 2)
        step.gradient("AddBackward", first_node + 1)
        step.gradient("ConvolutionBackward", first_node, 350)
        step.thread = MAIN
        optimizing = step.host("Optimizer.step#Adam.step", "user_annotation")
        with optimizing, step.host("aten::_fused_adam_"):
            step.kernel(100)
        step.wait()
    return step


def microseconds(times: LayerTimes) -> dict[str, float]:
    return {name: round(1e6 * seconds, 6) for name, seconds in times.by_kind().items()}


def test_kernel_time_is_that_of_the_layer_whose_operator_or_gradient_launched_it(
    tmp_path: Path,
) -> None:
    trace = record(annotated=True).read(tmp_path)
    labels = trace.label(CALLS)

    spent = trace.device_seconds(labels)

    assert labels.calls == {("conv", "conv"): 1, ("head", "linear"): 1}
    assert {key: round(1e6 * seconds) for key, seconds in spent.items()} == {
        ("data", False): 50,
        (("conv", "conv"), False): 200,
        ("other", False): 40,
        (("head", "linear"), False): 60,
        ("loss", False): 15,
        ("optimizer", False): 105,
        ("loss", True): 25,
        (("head", "linear"), True): 120,
        ("other", True): 35,
        (("conv", "conv"), True): 350,
    }


def test_a_step_without_annotations_has_the_labels_of_one_with_the_same_operators(
    tmp_path: Path,
) -> None:
    annotated, plain = record(annotated=True).read(tmp_path), record(500).read(tmp_path)

    assert plain.operators == annotated.operators
    labels = annotated.label(CALLS)
    assert plain.device_seconds(labels) == pytest.approx(annotated.device_seconds(labels))

    other = Recording()
    with (
        other.host(STEP, "user_annotation"),
        other.host(FORWARD, "user_annotation"),
        other.differentiable("aten::conv2d"),
    ):
        pass
    assert other.read(tmp_path).operators != annotated.operators


def test_launch_is_what_a_plain_step_takes_beyond_its_kernels(tmp_path: Path) -> None:
    trace = record(annotated=True).read(tmp_path)
    labels = trace.label(CALLS)
    sample = trace, labels

    times = mean_times([sample, sample], 1.3e-3, on_gpu=True)

    assert microseconds(times) == {
        "conv": 550, "linear": 180, "data": 50, "loss": 40, "optimizer": 105, "launch": 300,
        "other": 75,
    }  # fmt: skip
    assert sum(times.by_kind().values()) == pytest.approx(times.plain_step_seconds)
    assert (times.steps, times.key) == (2, "kernel_time")
    assert times.step_seconds == trace.seconds > 1e-3
    # Steps that were faster unwatched than their kernels took leave nothing to wait for.
    assert mean_times([sample], 0.9e-3, on_gpu=True).rest["launch"] == 0.0


def test_kernels_that_overlap_share_the_time_in_which_they_ran(tmp_path: Path) -> None:
    step = Recording(annotated=True)
    with step.host(STEP, "user_annotation"):
        forward = step.host(FORWARD, "user_annotation")
        with forward, step.call(2, is_layer=True), step.differentiable("aten::conv2d"):
            step.kernel(300)
        with step.host("aten::loss"):
            step.kernel(100, stream=8)
        step.wait()
    trace = step.read(tmp_path)

    spent = trace.device_seconds(trace.label(CALLS))

    # the second ran within the first
    assert spent == pytest.approx({(("conv", "conv"), False): 225e-6, ("loss", False): 75e-6})


def test_a_kernel_that_no_operator_launched_is_its_cuda_calls(tmp_path: Path) -> None:
    step = Recording(annotated=True)
    with step.host(STEP, "user_annotation"):
        with step.host(FORWARD, "user_annotation"), step.call(2, is_layer=True):
            step.kernel(80, by_operator=False)
            with step.differentiable("aten::conv2d"):
                pass
        step.wait()
    trace = step.read(tmp_path)

    assert trace.device_seconds(trace.label(CALLS)) == pytest.approx(
        {(("conv", "conv"), False): 80e-6}
    )


def test_a_trace_without_kernels_gives_no_time(tmp_path: Path) -> None:
    step = Recording(annotated=True)
    with step.host(STEP, "user_annotation"), step.host(FORWARD, "user_annotation"):
        pass
    trace = step.read(tmp_path)

    assert trace.device_seconds(trace.label([])) == {}
