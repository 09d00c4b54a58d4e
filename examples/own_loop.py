"""A training loop of one's own under Greensweep's sweeper, in any Hydra program.

python examples/own_loop.py
python examples/own_loop.py -m hydra/sweeper=greensweep hydra.sweeper.n_trials=10
"""

import hydra
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split

import greensweep


@hydra.main(config_path="conf", config_name="own_loop")
def main(config):
    images, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(images / 16, labels, random_state=0)
    model = SGDClassifier(alpha=config.alpha, eta0=config.step, learning_rate="constant")
    with greensweep.run("sgd", dataset="digits", params=config) as run:
        for epoch in range(1, config.epochs + 1):
            model.partial_fit(train_x, train_y, classes=range(10))
            with run.phase("evaluation"):
                macro_f1 = f1_score(test_y, model.predict(test_x), average="macro")
            run.report(epoch=epoch, macro_f1=macro_f1, epochs=config.epochs)
    return macro_f1, run.joules


if __name__ == "__main__":
    main()
