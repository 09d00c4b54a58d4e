"""Train a part of a network: its backbone stays as it is."""

from torch import nn

from greensweep.errors import ModelError

_WITH_WEIGHTS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_WITH_STATISTICS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def freeze_backbone(model: nn.Module) -> None:
    """Let only the head of a network be trained: its classifier, or else its last layer.

    Raises:
        ModelError: there is no layer with weights, or no other one.
    """
    head = _head_of(model)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for parameter in head.parameters():
        parameter.requires_grad_(True)
    if all(parameter.requires_grad for parameter in model.parameters()):
        raise ModelError(
            "training.freeze=backbone leaves nothing frozen, since the network is one layer: set "
            "training.freeze=none"
        )


def _head_of(model: nn.Module) -> nn.Module:
    """Return what timm calls the classifier, or else the last linear layer or convolution."""
    classifier = getattr(model, "get_classifier", None)
    if callable(classifier):
        head = classifier()
        if isinstance(head, nn.Module) and any(True for _ in head.parameters()):
            return head
    layers = [module for module in model.modules() if isinstance(module, _WITH_WEIGHTS)]
    if not layers:
        raise ModelError(
            "training.freeze=backbone finds no last layer in this network: give it a linear layer, "
            "or let its own constructor freeze what it likes"
        )
    return layers[-1]


def begin_training(model: nn.Module) -> None:
    """Put a network into training mode, but for the batch norm of what is frozen.

    Its statistics would otherwise go on changing, and with them the features that the head is
    trained on.
    """
    model.train()
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if isinstance(module, _WITH_STATISTICS) and own and not any(p.requires_grad for p in own):
            module.eval()
