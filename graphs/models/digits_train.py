#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Trains the network of digits.lua with PyTorch; writes digits.safetensors, digits_test.npz and digits_reference.npz beside itself.

usage: digits_train.py        needs torch, scikit-learn (the data is inside its wheel), safetensors, numpy

Data: UCI "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak, 1998; CC BY 4.0), its 1,797 test images as
scikit-learn ships them: 8x8, 0 to 16. A fixed quarter of them, 449, is never trained on and becomes digits_test.npz.
digits_reference.npz holds what PyTorch computes for the test split: digits.lua is compared with it.
"""
import os

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.numpy import save_file
from sklearn.datasets import load_digits

here = os.path.dirname(os.path.abspath(__file__))
torch.manual_seed(7)
torch.use_deterministic_algorithms(True)
torch.set_num_threads(1)

data = load_digits()
order = np.random.RandomState(7).permutation(len(data.target))
test, train = np.sort(order[:449]), order[449:]
images = (data.images / 16).astype(np.float32)[:, None]
labels = data.target.astype(np.int32)


class Digits(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc1 = nn.Linear(32 * 4 * 4, 48)
        self.fc2 = nn.Linear(48, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(F.dropout(x.flatten(1), 0.3, self.training)))
        return self.fc2(x)



np.random.seed(7)
model = Digits()
x, y = torch.from_numpy(images[train]), torch.from_numpy(labels[train]).long()
epochs, rng = 80, np.random.RandomState(7)
optimiser = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=1e-2)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
for epoch in range(epochs):
    for batch in torch.from_numpy(rng.permutation(len(x))).split(32):
        dx, dy = (int(v) for v in rng.randint(-1, 2, 2) * (rng.rand() < 0.5))
        loss = F.cross_entropy(model(torch.roll(x[batch], (dy, dx), (2, 3))), y[batch], label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    schedule.step()

model.eval()
with torch.no_grad():
    logits = model(torch.from_numpy(images[test])).numpy()
print(f"accuracy over the {len(test)} test images: {(logits.argmax(1) == labels[test]).mean():.4f}")
save_file({k: v.numpy() for k, v in model.state_dict().items()}, os.path.join(here, "digits.safetensors"),
          {"source": "digits_train.py", "data": "UCI Optical Recognition of Handwritten Digits, CC BY 4.0"})
np.savez_compressed(os.path.join(here, "digits_test.npz"), images=(data.images[test]).astype(np.uint8)[:, None],
                    labels=labels[test])
np.savez_compressed(os.path.join(here, "digits_reference.npz"), logits=logits.astype(np.float32))
