"""Write a report of runs, one page that opens from disk: `python src/report.py`."""

import gc

from greensweep import app


@app.script("report")
def main(config: app.DictConfig) -> None:
    app.report(config)


if __name__ == "__main__":
    gc.disable()  # to look for garbage among a million cells takes a tenth of the time
    app.run(main)
