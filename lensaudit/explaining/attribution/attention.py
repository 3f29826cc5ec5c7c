"""Where a vision transformer's attention goes: rollout, relevance weighted by gradients, and tokens left out.

Attention weights are read while the network runs, by a mode that sees every call of torch's functions: fused attention
(``scaled_dot_product_attention``) is calculated in its three steps instead, so that its weights are there, and a
softmax over tokens is taken as it is. No hook is left, and nothing of the network is changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isqrt
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from lensaudit.explaining.layers import AGREE, LogitModule

SOFTMAX = frozenset({"softmax", "_softmax"})
MOST_TOKENS_AT_ONCE = 64
"""Sequences of one call of the network with tokens left out."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """How the sequence of a transformer lies on the image.

    Attributes
    ----------
    before
        Tokens in front of those of the patches, as that of the class.
    side
        Patches along one side of the image.
    from_class
        Whether the score is read from the first token; else from the mean of the patches'.
    """

    before: int
    side: int
    from_class: bool

    def of_score(self, flow: torch.Tensor) -> torch.Tensor:
        """What of `flow` (n, tokens, tokens), rows to columns, goes into the score from the patches: (n, side²)."""
        rows = flow[:, 0] if self.from_class else flow[:, self.before :].mean(dim=1)
        return rows[:, self.before :]

    def on_image(self, values: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """A number a patch (n, side²) on its pixels: (n, 1, h, w)."""
        maps = values.reshape(len(values), 1, self.side, self.side).to(images.dtype)
        return functional.interpolate(maps, images.shape[-2:], mode="nearest-exact")


class AttentionWatch(TorchFunctionMode):
    """Keeps the weights of every attention among the tokens of one sequence: (n, heads, tokens, tokens) each."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            return self._in_steps(*args, **named)
        if func is functional.multi_head_attention_forward:
            raise LookupError("its nn.MultiheadAttention hides its weights; use saliency, smoothgrad or occlusion")
        result = func(*args, **named)
        if str(getattr(func, "__name__", "")) in SOFTMAX and isinstance(result, torch.Tensor):
            self._keep(result)
        return result

    def _in_steps(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0, is_causal: bool = False, **more: Any,
    ) -> torch.Tensor:  # fmt: skip
        if is_causal or more.get("enable_gqa"):
            raise LookupError("its attention is causal or has shared heads, which has no map of where it looks")
        scale = more.get("scale")
        scores = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.transpose(-2, -1)
        if attn_mask is not None:
            scores = scores.masked_fill(~attn_mask, -torch.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
        weights = scores.softmax(dim=-1)
        self._keep(weights)
        return weights @ value

    def _keep(self, weights: torch.Tensor) -> None:
        if weights.ndim == 4 and weights.shape[-1] == weights.shape[-2] > 1:
            self.seen.append(weights)


def transformer_in(module: nn.Module) -> nn.Module | None:
    """The part that is a vision transformer in timm's form: a sequence of blocks, tokens before those of patches."""
    for part in module.modules():
        if isinstance(getattr(part, "blocks", None), nn.Sequential) and hasattr(part, "num_prefix_tokens"):
            return part
    return None


def attends(module: nn.Module) -> bool:
    """Whether methods that explain attention may apply: quick, by the parts' form; `tokens_of` looks at a run."""
    return transformer_in(module) is not None


def tokens_of(module: LogitModule, images: torch.Tensor) -> tuple[Tokens, list[torch.Tensor]]:
    """How the tokens lie on the image, and the weights that one run gave.

    Raises
    ------
    LookupError
        There is no attention among tokens that are patches of the image, or the network runs on several at a time.
    """
    wanted = module(images).detach()
    with AttentionWatch() as watch:
        found = module(images)
    if not watch.seen:
        raise LookupError("it has no attention; use a method for any network, such as occlusion")
    if not torch.allclose(found.detach(), wanted, rtol=0, atol=AGREE * (1 + float(wanted.abs().max()))):
        raise LookupError("its attention is not the usual one: in steps it gives other log-odds")
    lengths = {weights.shape[-1] for weights in watch.seen}
    vit = transformer_in(module)
    if len(lengths) > 1 or vit is None or len(watch.seen) != len(vit.blocks):  # type: ignore[arg-type]
        raise LookupError(
            "its tokens are not those of one grid of patches in each block of a transformer that runs once"
        )
    before, length = int(vit.num_prefix_tokens), lengths.pop()  # type: ignore[arg-type]
    side = isqrt(length - before)
    pooled = str(getattr(vit, "global_pool", "token"))
    if side**2 != length - before or pooled not in ("token", "avg"):
        raise LookupError(f"its {length} tokens (pooled by {pooled}) are not a square of patches")
    return Tokens(before, side, pooled == "token"), watch.seen


def rollout(module: LogitModule, images: torch.Tensor) -> torch.Tensor:
    """Attention rollout (Abnar & Zuidema 2020), (n, 1, h, w): the product over layers of ½ (mean over heads + 1)."""
    with torch.no_grad():
        tokens, seen = tokens_of(module, images)
        flow = torch.eye(seen[0].shape[-1], dtype=seen[0].dtype, device=images.device).expand(len(images), -1, -1)
        for weights in seen:
            mixed = (weights.mean(dim=1) + torch.eye(weights.shape[-1], dtype=flow.dtype, device=flow.device)) / 2
            flow = (mixed / mixed.sum(dim=-1, keepdim=True)) @ flow
        return tokens.on_image(tokens.of_score(flow), images)


def relevance(module: LogitModule, images: torch.Tensor) -> torch.Tensor:
    """Relevance of Chefer et al. 2021, (n, 1, h, w): R ← R + mean over heads of (gradient · attention)⁺ R.

    The gradient is that of the log-odds, so what it shows speaks for a lens.
    """
    leaf = images.detach().requires_grad_()
    tokens, _ = tokens_of(module, images.detach()[:1])
    with AttentionWatch() as watch:
        logit = module(leaf)
    slopes = torch.autograd.grad(logit.sum(), watch.seen)
    with torch.no_grad():
        flow = torch.eye(slopes[0].shape[-1], dtype=slopes[0].dtype, device=images.device).expand(len(images), -1, -1)
        for weights, slope in zip(watch.seen, slopes, strict=True):
            flow = flow + (slope * weights).clamp(min=0).mean(dim=1) @ flow
        if not tokens.from_class:  # what a patch is for itself before any attention says nothing
            flow = flow - torch.eye(flow.shape[-1], dtype=flow.dtype, device=flow.device)
        return tokens.on_image(tokens.of_score(flow), images)


def token_drop(module: LogitModule, images: torch.Tensor) -> torch.Tensor:
    """Log-odds with all tokens less those without a patch's, (n, 1, h, w): left out, not blackened."""
    with torch.no_grad():
        tokens, _ = tokens_of(module, images[:1])
        patches = tokens.side**2
        lost = torch.empty(len(images), patches, dtype=images.dtype, device=images.device)
        for row, image in enumerate(images):
            whole = module(image[None])
            for first in range(0, patches, MOST_TOKENS_AT_ONCE):
                left_out = torch.arange(first, min(first + MOST_TOKENS_AT_ONCE, patches), device=images.device)
                with _without(module, left_out + tokens.before):
                    lost[row, left_out] = whole - module(image.expand(len(left_out), -1, -1, -1))
        return tokens.on_image(lost, images)


@contextmanager
def _without(module: LogitModule, left_out: torch.Tensor) -> Iterator[None]:
    """Sequence i of a batch goes into the blocks without its token ``left_out[i]``; the hook is gone afterwards."""
    vit = transformer_in(module)
    assert vit is not None

    def drop(_blocks: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        sequence, *rest = inputs
        n, length, width = sequence.shape
        kept = torch.ones(n, length, dtype=torch.bool, device=sequence.device)
        kept[torch.arange(n, device=sequence.device), left_out] = False
        return (sequence[kept].view(n, length - 1, width), *rest)

    handle = vit.blocks.register_forward_pre_hook(drop)  # type: ignore[union-attr]
    try:
        yield
    finally:
        handle.remove()


def seen_words(module: LogitModule, noise: torch.Tensor) -> str:
    """What is there to look at, as ``6 layers of 3 heads, 11×11 patches``; LookupError as of `tokens_of`."""
    with torch.no_grad():
        tokens, seen = tokens_of(module, noise)
    return f"{len(seen)} layers of {seen[0].shape[1]} heads, {tokens.side}×{tokens.side} patches"
