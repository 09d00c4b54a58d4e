"""A script as people have it, which knows nothing of Greensweep: images by class, macro F1.

greensweep exec --pattern 'epoch (?P<epoch>[0-9]+): macro F1 (?P<macro_f1>[0-9.]+)' \
    -- python examples/image_folder.py my_images/train --alpha 0.001
greensweep exec --pattern 'epoch (?P<epoch>[0-9]+): macro F1 (?P<macro_f1>[0-9.]+)' \
    -m --metric macro_f1 'alpha=tag(log,interval(1e-6,1e-1))' hydra.sweeper.n_trials=10 \
    -- python examples/image_folder.py my_images/train --alpha {alpha}
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser()
parser.add_argument("folder", type=Path)
parser.add_argument("--alpha", type=float, default=1e-4)
parser.add_argument("--epochs", type=int, default=5)
given = parser.parse_args()

files = sorted(given.folder.glob("*/*.png"))
images = np.array([np.asarray(Image.open(file).resize((16, 16))).ravel() for file in files]) / 255
labels = np.array([file.parent.name for file in files])
train_x, test_x, train_y, test_y = train_test_split(images, labels, random_state=0)

model = SGDClassifier(alpha=given.alpha, random_state=0)
for epoch in range(1, given.epochs + 1):
    model.partial_fit(train_x, train_y, classes=np.unique(labels))
    f1 = f1_score(test_y, model.predict(test_x), average="macro")
    print(f"epoch {epoch}: macro F1 {f1:.4f}")
