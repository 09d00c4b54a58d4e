"""Values in Hydra's override grammar: what is written is read back, with its type."""

import math
import random
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Transformer
from omegaconf import OmegaConf

from greensweep.config.grammar import (
    as_override,
    choices_of,
    escape_interpolations,
    kept_as_override,
    kept_choice,
    kept_choices,
    read_kept,
    read_value,
)
from greensweep.errors import ConfigError

TEXTS = (
    *(
        "",
        " ",
        "a,b",
        "true",
        "null",
        "5",
        "1e-3",
        "nan",
        "it's",
        'say "hi"',
        "a=b",
        "(",
        "#x",
        "ü",
    ),
    *(" lead", "trail ", "~x", "+x", "2026-01-01", "${seed}", "\\${seed}", "a\\b c,", "\\", "\\'"),
    *("line\nbreak", "tab\t", "[1,2]", "{a: 1}", "=1", "choice(1,2)", "a:b", "x" * 10_000, "日本"),
)
VALUES = (
    *(None, True, False, 0, -7, 10**30, 1.0, 1e-5, 1e22, -0.0, math.inf, -math.inf),
    *([], [1, "1", None, [True]], {}, {"a": {"b c": [1.5, "x,y"]}}, {1: "one"}, {True: "yes"}),
)


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal, and all that they hold is of the same type."""
    return repr(one) == repr(other)


@pytest.mark.parametrize("value", [*TEXTS, *VALUES], ids=lambda value: repr(value)[:20])
def test_a_value_is_read_back_alone_in_a_list_and_among_choices(value: Any) -> None:
    text = as_override(value)
    assert same(read_value(text), value)
    assert same(read_value(as_override([value, {"key": value}])), [value, {"key": value}])
    (swept,) = OverridesParser.create().parse_overrides([f"key={text},{text},1"])
    assert all(map(same, choices_of(swept), [value, value, 1]))


@pytest.mark.parametrize(
    "value", [*TEXTS, None, True, 1.5, ["5"]], ids=lambda value: repr(value)[:20]
)
@pytest.mark.parametrize("sweep", ["choice({},1)", "shuffle(choice({}))", "{},1"])
def test_the_stock_sweepers_are_given_a_choice_as_it_is(value: Any, sweep: str) -> None:
    (swept,) = OverridesParser.create().parse_overrides([f"key={sweep.format(as_override(value))}"])
    assert same(read_value(next(swept.sweep_string_iterator())), value)  # Hydra's basic sweeper
    given = next(swept.sweep_iterator(transformer=Transformer.encode))  # Hydra's Optuna sweeper
    read = read_value(given) if isinstance(given, str) else given
    assert same(read, value)


def test_random_texts_are_read_back_and_composed_as_they_are() -> None:
    parts = [*"ab1.- '\"\\=(),[]{}:#ü$~@?|/%*&;\n\t", "${", "}", "null", "choice("]
    generator = random.Random(0)
    for _ in range(300):
        text = "".join(generator.choices(parts, k=generator.randint(0, 8)))
        assert same(read_value(as_override(text)), text)
        assert OmegaConf.create({"key": escape_interpolations(text)}).key == text


@pytest.mark.parametrize("value", [b"x", {"1": 2}, {"ü": 1}, {"": 1}, [{"a'b": 1}], object()])
def test_what_the_grammar_cannot_write_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="no option can be set to"):
        as_override(value)


@pytest.mark.parametrize("text", ["(", "1,2", "choice(1,2)", "'", "range(1,3)"])
def test_a_text_that_is_not_one_value_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="put it in quotes"):
        read_value(text)


@pytest.mark.parametrize(
    "values",
    [
        [1, True, 1.0, "1", "true"],
        [0, False, None, "null", ""],
        [[1, 2], [3], "[3]", {"a": 1}],
        [math.nan, math.inf, "nan"],
        ["=1", 1, "='=1'"],
    ],
    ids=repr,
)
def test_optuna_keeps_all_choices_apart(values: list[Any]) -> None:
    from optuna.distributions import CategoricalDistribution

    kept = kept_choices(values)
    distribution = CategoricalDistribution(kept)
    assert [distribution.to_internal_repr(each) for each in kept] == [*range(len(values))]
    assert all(map(same, map(read_kept, kept), values))
    assert [kept_choice(kept, value) for value in values] == kept
    assert [kept_as_override(each) for each in kept] == [as_override(value) for value in values]


def test_plain_choices_are_kept_as_they_are() -> None:
    plain = [None, "adam", 32, 0.1, False]
    assert kept_choices([*plain, "adam"]) == plain


def test_a_whole_number_is_the_choice_of_a_fraction_but_a_text_is_not() -> None:
    assert kept_choice([1, 2], 1.0) == 1
    assert kept_choice([1, 2], "1") not in (1, 2)
    assert kept_choice([1, 2], True) not in (1, 2)
