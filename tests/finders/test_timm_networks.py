"""ConvNeXt and ViT of timm as finders: recipes, how they begin, weights of others, and files of fine-tuned encoders."""

from __future__ import annotations

import pytest
import torch
from network_files import declaration
from safetensors.torch import save_file

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import (
    Finder,
    Recipe,
    body_facts,
    fill_body,
    in_mode,
    initialised_module,
    load_finder,
    load_recipe,
    read_pretrained,
    save_finder,
)
from lensaudit.finders.build import blueprint
from lensaudit.training.network import MaskSource, training_form

VIT = {"patch": 8, "depth": 2, "width": 12, "heads": 2}


@pytest.fixture(autouse=True)
def timm(let_timm_load):
    let_timm_load()


def recipe_of(name: str = "vit_tiny_patch16_224", size: int = 32, bands=("VIS", "H"), **options) -> Recipe:
    words = {"bands": bands, "size": size, "architecture_options": options}
    return Recipe(name="t", architecture=f"timm:{name}", **words)


def seeded(recipe: Recipe, seed: int = 1) -> torch.nn.Module:
    return initialised_module(recipe, torch.Generator().manual_seed(seed)).eval()


def noise(recipe: Recipe) -> torch.Tensor:
    shape = 2, len(recipe.bands), recipe.size, recipe.size
    return torch.rand(shape, generator=torch.Generator().manual_seed(4))


PUBLISHED = {"convnext_atto": 3.70, "convnext_nano": 15.59, "convnext_tiny": 28.59, "vit_tiny_patch16_224": 5.72}
"""Millions of parameters with 3 bands, 224 pixels and 1000 classes, in timm's table of results."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_that_timm_publishes(name):
    recipe = recipe_of(name, 224, ("a", "b", "c")).model_copy(update={"outputs": 1000})
    count = sum(tensor.numel() for tensor in blueprint(recipe).parameters())
    assert count / 1e6 == pytest.approx(PUBLISHED[name], abs=0.005)


@pytest.mark.parametrize(("name", "parameters"), [("convnext", 3_375_802), ("vit", 697_154)])
def test_the_recipes_begin_as_timm_does_and_from_the_generator_alone(name, parameters):
    recipe = load_recipe(name)
    before = torch.get_rng_state()
    first, again, other = (seeded(recipe, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert sum(tensor.numel() for tensor in first.values()) == parameters
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)
    stem = "network.stem.0.weight" if name == "convnext" else "network.blocks.0.attn.qkv.weight"
    # timm draws from N(0, 0.02²), of the transformer's dense layers and of all of a ConvNeXt's
    assert first[stem].std().item() == pytest.approx(0.02, rel=0.1)
    if name == "convnext":
        assert (first["network.stages.0.blocks.0.gamma"] == 1e-6).all(), "layer scale"
    made = Finder(recipe, seeded(recipe), "test")
    with torch.inference_mode():
        together, alone = made.logit(noise(recipe)), made.logit(noise(recipe)[:1])
    torch.testing.assert_close(together[:1], alone, rtol=0, atol=1e-5)  # roundings of another batch size


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ({"name": "convnext_attto"}, "no network 'convnext_attto'; the nearest are convnext_atto"),
        ({"name": "hf-hub:some/one"}, "no network 'hf-hub:some/one'"),
        ({"name": "swin_tiny_patch4_window7_224", "size": 224}, "keeps tables outside its weights"),
        ({"size": 33}, "takes patches of 16 pixels, of which size 33 is no multiple; take size 32"),
        ({"depth": 5000}, "option depth 5000 is not possible; take 1 to 96"),
        ({"name": "convnext_atto", "depth": 2}, "cannot be built"),
    ],
)
def test_what_cannot_be_is_one_line(words, line):
    with pytest.raises(UsageError, match=line) as refused:
        blueprint(recipe_of(**words))
    assert "\n" not in str(refused.value)


def test_an_option_that_none_has_is_a_word_of_the_recipe():
    with pytest.raises(ValueError, match=r"has no option 'lift'; it has patch, depth, width"):
        recipe_of(lift=3)


def foreign(name: str, **words) -> torch.nn.Module:
    import timm

    torch.manual_seed(7)
    return timm.create_model(name, **words).eval()


def test_weights_of_photographs_come_to_other_bands_patches_and_sizes_as_timm_fits_them(tmp_path):
    """The oracle is timm's own loader; our last layer stays as it began."""
    import timm

    words = {"depth": 2, "embed_dim": 12, "num_heads": 2}
    stored = foreign("vit_tiny_patch16_224", **words).state_dict()
    torch.save({"state_dict": {f"module.{key}": value for key, value in stored.items()}}, tmp_path / "vit.pth")
    recipe = recipe_of(**VIT)
    module = seeded(recipe)
    head = module.network.head.weight.clone()
    found = read_pretrained(str(tmp_path / "vit.pth"), recipe)
    fill_body(module, found)
    wanted = timm.create_model(
        "vit_tiny_patch16_224", pretrained=True, pretrained_cfg_overlay={"state_dict": dict(stored)}, img_size=32,
        patch_size=8, in_chans=2, num_classes=2, **words,
    )  # fmt: skip
    for key, value in wanted.state_dict().items():
        if not key.startswith("head."):
            assert torch.equal(module.network.state_dict()[key], value), key
    assert torch.equal(module.network.head.weight, head)
    assert found.origin.endswith(", by name")
    assert body_facts(recipe, str(tmp_path / "vit.pth"))["body"].startswith("timm's vit_tiny_patch16_224, all trained;")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            lambda stored: {**stored, "norm.weight": torch.ones(13)},
            r"'norm.weight' has shape \(13,\), \(12,\) is needed",
        ),
        (
            lambda stored: {key: v for key, v in stored.items() if key != "cls_token"},
            "'cls_token' is missing; give the",
        ),
        (lambda stored: {**stored, "malware": torch.ones(1)}, "'malware' is none of timm's vit_tiny_patch16_224"),
        (lambda stored: {**stored, "norm.weight": torch.full((12,), torch.nan)}, "norm.weight"),
        (lambda _: foreign("convnext_atto").state_dict(), "'cls_token' is missing"),
    ],
)
def test_weights_of_another_network_are_one_line(change, line, tmp_path):
    stored = foreign("vit_tiny_patch16_224", depth=2, embed_dim=12, num_heads=2).state_dict()
    torch.save(change(stored), tmp_path / "w.pth")
    with pytest.raises(DataError, match=line):
        read_pretrained(str(tmp_path / "w.pth"), recipe_of(**VIT))
    with pytest.raises(DataError, match="no such file; get it with: python -c"):
        read_pretrained(str(tmp_path / "none.pth"), recipe_of(**VIT))


def test_a_frozen_network_learns_its_last_layer_alone():
    recipe = in_mode(recipe_of(**VIT), "frozen", "w.pth")
    module = seeded(recipe).train()
    learned = [name for name, tensor in module.named_parameters() if tensor.requires_grad]
    assert learned == ["network.head.weight", "network.head.bias"]
    assert not module.network.blocks[0].training
    assert module.network.head.training
    with pytest.raises(UsageError, match="--body random starts from random weights"):
        in_mode(recipe_of(**VIT), "random", "w.pth")


def test_stochastic_depth_is_drawn_from_the_training_s_seed():
    """Each image keeps or loses a whole branch, and the next draw of the global stream is what it was."""
    module = seeded(recipe_of("convnext_atto", drop_path=0.5), 3)
    images = noise(recipe_of())[:1].expand(16, -1, -1, -1)
    trained = training_form(module, MaskSource(5)).train()
    for name, tensor in trained.named_parameters():
        if name.endswith("gamma"):
            tensor.data.fill_(1)
    before = torch.get_rng_state()
    with torch.no_grad():
        outputs = trained(images)
    assert torch.equal(torch.get_rng_state(), before)
    assert len(outputs.unique(dim=0)) > 8, "equal images come out differently"


def test_a_trained_one_is_saved_and_read_again(tmp_path):
    recipe = recipe_of(**VIT)
    finder = Finder(recipe, seeded(recipe), "test")
    save_finder(finder, tmp_path / "f", origin="of a test")
    again = load_finder(str(tmp_path / "f"))
    assert again.weights_hash == finder.weights_hash
    assert torch.equal(again.logit(noise(recipe)), finder.logit(noise(recipe)))


FILES = {
    "timm's own": lambda key: key,
    "of Lightning": lambda key: f"model.encoder.{key}",
    "of Zoobot": lambda key: (
        f"encoder.{key}" if not key.startswith("head.fc") else key.replace("head.fc", "head.linear")
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_fine_tuned_encoder_with_its_head_is_a_finder(kind, tmp_path):
    """Whatever the names before it, and with the head apart from the encoder, as fine-tuned encoders have it."""
    network = foreign("convnext_atto", in_chans=1, num_classes=2)
    stored = {FILES[kind](key): value.contiguous() for key, value in network.state_dict().items()}
    path = tmp_path / "mine.safetensors"
    save_file(stored, path)
    told = declaration(path, architecture="timm:convnext_atto", bands=["VIS"], size=32, format="safetensors")
    finder = load_finder(told)
    images = noise(recipe_of(bands=("VIS",)))
    with torch.inference_mode():
        outputs = network(images)
        torch.testing.assert_close(finder.logit(images), outputs[:, 1] - outputs[:, 0], rtol=0, atol=1e-6)


def test_a_declared_network_with_weights_of_another_is_one_line(tmp_path):
    save_file(foreign("resnet18", num_classes=2).state_dict(), tmp_path / "mine.safetensors")
    told = declaration(tmp_path / "mine.safetensors", architecture="timm:convnext_atto", bands=["VIS"], size=32)
    with pytest.raises(DataError, match=r"its \d+ tensors fit neither by name nor"):
        load_finder(told)
    told = declaration(tmp_path / "mine.safetensors", architecture="timm:resnet19", bands=["VIS"], size=32)
    with pytest.raises(UsageError, match="timm has no network 'resnet19'; the nearest are resnet"):
        load_finder(told)
