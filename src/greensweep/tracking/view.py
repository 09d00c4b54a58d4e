"""What the MLflow UI shows of a sweep: its trials, with the columns that decide, and its charts."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from greensweep.config.metrics import Direction
from greensweep.secrets.data import mask_text

LOCAL_UI = "http://127.0.0.1:5000"  # of `make ui` and `mlflow ui`

# Without it the UI takes runs for those of language models, and opens their evaluations.
_TRAINING = "workflowType=machine_learning"

# Of an experiment's tags; a name of the view follows, by which an address opens it.
_VIEW_TAG = "mlflow.sharedViewState."
_MOST_CHARACTERS = 5000  # of a tag of an experiment, in a SQL store

EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}


@dataclass(frozen=True)
class SweepView:
    """What is seen of a sweep's trials, by the names under which they are tracked.

    Attributes:
        metric: that they are compared by, the best first.
        energy: of a training, joules; None where nothing was metered.
        energy_by_epoch: of a training until then, joules.
        columns: what is read first: kind and name. The UI shows a metric with all its digits, so
            rounded ones are tags.
        options: that are searched; of very many the first.
        last: metrics behind these and the exact metric and energy, by which runs are sorted.
    """

    metric: str
    direction: Direction
    energy: str | None
    energy_by_epoch: str
    columns: Sequence[tuple[str, str]]
    options: Sequence[str]
    last: Sequence[str] = ()

    def tag(self, sweep: str) -> tuple[str, str]:
        """Return name and value of the experiment's tag that keeps it, of a sweep by its run's id.

        The UI keeps a view that people share in such a tag. It orders runs by a metric, so that
        they stand in one list without their parent, which has none of these figures.
        """
        for count in range(len(self.options), 0, -1):
            text = json.dumps(self._state(sweep, self.options[:count]))
            if len(text) <= _MOST_CHARACTERS:
                return f"{_VIEW_TAG}{sweep}", text
        return f"{_VIEW_TAG}{sweep}", json.dumps(self._state(sweep, ()))

    def _state(self, sweep: str, options: Sequence[str]) -> dict[str, object]:
        exact = [self.metric, *([] if self.energy is None else [self.energy]), *self.last]
        shown = [*self.columns, *(("params", name) for name in options)]
        shown += [("metrics", name) for name in exact]
        widths = {f"{kind}.`{name}`": max(7 * len(name) + 40, 140) for kind, name in shown}
        return {
            "searchFilter": f"tags.mlflow.parentRunId = '{sweep}'",
            "orderByKey": f"metrics.`{self.metric}`",
            "orderByAsc": self.direction == "minimize",
            "selectedColumns": [*widths],
            "columnOrder": ["attributes.`Created`", *widths],
            "columnWidths": widths,
            "runsHiddenMode": "SHOW_ALL",
            "isAccordionReordered": True,  # else sections stand by their names
            "compareRunSections": [
                {"uuid": "trade", "name": "Metric and energy", "display": True, "isReordered": True}
            ],
            "compareRunCharts": [] if self.energy is None else self._charts(self.energy),
        }

    def _charts(self, energy: str) -> list[dict[str, object]]:
        common = {
            "runsCountToCompare": 100,
            "deleted": False,
            "isGenerated": False,
            "metricSectionId": "trade",
        }
        return [
            {
                **common,
                "uuid": "trials",
                "type": "SCATTER",
                "xaxis": {"key": energy, "type": "METRIC"},
                "yaxis": {"key": self.metric, "type": "METRIC"},
            },
            {
                **common,
                "uuid": "epochs",
                "type": "LINE",
                "metricKey": self.metric,
                "selectedMetricKeys": [self.metric],
                "xAxisKey": "metric",
                "selectedXAxisMetricKey": self.energy_by_epoch,
                "useGlobalXaxisKey": False,
                "yAxisKey": "metric",
                "yAxisExpressions": [],
                "xAxisScaleType": "linear",
                "scaleType": "linear",
                "range": {},
                "lineSmoothness": 0,
            },
        ]


def ui_address(uri: str) -> str:
    """Return the address at which the UI of a store answers: a server's own, or the local one."""
    return mask_text(uri.rstrip("/")) if uri.startswith(("http://", "https://")) else LOCAL_UI


def run_page(experiment_id: str, run_id: str) -> str:
    """Return the page of a run in the UI, as it follows the UI's address and a slash."""
    return f"#/experiments/{quote(experiment_id)}/runs/{quote(run_id)}?{_TRAINING}"


def sweep_page(experiment_id: str, sweep: str | None) -> str:
    """Return the page of a sweep's trials, by the id of its run; of all runs where it has none."""
    view = "" if sweep is None else f"viewStateShareKey={quote(sweep)}&"
    return f"#/experiments/{quote(experiment_id)}/runs?{view}{_TRAINING}"


def view_sentence(uri: str, experiment_id: str, sweep: str | None, *, is_default: bool) -> str:
    """Say how a sweep's trials in just this store are opened.

    Args:
        uri: tracking URI, as `tracking_uri` gives it.
        sweep: id of its run, if it has one.
        is_default: it is the store that `make ui` shows by itself.
    """
    address, shown = ui_address(uri), mask_text(uri)
    command = "make ui" if is_default else f"mlflow ui --backend-store-uri {shlex.quote(shown)}"
    opened = "" if address != LOCAL_UI else f"{command}, then open "
    page = sweep_page(experiment_id, sweep)
    return f"Compare the runs in the MLflow UI: {opened}{address}/{page}"
