"""One thread everywhere: small nets are far faster so, and equal thread counts are what makes bits equal."""

import torch

torch.set_num_threads(1)
