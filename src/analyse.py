"""Answer a question from a table of runs: `source=runs.csv analysis=strategies`."""

import gc

from greensweep import app


@app.script("analyse")
def main(config: app.DictConfig) -> None:
    app.analyse(config)


if __name__ == "__main__":
    gc.disable()  # to look for garbage among a million cells takes a tenth of the time
    app.run(main)
