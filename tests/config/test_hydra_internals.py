"""Hydra as it is installed still has the private names that sweeps rest on."""

from pathlib import Path

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from greensweep.config.hydra_internals import SweepLoader, fault_of, let_choices_be_null


@pytest.mark.parametrize("text", ["choice(1,null)", "shuffle(1,null)", "1,null"])
def test_a_choice_may_hold_null(text: str) -> None:
    let_choices_be_null()
    (override,) = OverridesParser.create().parse_overrides([f"key={text}"])
    assert set(override.sweep_iterator()) == {1, None}


def test_the_fault_of_a_job_is_what_it_raised(capsys: pytest.CaptureFixture[str]) -> None:
    raised = ValueError("no such width")
    failed = JobReturn(status=JobStatus.FAILED)
    failed.return_value = raised
    finished = JobReturn(status=JobStatus.COMPLETED)
    finished.return_value = 0.5
    assert (fault_of(failed), fault_of(finished)) == (raised, None)
    assert capsys.readouterr().err == ""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The configuration files of a program with a group of models."""
    (tmp_path / "model").mkdir()
    (tmp_path / "config.yaml").write_text(
        "defaults: [{model: small}, _self_]\nrate: 0.1\nname: ${model.width} wide\n"
    )
    (tmp_path / "model" / "small.yaml").write_text("width: 1\n")
    (tmp_path / "model" / "large.yaml").write_text("width: 64\nlayers: [3, 4]\n")
    return tmp_path


def composed(loader: ConfigLoaderImpl, *overrides: str) -> DictConfig:
    master = loader.load_configuration("config", ["hydra.job.name=program"], RunMode.MULTIRUN)
    return loader.load_sweep_config(master, list(overrides))


TRIALS = [
    ["rate=0.2"],
    ["rate=0.3", "+momentum=0.9"],
    ["model=large", "model.layers=[5]"],
    ["model.width=8", "~rate"],
    ["model=large"],
    [],
]


def test_a_sweeps_trials_are_composed_as_hydra_composes_them(program: Path) -> None:
    path = create_config_search_path(str(program))
    hydras, ours = ConfigLoaderImpl(path), SweepLoader(path)
    for overrides in TRIALS * 2:
        expected, found = (composed(loader, *overrides) for loader in (hydras, ours))
        assert OmegaConf.structural_equality(found, expected)
        assert found.name == expected.name
        with pytest.raises(ConfigCompositionException):
            composed(ours, "model.depth=3")


def test_what_a_trial_makes_of_its_configuration_no_other_sees(program: Path) -> None:
    ours = SweepLoader(create_config_search_path(str(program)))
    with open_dict(first := composed(ours, "model=large")):
        first.model.layers.append(5)
        first.hydra.job.id = "7"
        del first["rate"]
    second = composed(ours, "model=large")
    assert (second.model.layers, second.rate) == ([3, 4], 0.1)
    assert OmegaConf.is_missing(second.hydra.job, "id")


def test_files_that_change_during_a_sweep_change_no_trial(program: Path) -> None:
    ours = SweepLoader(create_config_search_path(str(program)))
    assert composed(ours).model.width == 1
    (program / "model" / "small.yaml").write_text("width: 2\n")
    assert composed(ours, "rate=0.2").model.width == 1
