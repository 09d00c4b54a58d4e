"""XGBoost as a recorded run, and the energy of its predictions.

python examples/xgboost_rounds.py
"""

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from xgboost import XGBClassifier

import greensweep
from greensweep.loops.xgboost import GreensweepCallback

features, target = load_breast_cancer(return_X_y=True)
train_x, other_x, train_y, other_y = train_test_split(features, target, random_state=0)

model = XGBClassifier(
    n_estimators=60, max_depth=3, callbacks=[GreensweepCallback(rounds=60, country="NLD")]
)
model.fit(train_x, train_y, eval_set=[(train_x, train_y), (other_x, other_y)], verbose=False)

with greensweep.measure(country="NLD") as predicting:
    model.predict(other_x)
print(f"predicting {len(other_x)} samples: {predicting}")
