"""Predict by a kept model: `python src/predict.py checkpoint=RUN_DIR/model.pt data=FILE`."""

from greensweep import app


@app.script("predict")
def main(config: app.DictConfig) -> None:
    app.predict(config)


if __name__ == "__main__":
    app.run(main)
