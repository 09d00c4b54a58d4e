"""Columns that `standard_table` adds to a source's own, and what stands in them."""

SPENT, SETTING, STRATEGY, SEED, ORDER = "_spent", "_setting", "_strategy", "_seed", "_order"
STATUS, QUALITY, MACHINE, CONTENDED = "_status", "_quality", "_machine", "_contended"
SELECTED_ON_TEST, UNCERTAINTY, SCORE = "_selected_on_test", "_uncertainty", "_score"
LOW, HIGH = "_low", "_high"  # of the 95 % interval of the metric; missing where not known
START = "_start"
EMISSIONS = "_emissions_kg"  # of all that a run did; missing where its source tells none
SEARCH = [SETTING, STRATEGY, SEED]  # tell searches apart
ADDED = (
    SPENT, SETTING, STRATEGY, SEED, ORDER, STATUS, QUALITY, MACHINE, CONTENDED, SELECTED_ON_TEST,
    UNCERTAINTY, SCORE, EMISSIONS, LOW, HIGH, START,
)  # fmt: skip

# Columns in which our own runs record what they were selected by.
OBJECTIVE_METRIC, OBJECTIVE_DIRECTION = "objective_metric", "objective_direction"

NO_STRATEGY = "none"  # of a run that no search drew
UNKNOWN = "unknown"  # quality or machine

# What a table says of how a run ended, and what it is called here where it may not be compared.
FINISHED, INFEASIBLE, SHARED = "finished", "infeasible", "shared"
UNMATCHED = "unmatched"  # the table that was joined says nothing of it
