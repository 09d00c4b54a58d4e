"""Fetch or verify a data set and write the manifest of its splits: `dataset=cifar10`."""

from greensweep import app


@app.script("prepare")
def main(config: app.DictConfig) -> None:
    app.prepare(config)


if __name__ == "__main__":
    app.run(main)
