"""The data and the model of the project: digits of 8 × 8 pixels."""

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset, random_split


class Digits(lightning.LightningDataModule):
    def __init__(self, batch_size: int) -> None:
        super().__init__()
        images, labels = (torch.tensor(each) for each in load_digits(return_X_y=True))
        split = random_split(TensorDataset(images.float() / 16, labels), [0.7, 0.15, 0.15])
        self.loaders = [DataLoader(each, batch_size, shuffle=each is split[0]) for each in split]

    def train_dataloader(self):
        return self.loaders[0]

    def val_dataloader(self):
        return self.loaders[1]

    def test_dataloader(self):
        return self.loaders[2]


class Classifier(lightning.LightningModule):
    def __init__(self, width: int, lr: float) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

    def step(self, batch, split):
        logits = self.net(batch[0])
        loss = cross_entropy(logits, batch[1])
        accuracy = (logits.argmax(1) == batch[1]).float().mean()
        figures = {f"{split}/loss": loss, f"{split}/acc": accuracy}
        self.log_dict(figures, on_step=False, on_epoch=True)
        return loss

    def training_step(self, batch, _):
        return self.step(batch, "train")

    def validation_step(self, batch, _):
        self.step(batch, "val")

    def test_step(self, batch, _):
        self.step(batch, "test")

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)
