"""OmegaConf as it is installed still has the private names that the configuration rests on."""

from omegaconf import OmegaConf

from greensweep.config.omegaconf_internals import root_of, to_yaml

PLAIN = {"a": ["1e-3", 1e-3, "yes", True, None], "b": {"c": "${a}", "d": "2026-01-01", "e": "ü"}}


def test_plain_data_is_written_as_omegaconf_writes_its_nodes() -> None:
    assert to_yaml(PLAIN) == OmegaConf.to_yaml(OmegaConf.create(PLAIN))
    assert OmegaConf.to_container(OmegaConf.create(to_yaml(PLAIN))) == PLAIN


def test_a_node_knows_the_configuration_around_it() -> None:
    config = OmegaConf.create({"model": {"name": {"of": "it"}}})
    assert root_of(config.model.name) is config
    assert root_of(config) is config
