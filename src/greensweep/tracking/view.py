"""The view in which the MLflow UI opens our runs: the columns that decide, side by side."""

import json
import shlex
from collections.abc import Mapping

from greensweep.secrets.data import mask_text

LOCAL_UI = "http://127.0.0.1:5000"  # of `make ui` and `mlflow ui`

VIEW = "greensweep"

_COLUMNS = {
    "attributes": ("Created", "Duration"),
    "metrics": (
        "validation/accuracy",
        "test/accuracy",
        "energy/training_joules",
        "energy/spent_joules",
        "model/parameters",
        "layers/conv",
        "layers/linear",
    ),
    "params": ("model.name", "optimizer.learning_rate", "training.batch_size", "training.epochs"),
    "tags": ("status", "energy.quality"),
}


_TAG = f"mlflow.sharedViewState.{VIEW}"
# The column of the training energy, and what it was in experiments of an earlier version.
_NOW, _FORMER = "metrics.`energy/training_joules`", "metrics.`energy/total_joules`"


def experiment_tags() -> dict[str, str]:
    """Return the tags of a new experiment: its kind, and a view that the UI shares by its name.

    MLflow keeps a shared view as JSON in an experiment tag; a link names it.
    """
    columns = [f"{kind}.`{name}`" for kind, names in _COLUMNS.items() for name in names]
    return {
        "mlflow.experimentKind": "custom_model_development",
        _TAG: json.dumps({"selectedColumns": columns}),
    }


def renewed_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the view of an older experiment with the columns of new runs; empty where it has them.

    Args:
        tags: of the experiment.
    """
    try:
        view = json.loads(tags[_TAG])
        columns = [*view["selectedColumns"]]
    except (KeyError, TypeError, ValueError):  # none, or not ours
        return {}
    if _FORMER not in columns or _NOW in columns:
        return {}
    columns.insert(columns.index(_FORMER), _NOW)
    return {_TAG: json.dumps({**view, "selectedColumns": columns})}


def ui_address(uri: str) -> str:
    """Return the address at which the UI of a store answers: a server's own, or the local one."""
    return mask_text(uri.rstrip("/")) if uri.startswith(("http://", "https://")) else LOCAL_UI


def view_sentence(uri: str, experiment_id: str, *, is_default: bool) -> str:
    """Say how the view of just this store is opened.

    Args:
        uri: tracking URI, as `tracking_uri` gives it.
        is_default: it is the store that `make ui` shows by itself.
    """
    address, shown = ui_address(uri), mask_text(uri)
    command = "make ui" if is_default else f"mlflow ui --backend-store-uri {shlex.quote(shown)}"
    opened = "" if address != LOCAL_UI else f"{command}, then open "
    return (
        f"Compare the runs in the MLflow UI: {opened}{address}/#/experiments/{experiment_id}/runs"
        f"?viewStateShareKey={VIEW}&workflowType=machine_learning"
    )
