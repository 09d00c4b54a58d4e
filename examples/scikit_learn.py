"""scikit-learn: the energy of fit and predict, and a fit in parts as a recorded run.

python examples/scikit_learn.py
"""

from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

import greensweep

images, labels = load_digits(return_X_y=True)
train_x, other_x, train_y, other_y = train_test_split(images / 16, labels, random_state=0)

forest = RandomForestClassifier(random_state=0)
with greensweep.measure(country="NLD") as fitting:
    forest.fit(train_x, train_y)
with greensweep.measure(country="NLD") as predicting:
    forest.predict(other_x)
print(f"fit: {fitting}\npredict: {predicting}")

linear = SGDClassifier(random_state=0)
with greensweep.run("linear", params=linear.get_params(), country="NLD") as run:
    for epoch in range(1, 6):
        linear.partial_fit(train_x, train_y, classes=range(10))
        with run.phase("evaluation"):
            accuracy = linear.score(other_x, other_y)
        run.report(epoch=epoch, epochs=5, accuracy=accuracy)
print(f"in parts: {run.window}, accuracy {accuracy:.3f}")
