"""Kernel activation values one image at a time in float64, without hooks: slow and obvious."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import fx, nn


def plain_kernel_values(module: nn.Module, images: torch.Tensor) -> dict[str, np.ndarray]:
    """Convolution → mean of each kernel's map (images, kernels); the mean over its uses where it runs several times."""
    exact = copy.deepcopy(module).double().eval()
    interpreter = _Noting(fx.symbolic_trace(exact))
    rows = [interpreter.values_of(image[None].double()) for image in images]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


class _Noting(fx.Interpreter):
    """Runs the graph node by node and looks at each convolution's output before the next node can change it."""

    def values_of(self, image: torch.Tensor) -> dict[str, np.ndarray]:
        self.found: dict[str, list[np.ndarray]] = {}
        with torch.no_grad():
            self.run(image)
        return {name: np.mean(uses, axis=0) for name, uses in self.found.items()}

    def run_node(self, n: fx.Node) -> object:
        output = super().run_node(n)
        if n.op == "call_module" and isinstance(self.fetch_attr(str(n.target)), nn.Conv2d):
            maps = output[0].numpy()
            self.found.setdefault(str(n.target), []).append(maps.reshape(len(maps), -1).mean(axis=1))
        return output
