"""The options of networks."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from omegaconf import MISSING

from greensweep.config.groups import Group
from greensweep.config.options import option


@dataclass
class ModelConfig(Group):
    name: Any = option(MISSING, doc="name of the network")

    builder: ClassVar[str]  # import path of a function: (config, input_shape, outputs)


@dataclass
class SimpleCnnConfig(ModelConfig, choice="simple_cnn"):
    builder = "greensweep.models.paper:build_simple_cnn"

    name: Literal["simple_cnn"] = "simple_cnn"
    conv_layers: int = option(2, doc="convolution blocks", at_least=0, largest=32)
    linear_layers: int = option(
        3, doc="linear layers, the last to the classes", at_least=1, largest=1000
    )
    relu: bool = option(True, doc="a ReLU in each convolution block")


@dataclass
class DenseConfig(ModelConfig, choice="dense"):
    builder = "greensweep.models.paper:build_dense"

    name: Literal["dense_poly", "dense_linear"] = option(MISSING, doc="name of the network")
    linear_layers: int = option(
        3, doc="linear layers, the last to the classes", at_least=1, largest=1000
    )


@dataclass
class MlpConfig(ModelConfig, choice="mlp"):
    builder = "greensweep.models.mlp:mlp"

    name: Literal["mlp"] = "mlp"
    hidden: list[int] = option(lambda: [64, 64], doc="units of each hidden layer")
    activation: Literal["relu", "leaky_relu", "gelu", "silu", "tanh"] = option(
        "relu", doc="between the layers"
    )
    dropout: float = option(
        0.0, doc="share of the units that each training step leaves out", at_least=0, below=1
    )


@dataclass
class NamedModelConfig(ModelConfig, choice="named"):
    builder = "greensweep.models.libraries:library_model"

    name: str = option(MISSING, doc="name of the network in its library")
    library: Literal["timm", "torchvision"] = option(MISSING, doc="whose model it is")
    pretrained: bool = option(False, doc="start from the library's pretrained weights")
    kwargs: dict[str, Any] = option(dict, doc="further arguments of the library's constructor")


@dataclass
class CustomModelConfig(ModelConfig, choice="custom"):
    builder = "greensweep.models.custom:custom_model"

    name: Literal["custom"] = "custom"
    target: str = option(
        MISSING, doc="import path of an nn.Module class, or function returning one"
    )
    kwargs: dict[str, Any] = option(dict, doc="arguments of that class")


def model_name(config: ModelConfig) -> str:
    """Return the name under which results record the network."""
    return config.target if isinstance(config, CustomModelConfig) else str(config.name)
