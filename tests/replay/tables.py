"""Small recorded tables."""

from pathlib import Path

from greensweep.runs.replay.table import RecordedTable, read_table


def write(folder: Path, text: str) -> Path:
    """Write a table of cells separated by blanks."""
    path = folder / "runs.csv"
    lines = [line.strip() for line in text.strip().splitlines()]
    path.write_text("\n".join(",".join(line.split()) for line in lines) + "\n")
    return path


def table(folder: Path, text: str, *options: str, **where: object) -> RecordedTable:
    """Read such a table by some options."""
    return read_table(write(folder, text), options=options, where=where)


# Joules and seconds count from the start of training.
CURVES = """
    learning_rate epoch accuracy energy_joules seconds
    0.1           1     0.50     10            1
    0.1           2     0.70     25            2.5
    0.1           3     0.60     45            4
    0.01          1     0.20     12            1
    0.01          2     0.30     22            2
    0.01          3     0.40     32            3
"""
