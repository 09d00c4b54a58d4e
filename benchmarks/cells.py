"""The cells of NAS-Bench-101 with at most five vertices, as searched and as tables name them.

A cell is searched as ten edges and three operations, each a choice. Different choices may be the
same cell: what does not lie between input and output is pruned, and the order of the rest is of
no matter.
"""

from collections.abc import Mapping, Sequence
from hashlib import md5
from itertools import combinations, product

from optuna.distributions import BaseDistribution, CategoricalDistribution

VERTICES = 5
OPERATIONS = ("conv3x3", "conv1x1", "maxpool3x3")
EDGES = tuple(combinations(range(VERTICES), 2))
_INNER = range(1, VERTICES - 1)
_MOST_EDGES = 9  # NAS-Bench-101 trained no denser cells
_INPUT, _OUTPUT = -1, -2

Edge = tuple[int, int]
Choice = bool | str


def _edge_name(edge: Edge) -> str:
    return f"edge_{edge[0]}_{edge[1]}"


def _operation_name(vertex: int) -> str:
    return f"operation_{vertex}"


def space() -> dict[str, BaseDistribution]:
    """Return what is searched: an edge is there or not, and each inner vertex has an operation."""
    edges = {_edge_name(edge): CategoricalDistribution((False, True)) for edge in EDGES}
    operations = {_operation_name(each): CategoricalDistribution(OPERATIONS) for each in _INNER}
    return {**edges, **operations}


def all_choices() -> list[dict[str, Choice]]:
    """Return every point of the space."""
    searched = space()
    choices = [each.choices for each in searched.values()]  # type: ignore[attr-defined]
    return [dict(zip(searched, each, strict=True)) for each in product(*choices)]


def cell_of(choices: Mapping[str, Choice]) -> str | None:
    """Return the name of a cell, its `graph_hash`; None where no path leads through it."""
    edges = [edge for edge in EDGES if choices[_edge_name(edge)]]
    labels = [
        _INPUT,
        *(OPERATIONS.index(str(choices[_operation_name(v)])) for v in (1, 2, 3)),
        _OUTPUT,
    ]
    kept = sorted(_reached(edges, 0) & _reached([(b, a) for a, b in edges], VERTICES - 1))
    if 0 not in kept:
        return None
    edges = [(kept.index(a), kept.index(b)) for a, b in edges if a in kept and b in kept]
    return graph_hash(edges, [labels[each] for each in kept]) if len(edges) <= _MOST_EDGES else None


def _reached(edges: Sequence[Edge], start: int) -> set[int]:
    """Return the vertices that edges lead to from one, and that one."""
    found, new = {start}, {start}
    while new:
        new = {b for a, b in edges if a in new} - found
        found |= new
    return found


def graph_hash(edges: Sequence[Edge], labels: Sequence[int]) -> str:
    """Return the name of a graph, the same for all that differ in the order of vertices alone.

    The iterated neighbourhood hash of NAS-Bench-101 (Ying et al. 2019), as its `hash_module`.
    """
    vertices = range(len(labels))
    into = [[a for a, b in edges if b == each] for each in vertices]
    out_of = [[b for a, b in edges if a == each] for each in vertices]
    hashes = [_md5(str((len(out_of[v]), len(into[v]), labels[v]))) for v in vertices]
    for _ in vertices:
        hashes = [
            _md5("|".join([_joined(hashes, into[v]), _joined(hashes, out_of[v]), hashes[v]]))
            for v in vertices
        ]
    return _md5(str(sorted(hashes)))


def _joined(hashes: Sequence[str], vertices: Sequence[int]) -> str:
    return "".join(sorted(hashes[each] for each in vertices))


def _md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()
