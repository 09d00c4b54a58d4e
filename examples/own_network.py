"""A training loop of one's own on a table, as a recorded run: macro F1, layers, weights, joules.

python examples/own_network.py
"""

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split

import greensweep

features, target = load_breast_cancer(return_X_y=True)
split = train_test_split(features, target, test_size=0.3, stratify=target, random_state=0)
train_x, test_x = (torch.tensor(each, dtype=torch.float32) for each in split[:2])
train_y, test_y = (torch.tensor(each) for each in split[2:])
mean, std = train_x.mean(0), train_x.std(0)
train_x, test_x = (train_x - mean) / std, (test_x - mean) / std

net = torch.nn.Sequential(torch.nn.Linear(30, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
optimizer = torch.optim.Adam(net.parameters(), lr=0.003)

with greensweep.run("tumours", model=net, keep="best", keep_weights=True, layer_energy=True) as run:
    for epoch in range(1, 9):
        for batch in torch.randperm(len(train_x)).split(32):
            loss = torch.nn.functional.cross_entropy(net(train_x[batch]), train_y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with run.phase("evaluation"), torch.no_grad():
            f1 = f1_score(test_y, net(test_x).argmax(1), average="macro")
        run.report(epoch=epoch, epochs=8, macro_f1=f1, train_loss=loss.item())

print(run.window)
print(run.result.layers, run.result.layer_energy.shares, run.result.checkpoint)
