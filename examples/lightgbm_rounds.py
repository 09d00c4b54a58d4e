"""LightGBM as a recorded run.

python examples/lightgbm_rounds.py
"""

from lightgbm import LGBMClassifier
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

import greensweep
from greensweep.loops.lightgbm import GreensweepCallback

features, target = load_breast_cancer(return_X_y=True)
train_x, other_x, train_y, other_y = train_test_split(features, target, random_state=0)
model = LGBMClassifier(n_estimators=60, num_leaves=7, verbose=-1)

with greensweep.run("lightgbm", params=model.get_params(), country="NLD") as run:
    model.fit(train_x, train_y, eval_set=[(other_x, other_y)], callbacks=[GreensweepCallback()])
    with run.phase("evaluation"):
        run.log(val_accuracy=model.score(other_x, other_y))
print(run.window)
