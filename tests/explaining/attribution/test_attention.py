"""Attention as explanation: closed forms, a slow reference from the papers, and what is refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from lensaudit.errors import DataError
from lensaudit.explaining import Explainer, explain_prepared
from lensaudit.explaining.attribution.attention import AttentionWatch, rollout
from lensaudit.explaining.judging.randomisation import randomisation_check
from lensaudit.explaining.layers import logit_module
from lensaudit.finders import Finder, Recipe, declare_finder, initialised_module
from lensaudit.finders.layers import Symmetrised

SIZE, PATCH, WIDTH, HEADS, DEPTH = 12, 4, 8, 2, 3
SIDE = SIZE // PATCH
METHODS = ("attention-rollout", "attention-relevance", "token-drop")
FLOAT32 = 1e-5  # of the largest value: a few thousand sums in single precision, in another order


@pytest.fixture(scope="module")
def made(let_timm_load):
    """Depth, pooling → a small transformer of timm with seeded weights that are large enough to matter."""
    let_timm_load()
    from timm.models.vision_transformer import VisionTransformer

    def make(depth: int = DEPTH, pooled: str = "token", fused: bool = True) -> nn.Module:
        torch.manual_seed(1)
        net = VisionTransformer(
            img_size=SIZE, patch_size=PATCH, in_chans=2, num_classes=2, embed_dim=WIDTH, depth=depth, num_heads=HEADS,
            global_pool=pooled, class_token=pooled == "token",
        ).eval()  # fmt: skip
        generator = torch.Generator().manual_seed(5)
        for tensor in net.parameters():
            if tensor.ndim > 1:
                tensor.data.copy_(torch.randn(tensor.shape, generator=generator) * 0.4)
        for block in net.blocks:
            block.attn.fused_attn = fused
        return net

    return make


@pytest.fixture(scope="module")
def finder(made) -> Finder:
    return finder_of(made())


def finder_of(net: nn.Module) -> Finder:
    return declare_finder(net, ("H", "VIS"), SIZE, name="vit")


def images(n: int = 3) -> torch.Tensor:
    return torch.rand(n, 2, SIZE, SIZE, generator=torch.Generator().manual_seed(2))


def patches(maps: np.ndarray) -> np.ndarray:
    """One value a patch; the pixels of a patch all have it."""
    blocks = (
        maps.reshape(len(maps), SIDE, PATCH, SIDE, PATCH).transpose(0, 1, 3, 2, 4).reshape(len(maps), SIDE, SIDE, -1)
    )
    assert (np.ptp(blocks, axis=-1) == 0).all()
    return blocks[..., 0].reshape(len(maps), -1)


class ByHand(nn.Module):
    """timm's transformer once more, written from its paper, whose attention weights are inputs of what follows."""

    def __init__(self, net: nn.Module, left_out: int | None = None) -> None:
        super().__init__()
        self.net, self.left_out, self.weights = net, left_out, []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        net = self.net
        tokens = net.patch_embed.proj(x).flatten(2).transpose(1, 2)
        if net.cls_token is not None:
            tokens = torch.cat([net.cls_token.expand(len(x), -1, -1), tokens], 1)
        tokens = tokens + net.pos_embed
        if self.left_out is not None:
            kept = [i for i in range(tokens.shape[1]) if i != self.left_out + net.num_prefix_tokens]
            tokens = tokens[:, kept]
        for block in net.blocks:
            tokens = tokens + self._attended(block.attn, block.norm1(tokens))
            tokens = tokens + block.mlp(block.norm2(tokens))
        tokens = net.norm(tokens)
        out = net.head(net.fc_norm(tokens[:, 0] if net.cls_token is not None else tokens.mean(1)))
        return out[:, 1] - out[:, 0]

    def _attended(self, attn: nn.Module, x: torch.Tensor) -> torch.Tensor:
        heads = []
        width = WIDTH // HEADS
        qkv = functional.linear(x, attn.qkv.weight, attn.qkv.bias).split(WIDTH, -1)
        weights = []
        for head in range(HEADS):
            q, k, v = (part[..., head * width : (head + 1) * width] for part in qkv)
            weight = torch.softmax(q @ k.transpose(1, 2) / width**0.5, -1)
            weights.append(weight)
            heads.append(weight @ v)
        self.weights.append(weights)
        return attn.proj(torch.cat(heads, -1))


def slow_rollout(net: nn.Module, x: torch.Tensor) -> np.ndarray:
    """Abnar & Zuidema 2020, equation 1 with A = ½ W + ½ I, one image and layer after the other."""
    rows = []
    for image in x:
        hand = ByHand(net)
        hand(image[None])
        flow = None
        for weights in hand.weights:
            mixed = 0.5 * sum(weights)[0] / HEADS + 0.5 * torch.eye(weights[0].shape[-1])
            flow = mixed if flow is None else mixed @ flow
        rows.append(flow[0, 1:] if net.cls_token is not None else flow.mean(0))
    return torch.stack(rows).detach().numpy()


def slow_relevance(net: nn.Module, x: torch.Tensor) -> np.ndarray:
    """Chefer et al. 2021, equations 5 and 6, one image after the other, with the gradient of each head by itself."""
    rows = []
    for image in x:
        hand = ByHand(net)
        logit = hand(image[None])
        flow = torch.eye(hand.weights[0][0].shape[-1])
        for weights in hand.weights:
            slopes = torch.autograd.grad(logit, weights, retain_graph=True)
            weighed = [(slope[0] * weight[0]).clamp(min=0) for slope, weight in zip(slopes, weights, strict=True)]
            flow = flow + (sum(weighed) / HEADS) @ flow
        own = flow - torch.eye(len(flow))
        rows.append(own[0, 1:] if net.cls_token is not None else own.mean(0))
    return torch.stack(rows).detach().numpy()


def slow_token_drop(net: nn.Module, x: torch.Tensor) -> np.ndarray:
    whole = ByHand(net)(x)
    return torch.stack([whole - ByHand(net, place)(x) for place in range(SIDE**2)], 1).detach().numpy()


SLOW = dict(zip(METHODS, (slow_rollout, slow_relevance, slow_token_drop), strict=True))


@pytest.mark.parametrize("pooled", ["token", "avg"])
@pytest.mark.parametrize("method", METHODS)
def test_equals_the_slow_reference(made, method, pooled):
    net = made(pooled=pooled)
    finder, x = finder_of(net), images()
    np.testing.assert_allclose(ByHand(net)(x).detach(), finder.logit(x).detach(), rtol=1e-4)
    found, wanted = patches(explain_prepared(finder, x, method).maps), SLOW[method](net, x)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=FLOAT32 * np.abs(wanted).max())
    assert np.ptp(wanted) > 1e-3


def test_of_one_layer_rollout_is_the_normalised_attention(made):
    """Closed form: half of what the class token attends to, mean over heads, and nothing of its own half."""
    net = made(depth=1)
    hand = ByHand(net)
    hand(images())
    wanted = (sum(hand.weights[0]) / HEADS)[:, 0, 1:] / 2
    found = patches(explain_prepared(finder_of(net), images(), "attention-rollout").maps)
    np.testing.assert_allclose(found, wanted.detach().numpy(), rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_fused_and_plain_attention_give_one_map(made, method):
    maps = [explain_prepared(finder_of(made(fused=fused)), images(), method).maps for fused in (True, False)]
    np.testing.assert_allclose(maps[0], maps[1], rtol=0, atol=FLOAT32 * np.abs(maps[1]).max())


def test_rollout_is_a_share_and_follows_patches_that_change_places(made):
    """Rows of the flow add up to 1; without places, patches exchanged in the image are exchanged in the map."""
    net = made()
    net.pos_embed.data.zero_()
    finder, x = finder_of(net), images()
    maps = explain_prepared(finder, x, "attention-rollout").maps
    assert (patches(maps).sum(1) < 1).all()
    assert (maps > 0).all()
    moved = torch.roll(x, (PATCH, 2 * PATCH), (2, 3))
    again = explain_prepared(finder, moved, "attention-rollout").maps
    np.testing.assert_allclose(again, np.roll(maps, (PATCH, 2 * PATCH), (1, 2)), rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_contract(finder, method):
    """Finite, of the image's shape, the same without neighbours; the module as it was, no hook left, still fused."""
    before = {name: tensor.clone() for name, tensor in finder.module.state_dict().items()}
    finder.module.train()
    result, alone = explain_prepared(finder, images(), method), explain_prepared(finder, images()[1:2], method)
    assert finder.module.training
    finder.module.eval()
    assert result.maps.shape == (3, SIZE, SIZE)
    assert np.isfinite(result.maps).all()
    np.testing.assert_allclose(alone.maps[0], result.maps[1], rtol=0, atol=FLOAT32 * np.abs(result.maps).max())
    assert result.hooked == "3 layers of 2 heads, 3×3 patches"
    assert result.attributions is None
    assert all(torch.equal(tensor, before[name]) for name, tensor in finder.module.state_dict().items())
    parts = list(finder.module.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks or part._backward_hooks for part in parts)
    assert all(block.attn.fused_attn for block in finder.module.blocks)


@pytest.mark.parametrize("method", METHODS)
def test_the_recipe_s_own_network_is_explained(method):
    """Its code can be drawn as a graph, in which no transformer would be seen any more."""
    recipe = Recipe(
        name="t", architecture="timm:vit_tiny_patch16_224", bands=("H", "VIS"), size=SIZE,
        architecture_options={"patch": PATCH, "depth": 2, "width": WIDTH, "heads": HEADS},
    )  # fmt: skip
    finder = Finder(recipe, initialised_module(recipe, torch.Generator().manual_seed(1)).eval(), "test")
    assert explain_prepared(finder, images(1), method).hooked == "2 layers of 2 heads, 3×3 patches"


def test_randomised_weights_change_the_maps(made):
    """The check of the other methods takes these as it takes those; an untrained network says only that it runs."""
    found = randomisation_check(finder_of(made(depth=1)), images(4), "attention-rollout", draws=1)
    assert np.isfinite(found.excess)


class Watched(nn.Module):
    """Attention of torch's own module, whose weights no mode sees."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks, self.num_prefix_tokens = nn.Sequential(), 0
        self.attention, self.head = nn.MultiheadAttention(2, 1, batch_first=True), nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return self.head(self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1))


@pytest.mark.parametrize("method", METHODS)
def test_what_has_no_map_of_attention_is_one_line(finder, method):
    plain = nn.Sequential(nn.Conv2d(2, 2, 3), nn.Flatten(), nn.Linear(200, 2))
    cases = {
        "cannot explain vit: it has no attention; use saliency": plain,
        "its nn.MultiheadAttention hides its weights": Watched(),
        "not those of one grid of patches in each block of a transformer that runs once": Symmetrised(finder.module),
    }
    for line, net in cases.items():
        with pytest.raises(DataError, match=line) as refused:
            explain_prepared(finder_of(net.eval()), images(), method)
        assert "\n" not in str(refused.value)
    assert method in Explainer(finder).methods
    assert method not in Explainer(finder_of(plain)).methods


def test_masks_causal_attention_and_other_products_of_tokens():
    """Fused attention with a mask is that of torch; a causal one is refused, and a softmax over classes is none."""
    q, k, v = torch.rand(3, 1, 2, 5, 4, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(5, 5).tril().bool()
    for given in (mask, torch.zeros(5, 5).masked_fill(~mask, -1e9)):
        with AttentionWatch() as watch:
            found = functional.scaled_dot_product_attention(q, k, v, attn_mask=given)
        torch.testing.assert_close(found, functional.scaled_dot_product_attention(q, k, v, attn_mask=given))
        assert [tuple(weights.shape) for weights in watch.seen] == [(1, 2, 5, 5)]
    with AttentionWatch():
        found = functional.scaled_dot_product_attention(q, k, v, scale=0.9)
    torch.testing.assert_close(found, functional.scaled_dot_product_attention(q, k, v, scale=0.9))
    with AttentionWatch() as watch, pytest.raises(LookupError, match="causal"):
        functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    with AttentionWatch() as watch:
        torch.rand(3, 4).softmax(-1)
    assert not watch.seen


def test_a_token_that_the_score_never_sees_has_no_part_in_it(made):
    """Values of zero for one patch: all attention to it brings nothing, so relevance gives it none."""
    net = made(depth=1)
    net.blocks[0].attn.qkv.weight.data[2 * WIDTH :] = 0
    net.blocks[0].attn.qkv.bias.data[2 * WIDTH :] = 0
    found = explain_prepared(finder_of(net), images(), "attention-relevance").maps
    np.testing.assert_allclose(found, 0, atol=1e-7)  # nothing of the values, so no gradient of the weights
    assert rollout(logit_module(finder_of(net), net), images()).max() > 0, "which rollout does not know"
