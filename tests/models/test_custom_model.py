"""A user's own network, by import path."""

import sys
from textwrap import dedent

import pytest
import torch

from greensweep.config.schema_model import CustomModelConfig
from greensweep.errors import ConfigError, ModelError
from greensweep.models import build_model, take_census

NETS = """
    from torch import nn

    class Fitted(nn.Sequential):
        def __init__(self, in_channels, image_size, num_classes, width=4):
            inputs = in_channels * image_size**2
            super().__init__(nn.Flatten(), nn.Linear(inputs, width), nn.Linear(width, num_classes))

    class Fixed(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Flatten(), nn.LazyLinear(5))

    class Sized(Fixed):
        def __init__(self, image_size):
            super().__init__()
            self.image_size = image_size

    def broken():
        raise ValueError("no such width")

    def number():
        return 42
"""


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """Write a user's module into the working folder: `user_module("nets", "class Net: ...")`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(name, code):
        (tmp_path / f"{name}.py").write_text(dedent(code))
        monkeypatch.delitem(sys.modules, name, raising=False)

    return write


def build(target, shape=(3, 6, 6), classes=7, **kwargs):
    return build_model(CustomModelConfig(target=target, kwargs=kwargs), shape, classes)


def test_constructor_gets_what_it_takes(user_module):
    user_module("nets", NETS)

    model = build("nets.Fitted")

    assert (model[1].in_features, model[1].out_features, model[2].out_features) == (108, 4, 7)
    assert model(torch.zeros(2, 3, 6, 6)).shape == (2, 7)


def test_own_arguments_win_over_those_of_the_data_set(config, user_module):
    user_module("nets", NETS)
    own = ("+model.kwargs.width=9", "+model.kwargs.image_size=10")
    network = config("model=custom", "model.target=nets.Fitted", *own).model

    model = build_model(network, (3, 6, 6), outputs=7)

    assert (model[1].in_features, model[1].out_features) == (300, 9)


def test_image_size_of_other_than_square_images_is_height_and_width(user_module):
    user_module("nets", NETS)

    assert build("nets.Sized", (3, 4, 9)).image_size == (4, 9)
    assert build("nets.Sized", (3, 9, 9)).image_size == 9


def test_wrong_class_count_names_both_numbers(user_module):
    user_module("nets", NETS)
    model = build("nets.Fixed", classes=10)

    with pytest.raises(ModelError, match=r"shape \(1, 10\) for one input, .* got \(1, 5\)"):
        take_census(model, torch.zeros(1, 3, 6, 6), outputs=10)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nets.broken", r"^nets.broken cannot be built \(ValueError: no such width\): check"),
        ("nets.number", r"^nets.number must give a torch.nn.Module, got int"),
        ("nets.nn", r"^nets.nn cannot be built \(TypeError"),
    ],
)
def test_constructor_that_fails_is_refused_in_one_sentence(user_module, target, message):
    user_module("nets", NETS)

    with pytest.raises(ModelError, match=message) as refused:
        build(target)
    assert "\n" not in str(refused.value)


def test_unknown_argument_is_refused_by_name(user_module):
    user_module("nets", NETS)

    with pytest.raises(ModelError, match=r"unexpected keyword argument 'depth'.*model.kwargs"):
        build("nets.Fitted", depth=3)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("Net", r"^model.target=Net is no import path: write it as module.Name"),
        (
            "no_such_package.Net",
            r"^model.target=no_such_package.Net: importing no_such_package failed "
            r"\(ModuleNotFoundError: No module named 'no_such_package'\): check the path",
        ),
        ("nets.Fited", r"no name in nets is called 'Fited': did you mean Fitted"),
        ("syntax.Net", r"importing syntax failed \(SyntaxError: "),
        ("exits.Net", r"importing exits failed \(SystemExit: 3\)"),
        ("raises.Net", r"importing raises failed \(RuntimeError: first line\)"),
    ],
)
def test_import_that_fails_is_said_in_one_sentence(user_module, target, message):
    user_module("nets", NETS)
    user_module("syntax", "def (:")
    user_module("exits", "import sys; sys.exit(3)")
    user_module("raises", "raise RuntimeError('first line\\nsecond line')")

    with pytest.raises(ConfigError, match=message) as refused:
        build(target)
    assert "\n" not in str(refused.value)
