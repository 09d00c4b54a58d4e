"""The data and the model of the project: digits of 8 × 8 pixels."""

import lightning
import torch
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy
from torch.utils.data import TensorDataset, random_split


def digits(batch_size):
    images, labels = (torch.tensor(each) for each in load_digits(return_X_y=True))
    train, *others = random_split(TensorDataset(images.float() / 16, labels), [0.7, 0.15, 0.15])
    return lightning.LightningDataModule.from_datasets(train, *others, batch_size=batch_size)


class Classifier(lightning.LightningModule):
    def __init__(self, width, lr):
        super().__init__()
        self.save_hyperparameters()
        layers = (torch.nn.Linear(64, width), torch.nn.ReLU(), torch.nn.Linear(width, 10))
        self.net = torch.nn.Sequential(*layers)

    def step(self, batch, split):
        logits = self.net(batch[0])
        loss = cross_entropy(logits, batch[1])
        accuracy = (logits.argmax(1) == batch[1]).float().mean()
        self.log_dict({f"{split}/loss": loss, f"{split}/acc": accuracy}, on_epoch=True)
        return loss

    def training_step(self, batch, _):
        return self.step(batch, "train")

    def validation_step(self, batch, _):
        self.step(batch, "val")

    def test_step(self, batch, _):
        self.step(batch, "test")

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)
