"""One thread a test process: small networks gain nothing from more, and processes run side by side."""

import torch

torch.set_num_threads(1)
