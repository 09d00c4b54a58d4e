"""Whose time it was: the layer of each operator, gradient and kernel of a traced training step."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from greensweep.models.layer_types import class_type
from greensweep.training.traces import DEVICE_KINDS, HOST_KINDS, LAUNCH_KINDS, Event

# The annotations that a step is traced with.
STEP = "greensweep: step"
FORWARD = "greensweep: forward"
CALL = "greensweep: call "  # and the call's place in the list of calls
NODE = "greensweep: node"  # around an operator that tells how many nodes the graph has

_place = attrgetter("thread", "start_ns")

# What belongs to no layer.
REST = DATA, LOSS, OPTIMIZER, OTHER = "data", "loss", "optimizer", "other"

# As torch names them.
_GRADIENT = "autograd::engine::evaluate_function: "
_OPTIMIZER = "Optimizer."
_UPDATE = "Optimizer.step"


class Layer(NamedTuple):
    """What is called: the dotted path of the module in whose forward, and the layer type.

    The type is empty where it is no layer: a module that calls others, say.
    """

    path: str
    kind: str = ""


Owner = Layer | str
"""A layer, or a name of what belongs to none."""


@dataclass
class Label:
    """Whose an operator of the forward pass is.

    Attributes:
        owner: of its own time.
        before: of the time since the operator before it.
        is_parted: it calls layers itself, such as a custom autograd function: its time is theirs.
    """

    owner: Owner
    before: Owner
    is_parted: bool = False


@dataclass(frozen=True)
class Labels:
    """Whose a forward pass is, part by part.

    Attributes:
        operators: in their order.
        nodes: of the backward graph, by their number from the forward pass's first, those of
            layers.
        node_count: how many it makes; later ones are the loss's.
        calls: of each layer.
    """

    operators: Sequence[Label]
    nodes: Mapping[int, Layer]
    node_count: int
    calls: Mapping[Layer, int]


class Span(NamedTuple):
    """A stretch of a thread's time, and whose it was."""

    owner: Owner
    is_backward: bool
    thread: int
    start_ns: int
    end_ns: int


Seconds = dict[tuple[Owner, bool], float]
"""By owner, and whether it was in the backward pass."""


class StepTrace:
    """One traced training step.

    Attributes:
        seconds: its length.
        has_backward: gradients were computed in it.
        has_update: an optimizer of torch's took a step in it.
        operators: names of what the forward pass called on its thread, also within others, in
            order, and how many nodes of the backward graph there were before each: steps that
            share them share labels.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        """Take a trace apart.

        Args:
            events: in order of start; with the annotations `STEP` and, within it, `FORWARD`.
        """
        self._events = list(events)
        host = [event for event in self._events if event.kind in HOST_KINDS]
        self._step = next(event for event in host if event.name == STEP)
        self._forward = forward = next(event for event in host if event.name == FORWARD)
        gradients = [event for event in host if event.name.startswith(_GRADIENT)]
        self._gradients = [event for event in gradients if event.start_ns >= forward.end_ns]
        self._backward_start_ns = min(
            (event.start_ns for event in self._gradients), default=self._step.end_ns
        )
        own = [event for event in host if event.thread == forward.thread]
        self._in_forward = list(_nested(event for event in own if _begins_in(event, forward)))
        self._in_loss = [
            event for event in own if forward.end_ns <= event.start_ns < self._backward_start_ns
        ]
        self._operators = [
            event
            for event, around in self._in_forward
            if event.kind == "cpu_op" and not _is_note(around)
        ]
        numbers = (event.sequence for event in self._operators if event.sequence is not None)
        self._first_node = next(numbers, 0)
        self.operators = tuple((event.name, self._node(event)) for event in self._operators)
        self.seconds = (self._step.end_ns - self._step.start_ns) / 1e9
        self.has_backward = bool(self._gradients)
        self.has_update = any(_updates(event, forward) for event in host)

    def _node(self, event: Event) -> int | None:
        """Return the number that it has of a node, from the forward pass's first."""
        return None if event.sequence is None else event.sequence - self._first_node

    def label(self, calls: Sequence[Layer]) -> Labels:
        """Tell whose the forward pass is, by the annotations `CALL` and `NODE` in it.

        An operator that calls layers itself, such as a custom autograd function, has a gradient of
        its own, and they have none.
        """
        called = {f"{CALL}{number}": call for number, call in enumerate(calls)}
        labels: dict[Event, Label] = {}
        layers: list[tuple[Layer, Event]] = []
        parted: dict[int, Layer] = {}
        bounds: dict[str, list[int]] = {}
        for event, around in self._in_forward:
            within = [called[each.name] for each in around if each.name in called]
            node = self._node(event)
            if _is_note(around):
                if node is not None:
                    bounds.setdefault(around[-2].name, []).append(node)
            elif event.kind == "cpu_op":
                owner = within[-1] if within and within[-1].kind else OTHER
                labels[event] = Label(owner, owner)
            elif event.name in called and called[event.name].kind:
                layers.append((called[event.name], event))
                path = ""  # of the module in which the operator around it was called
                for each in around:
                    if each.name in called:
                        path = called[each.name].path
                    elif each in labels:
                        labels[each].is_parted = True
                        own = self._node(each)
                        if own is not None:
                            parted[own] = Layer(path, class_type(each.name))
        end_ns = self._forward.start_ns
        for operator, label in self._units(list(labels.values())):
            label.before = _most(layers, end_ns, operator.start_ns) or label.owner
            end_ns = operator.end_ns
        nodes = {
            node: layer
            for name, layer in called.items()
            if layer.kind and len(bounds.get(name, [])) == 2
            for node in range(*bounds[name])
        }
        return Labels(
            operators=list(labels.values()),
            nodes=nodes | parted,
            node_count=bounds.get(FORWARD, [0])[-1],
            calls=Counter([*(layer for layer, _ in layers), *parted.values()]),
        )

    def host_seconds(self, labels: Labels) -> Seconds:
        """Return the step's time on the CPU: what is between two operators is the second one's."""
        seconds: Seconds = defaultdict(float)
        for span in self._spans(labels):
            seconds[span.owner, span.is_backward] += (span.end_ns - span.start_ns) / 1e9
        return seconds

    def device_seconds(self, labels: Labels) -> Seconds:
        """Return how long the GPU worked, for whoever launched what it did.

        Where kernels overlap, all are shortened alike, so that the sum is the time in which any
        ran.
        """
        ran = [event for event in self._events if event.kind in DEVICE_KINDS]
        operators = {event.number: event for event in self._events if event.kind in HOST_KINDS}
        launches = {event.launch: event for event in self._events if event.kind in LAUNCH_KINDS}
        spans = sorted(self._spans(labels), key=_place)
        places = [_place(span) for span in spans]
        seconds: Seconds = defaultdict(float)
        for event in ran:
            launch = launches.get(event.launch)
            by = operators.get((launch or event).number) or launch
            key: tuple[Owner, bool] = (OTHER, False)
            if by is not None:
                span = spans[max(bisect_right(places, (by.thread, by.start_ns)) - 1, 0)]
                if span.thread == by.thread and by.start_ns < span.end_ns:
                    key = span.owner, span.is_backward
            seconds[key] += (event.end_ns - event.start_ns) / 1e9
        total = sum(seconds.values())
        return {key: each * _covered(ran) / total for key, each in seconds.items() if total > 0}

    def _spans(self, labels: Labels) -> Iterator[Span]:
        """Yield what the threads that compute did, each one's time without gaps."""
        step, forward = self._step, self._forward
        yield Span(DATA, False, forward.thread, step.start_ns, forward.start_ns)
        end_ns = forward.start_ns
        for operator, label in self._units(labels.operators):
            yield Span(label.before, False, forward.thread, end_ns, operator.start_ns)
            yield Span(label.owner, False, forward.thread, operator.start_ns, operator.end_ns)
            end_ns = operator.end_ns
        yield Span(OTHER, False, forward.thread, end_ns, forward.end_ns)
        end_ns = forward.end_ns
        for event in _outermost(self._in_loss):
            of = OPTIMIZER if event.name.startswith(_OPTIMIZER) else LOSS
            yield Span(of, False, forward.thread, end_ns, event.end_ns)
            end_ns = event.end_ns
        yield Span(LOSS, False, forward.thread, end_ns, self._backward_start_ns)
        ends_ns: dict[int, int] = {}
        for event in _outermost(self._gradients):
            node = self._node(event)
            owner: Owner = OTHER  # the keeping of a parameter's gradient has no number
            if node is not None:
                owner = LOSS if node >= labels.node_count else labels.nodes.get(node, OTHER)
            end_ns = ends_ns.get(event.thread, self._backward_start_ns)
            yield Span(owner, True, event.thread, end_ns, event.end_ns)
            ends_ns[event.thread] = event.end_ns
        end_ns = max(ends_ns.values(), default=self._backward_start_ns)
        yield Span(OPTIMIZER, False, forward.thread, end_ns, step.end_ns)

    def _units(self, labels: Sequence[Label]) -> Iterator[tuple[Event, Label]]:
        """Yield the operators that lie in no other but in parted ones, and their labels."""
        end_ns = 0
        for operator, label in zip(self._operators, labels, strict=True):
            if operator.start_ns >= end_ns and not label.is_parted:
                end_ns = operator.end_ns
                yield operator, label


def steps_of(events: Sequence[Event]) -> Iterator[StepTrace]:
    """Yield the steps of a trace, but for one that ended before its forward pass."""
    for step in events:
        if step.name == STEP and step.kind in HOST_KINDS:
            within = [event for event in events if _begins_in(event, step)]
            if any(event.name == FORWARD for event in within):
                yield StepTrace(within)


def steps_by_forward(events: Sequence[Event]) -> Iterator[StepTrace]:
    """Yield the steps of a trace without `STEP`, but for its first: the forward passes tell them.

    A step begins where the one before it ended: with the optimizer's update, or without one, as
    where gradients are accumulated, with the last gradient.
    """
    forwards = [e for e in events if e.name == FORWARD and e.kind in HOST_KINDS]
    nexts_ns = [*(each.start_ns for each in forwards[1:]), events[-1].end_ns if events else 0]
    ends_ns = [_step_end_ns(events, *each) for each in zip(forwards, nexts_ns, strict=False)]
    for forward, start_ns, end_ns in zip(forwards[1:], ends_ns, ends_ns[1:], strict=False):
        step = Event(STEP, "user_annotation", forward.thread, start_ns, end_ns)
        host = [e for e in events if e.kind not in DEVICE_KINDS and _begins_in(e, step)]
        launches = {e.launch for e in host if e.kind in LAUNCH_KINDS}
        # What a GPU runs it may run later.
        ran = [e for e in events if e.kind in DEVICE_KINDS and e.launch in launches]
        yield StepTrace([step, *host, *ran])


def _step_end_ns(events: Iterable[Event], forward: Event, before_ns: int) -> int:
    """Return where the step of a forward pass ends, at the latest at the next one."""
    updates = [e.end_ns for e in events if _updates(e, forward) and e.end_ns <= before_ns]
    gradients = [
        e.end_ns
        for e in events
        if e.name.startswith(_GRADIENT) and forward.end_ns <= e.start_ns < before_ns
    ]
    return max(updates or gradients, default=forward.end_ns)


def _updates(event: Event, forward: Event) -> bool:
    """Tell whether an event is the update that follows a forward pass, which may be within it."""
    return event.name.startswith(_UPDATE) and event.end_ns > forward.end_ns


def _begins_in(event: Event, other: Event) -> bool:
    return other.start_ns <= event.start_ns < other.end_ns


def _nested(events: Iterable[Event]) -> Iterator[tuple[Event, tuple[Event, ...]]]:
    """Yield one thread's events, each with those around it, the outermost first."""
    around: tuple[Event, ...] = ()
    for event in events:
        while around and around[-1].end_ns <= event.start_ns:
            around = around[:-1]
        yield event, around
        around = (*around, event)


def _is_note(around: tuple[Event, ...]) -> bool:
    return any(event.name == NODE for event in around)


def _outermost(events: Iterable[Event]) -> Iterator[Event]:
    """Yield the events that lie in no other of their thread."""
    ends_ns: dict[int, int] = {}
    for event in events:
        if event.start_ns >= ends_ns.get(event.thread, 0):
            ends_ns[event.thread] = event.end_ns
            yield event


def _most(layers: Iterable[tuple[Layer, Event]], start_ns: int, end_ns: int) -> Layer | None:
    """Return the layer in whose call lies more than half of a stretch of time, if there is one."""
    for layer, call in layers:
        shared_ns = min(call.end_ns, end_ns) - max(call.start_ns, start_ns)
        if 2 * shared_ns > end_ns - start_ns:
            return layer
    return None


def _covered(events: Iterable[Event]) -> float:
    """Return in how many seconds at least one of the events ran, given in order of start."""
    covered_ns = end_ns = 0
    for event in events:
        covered_ns += max(event.end_ns - max(event.start_ns, end_ns), 0)
        end_ns = max(end_ns, event.end_ns)
    return covered_ns / 1e9
