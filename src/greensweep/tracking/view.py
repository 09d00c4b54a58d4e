"""The view in which the MLflow UI opens our runs: the columns that decide, side by side."""

import json

VIEW = "greensweep"

_COLUMNS = {
    "attributes": ("Created", "Duration"),
    "metrics": (
        "validation/accuracy",
        "test/accuracy",
        "energy/total_joules",
        "energy/spent_joules",
        "model/parameters",
        "layers/conv",
        "layers/linear",
    ),
    "params": ("model.name", "optimizer.learning_rate", "training.batch_size", "training.epochs"),
    "tags": ("status", "energy.quality"),
}


def experiment_tags() -> dict[str, str]:
    """Return the tags of a new experiment: its kind, and a view that the UI shares by its name.

    MLflow keeps a shared view as JSON in an experiment tag; a link names it.
    """
    columns = [f"{kind}.`{name}`" for kind, names in _COLUMNS.items() for name in names]
    return {
        "mlflow.experimentKind": "custom_model_development",
        f"mlflow.sharedViewState.{VIEW}": json.dumps({"selectedColumns": columns}),
    }


def view_path(experiment_id: str) -> str:
    """Return the path of that view below the address of an MLflow server."""
    return (
        f"/#/experiments/{experiment_id}/runs?viewStateShareKey={VIEW}"
        "&workflowType=machine_learning"
    )
