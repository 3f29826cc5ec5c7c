"""A frozen copy of a finder to back-propagate through, rearranged where that is exact and quicker.

The user's module is never touched: everything happens on a copy in evaluation mode whose weights ask for no gradient.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import fx, nn

from lensaudit.explain.copies import agrees, answers, copied, logit_module, noise_for, not_in_place
from lensaudit.explain.dreaming.first_convolution import FirstConvolution, suits
from lensaudit.explain.trace import traced_graph
from lensaudit.finders import Finder

TOLERANCE = 1e-4
"""Most that the rearranged copy's score may differ, and its gradient as a share of the largest; rounding: 1e-6."""


def frozen(finder: Finder) -> Finder:
    """The finder on a copy of its module, in evaluation mode, without gradients of the weights.

    Layers that write into their input no longer do, as that may spoil what the gradient needs; they still do where
    the module's own code counts on it.
    """
    noise = noise_for(finder)
    module = not_in_place(finder.module)
    if not agrees(logit_module(finder, module), noise, answers(finder, noise)):
        module = copied(finder.module)
    return replace(finder, module=module)


def rearranged(finder: Finder, image: torch.Tensor) -> Finder:
    """A `frozen` finder with its module rearranged; the finder itself where that cannot be done or changes anything.

    Three things are rearranged, all exact up to rounding: a sum in place is no longer; a ReLU moves behind the
    max-pooling that alone follows it, to where there are four times fewer pixels; and the first convolution passes
    gradients back as a strided convolution (see `FirstConvolution`).

    Parameters
    ----------
    finder
        From `frozen`.
    image
        Prepared image (bands, size, size) on which scores and gradients are compared.
    """
    graph = traced_graph(finder.module)
    if graph is None:
        return finder
    traced = replace(finder, module=fx.GraphModule(finder.module, graph))  # += of a traced module is a + b
    if not _same_score(finder, traced, image[None]):
        return finder
    module = fx.GraphModule(finder.module, graph)
    _relu_behind_pooling(module)
    _replace_first(module)
    module.graph.lint()
    module.recompile()
    quick = replace(finder, module=module)
    return quick if _same_gradient(traced, quick, image[None]) else traced


def _relu_behind_pooling(module: fx.GraphModule) -> None:
    """relu(pool(x)) for pool(relu(x)): the maximum of what is cut off at 0 is the maximum, cut off at 0."""
    for node in list(module.graph.nodes):
        if not _calls(module, node, nn.ReLU) or len(node.users) != 1:
            continue
        pool = next(iter(node.users))
        if not _calls(module, pool, nn.MaxPool2d) or module.get_submodule(str(pool.target)).return_indices:
            continue
        pool.replace_all_uses_with(node)
        pool.args = (node.args[0],)
        node.args = (pool,)
        pool.append(node)


def _replace_first(module: fx.GraphModule) -> None:
    """The convolution that alone takes the image, where `FirstConvolution` can be it."""
    image = next(node for node in module.graph.nodes if node.op == "placeholder")
    users = list(image.users)
    if len(users) != 1 or not _calls(module, users[0], nn.Conv2d):
        return
    name = str(users[0].target)
    part = module.get_submodule(name)
    assert isinstance(part, nn.Conv2d)
    if suits(part):
        module.set_submodule(name, FirstConvolution(part))


def _calls(module: fx.GraphModule, node: fx.Node, kind: type[nn.Module]) -> bool:
    """Whether the node is a plain call of exactly such a module, without hooks that would see another order."""
    if node.op != "call_module" or len(node.args) != 1 or node.kwargs:
        return False
    part = module.get_submodule(str(node.target))
    return type(part) is kind and not (part._forward_hooks or part._forward_pre_hooks or part._backward_hooks)


def _same_score(one: Finder, other: Finder, image: torch.Tensor) -> bool:
    first, second = (finder.logit(image.clone()) for finder in (one, other))
    return bool(torch.allclose(first, second, rtol=TOLERANCE, atol=TOLERANCE))


def _same_gradient(one: Finder, other: Finder, image: torch.Tensor) -> bool:
    """Whether score and gradient of one image are the same up to rounding."""
    first, second = _gradient(one, image), _gradient(other, image)
    if first is None or second is None or not _same_score(one, other, image):
        return False
    return float((first - second).abs().max()) <= TOLERANCE * float(first.abs().max())


def _gradient(finder: Finder, image: torch.Tensor) -> torch.Tensor | None:
    """Gradient of the score; None where it does not depend on the image."""
    leaf = image.clone().requires_grad_()
    with torch.enable_grad():
        score = finder.logit(leaf.clone())
        return torch.autograd.grad(score.sum(), leaf, allow_unused=True)[0] if score.requires_grad else None
