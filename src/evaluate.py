"""Test a kept model: `python src/evaluate.py checkpoint=RUN_DIR/model.pt`."""

from greensweep import app


@app.script("evaluate")
def main(config: app.DictConfig) -> float:
    return app.evaluate(config)


if __name__ == "__main__":
    app.run(main)
