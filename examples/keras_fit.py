"""Keras 3 as a recorded run, here on PyTorch.

python examples/keras_fit.py
"""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from greensweep.loops.keras import GreensweepCallback

images, labels = load_digits(return_X_y=True)
train_x, other_x, train_y, other_y = train_test_split(images / 16, labels, random_state=0)
train_x, validation_x, train_y, validation_y = train_test_split(train_x, train_y, random_state=0)

model = keras.Sequential([keras.layers.Dense(32, activation="relu"), keras.layers.Dense(10)])
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile("adam", loss, metrics=["accuracy"])
greensweep_callback = GreensweepCallback(country="NLD")
validation = (validation_x, validation_y)
model.fit(
    train_x, train_y, epochs=3, validation_data=validation, callbacks=[greensweep_callback],
    verbose=0,
)  # fmt: skip
model.evaluate(other_x, other_y, callbacks=[greensweep_callback], verbose=0)
