"""Train one model, or with -m sweep over many: `python src/train.py --help` lists every option."""

from greensweep import app


@app.script("train")
def main(config: app.DictConfig) -> float | tuple[float, ...]:
    return app.train(config)


if __name__ == "__main__":
    app.run(main)
