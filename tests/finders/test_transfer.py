"""Transfer finders: bodies, weights that others trained, and what is refused; LensFlow's layers beside them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import (
    ARCHITECTURES,
    Recipe,
    body_facts,
    builtin_recipes,
    fill_body,
    in_mode,
    initialised_module,
    load_recipe,
    read_pretrained,
)
from lensaudit.finders.architectures import he_normal_, unfilled
from lensaudit.finders.architectures.transfer import BODIES, new_body
from lensaudit.finders.pretrained import UNTRAINED, transfer_part

PARAMETERS = {"xception": 22.9, "inception": 23.8, "resnet": 25.6, "nasnet": 88.8, "vgg16": 138.4, "vgg19": 143.7}
"""Millions with the classifier of 1000 classes; Akhazhanov 2018, Table 5-1: 23, 24, 26, 93, 139, 144."""


@pytest.fixture(autouse=True)
def timm(let_timm_load):
    let_timm_load()


def recipe_of(body: str = "efficientnet-lite0", **options) -> Recipe:
    words = {"body": body, **options}
    return Recipe(name="t", architecture="transfer", bands=("VIS",), size=100, architecture_options=words)


def seeded(recipe: Recipe, seed: int = 1) -> nn.Module:
    return initialised_module(recipe, torch.Generator().manual_seed(seed))


def test_lensflow_has_the_layers_of_table_3_1():
    module = unfilled("lensflow", 1).to("meta")
    values, shapes = torch.zeros(1, 1, 100, 100, device="meta"), []
    for layer in module:
        values = layer(values)
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.Linear):
            shapes.append(tuple(values.shape[1:]))
    assert shapes == [
        *[(30, 96, 96), (30, 48, 48), (60, 44, 44), (60, 22, 22), (90, 18, 18), (90, 9, 9)],
        *[(1000,), (800,), (600,), (2,)],
    ]
    kinds = [type(layer) for layer in module if isinstance(layer, nn.Tanh | nn.ReLU)]
    assert kinds == [nn.Tanh] * 3 + [nn.ReLU] * 3
    # weights and biases, (inputs × kernel + 1) × outputs: 8 754 532 in all
    expected = [26 * 30, (30 * 25 + 1) * 60, (60 * 25 + 1) * 90, 7291 * 1000, 1001 * 800, 801 * 600, 601 * 2]
    assert [sum(p.numel() for p in layer.parameters()) for layer in module if layer.state_dict()] == expected
    assert sum(expected) == 8_754_532


@pytest.mark.parametrize("name", BODIES)
def test_every_body_is_built_without_a_value_of_its_own(name):
    with torch.device("meta"):
        body = new_body(name)
        classified = body.head_hidden_size * 1000 + 1000
    if name in PARAMETERS:
        millions = (sum(p.numel() for p in body.parameters()) + classified) / 1e6
        assert millions == pytest.approx(PARAMETERS[name], abs=0.06)
    buffers = {key for key, _ in body.named_buffers()}
    assert buffers <= set(body.state_dict()), "a buffer that no file holds would stay unset"
    assert not any(getattr(part, "inplace", False) for part in body.modules())
    side = BODIES[name].smallest
    assert body.eval()(torch.zeros(2, 3, side, side, device="meta")).shape == (2, body.head_hidden_size)
    if side > 8:
        with pytest.raises(RuntimeError):
            body(torch.zeros(2, 3, side - 1, side - 1, device="meta"))


# The two with dense layers of 100 million weights are like the others here, and take their time.
@pytest.mark.parametrize("name", ["efficientnet-lite0", "xception", "inception", "resnet"])
def test_initialising_sets_every_value(name):
    module = unfilled("transfer", 1, 2, 100, {"body": name})
    for tensor in module.state_dict().values():
        tensor.fill_(torch.nan if tensor.dtype.is_floating_point else -1)
    he_normal_(module, torch.Generator().manual_seed(1))
    assert not [key for key, tensor in module.state_dict().items() if not torch.isfinite(tensor).all()]
    assert all((t == 0).all() for key, t in module.state_dict().items() if key.endswith("num_batches_tracked"))


@pytest.mark.parametrize("lift", [1, 2, 3])
def test_the_stem_lifts_to_three_colours_and_the_exact_size(lift):
    module = unfilled("transfer", 2, 2, 33, {"lift": lift}).to("meta")
    seen = module.stem(torch.zeros(2, 2, 33, 33, device="meta"))
    assert seen.shape == (2, 3, 33 * lift, 33 * lift)
    assert sum(isinstance(layer, nn.ConvTranspose2d) for layer in module.stem) == 3


@pytest.mark.parametrize("name", [name for name in builtin_recipes() if name.startswith("transfer-")])
def test_every_recipe_gives_its_body_what_it_takes(name):
    recipe = load_recipe(name)
    options = recipe.architecture_options
    assert (name, options["frozen"]) == (f"transfer-{options['body']}", True)
    with torch.device("meta"):
        module = ARCHITECTURES["transfer"].build(1, 2, size=recipe.size, **options).eval()
        assert module(torch.zeros(2, 1, recipe.size, recipe.size)).shape == (2, 2)
    seen, native = recipe.size * options["lift"], {"inception": 299, "xception": 299, "nasnet": 331}
    if options["body"] != "efficientnet-lite0":  # within a hundredth of the photographs it was trained on
        assert seen == pytest.approx(native.get(options["body"], 224), rel=0.01)


def test_genuine_weights_by_position_know_a_cat_and_a_cup(pretrained_file):
    """Not how the tensors were matched, but what the body then sees, is the oracle: ImageNet's own classes."""
    skimage_data, transform = pytest.importorskip("skimage.data"), pytest.importorskip("skimage.transform")
    found = read_pretrained(str(pretrained_file), recipe_of())
    assert found.origin.endswith(", by position")
    module = seeded(recipe_of())
    fill_body(module, found)
    body = transfer_part(module).body.eval()
    weight, bias = list(torch.load(pretrained_file, weights_only=True).values())[-2:]
    called = {}
    for name in ("chelsea", "coffee"):
        picture = transform.resize(getattr(skimage_data, name)(), (224, 224), anti_aliasing=True)
        image = torch.tensor((picture - 0.5) / 0.5, dtype=torch.float32).permute(2, 0, 1)[None]
        with torch.inference_mode():
            called[name] = int((body(image) @ weight.T + bias).argmax())
    assert called == {"chelsea": 285, "coffee": 967}, "Egyptian cat, espresso"


def test_genuine_weights_give_the_features_of_timm_s_own_model(pretrained_file):
    import timm

    own = timm.create_model("tf_efficientnet_lite0", num_classes=1000)
    stored = torch.load(pretrained_file, weights_only=True)
    own.load_state_dict(dict(zip(own.state_dict(), stored.values(), strict=True)))
    module = seeded(recipe_of())
    fill_body(module, read_pretrained(str(pretrained_file), recipe_of()))
    images = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = own.eval().forward_head(own.forward_features(images), pre_logits=True)
        assert torch.equal(transfer_part(module).body.eval()(images), expected)


@pytest.mark.parametrize(
    ("name", "suffix"), [("xception", ".pth"), ("inception", ".pth"), ("resnet", ".safetensors")], ids=str
)
def test_weights_by_name_arrive_without_the_classifier(name, suffix, tmp_path):
    """A file as timm's hub holds it, made here: with the classifier, and for Inception an auxiliary one."""
    module = unfilled("transfer", 1, 2, 100, {"body": name})
    made = module.body
    for number, tensor in enumerate(made.state_dict().values()):
        tensor.fill_(number)
    stored = {key: tensor.clone() for key, tensor in made.state_dict().items()}
    stored[BODIES[name].classifier[0]] = torch.zeros(1000, made.num_features)
    stored[BODIES[name].classifier[1]] = torch.zeros(1000)
    if name == "inception":
        stored["AuxLogits.fc.weight"] = torch.zeros(1000, 768)
    path = tmp_path / f"weights{suffix}"
    save_file(stored, path) if suffix == ".safetensors" else torch.save(stored, path)
    for tensor in made.state_dict().values():
        tensor.fill_(-1)
    found = read_pretrained(str(path), recipe_of(name))
    fill_body(module, found)
    assert found.origin.endswith(", by name")
    for key, value in transfer_part(module).body.state_dict().items():
        assert torch.equal(value, stored[key]), key


@pytest.mark.parametrize("name", ["nasnet", "vgg16", "vgg19"])
def test_the_large_bodies_take_their_names_too(name, tmp_path):
    """Half a gigabyte of weights each: the rules of matching are asked, not the arithmetic."""
    from lensaudit.finders.pretrained import _assigned

    with torch.device("meta"):
        expected = new_body(name).state_dict()
        stored = {**expected, **{key: torch.zeros(1000, 3) for key in BODIES[name].classifier}}
    kept, by = _assigned(stored, expected, BODIES[name], tmp_path / "weights.pth")
    assert (by, list(kept)) == ("name", list(expected))
    foreign = {f"x{number}": value for number, value in enumerate(stored.values())}
    foreign[f"x{len(stored) - 1}"] = torch.zeros(1000)  # a bias at the end
    kept, by = _assigned(foreign, expected, BODIES[name], tmp_path)
    assert (by, list(kept)) == ("position", list(expected))


def test_a_missing_file_is_told_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(DataError) as refused:
        read_pretrained(str(tmp_path / "w.pth"), recipe_of("resnet"))
    line = str(refused.value)
    assert "\n" not in line
    command = line.partition("get it with: ")[2]
    assert command == (
        "python -c \"import timm, torch; torch.save(timm.create_model('resnet50', pretrained=True).state_dict(), "
        f"'{tmp_path / 'w.pth'}')\""
    )


def test_the_hub_is_timm_s_own_download(monkeypatch):
    import timm

    asked = []

    def create(name, pretrained=False, **words):
        asked.append((name, pretrained))
        return real(name, **words)

    real = timm.create_model
    monkeypatch.setattr(timm, "create_model", create)
    found = read_pretrained("hub", recipe_of())
    assert asked == [("tf_efficientnet_lite0", True)]
    assert found.origin.startswith("timm's hub, tf_efficientnet_lite0, tag ")
    fill_body(seeded(recipe_of()), found)


def test_an_unreachable_hub_is_one_line_with_the_command(monkeypatch):
    import timm

    def fail(*_, **__):
        raise OSError("no route\nto host")

    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(UsageError, match=r"could not fetch .*no route to host"):
        read_pretrained("hub", recipe_of())


def damaged(stored: dict, how: str) -> dict:
    keys = list(stored)
    if how == "a tensor missing":
        return {key: stored[key] for key in keys if key != "bn2.weight"}
    if how == "a foreign tensor":
        return stored | {"malware.weight": torch.zeros(1)}
    if how == "another shape":
        return stored | {"bn2.weight": torch.zeros(7)}
    if how == "not finite":
        return stored | {"bn2.weight": torch.full_like(stored["bn2.weight"], torch.nan)}
    renamed = {f"x{number}": value for number, value in enumerate(stored.values())}
    return renamed | {"x3": torch.zeros(7)}


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("a tensor missing", "'bn2.weight' is missing"),
        ("a foreign tensor", "'malware.weight' does not belong"),
        ("another shape", r"has shape \(7,\), \(1280,\) is needed"),
        ("not finite", "not finite floats"),
        ("foreign names, another shape", "neither by name nor, all shapes in order, by position"),
    ],
)
def test_other_weights_are_refused(how, line, tmp_path):
    module = seeded(recipe_of())
    torch.save(damaged(dict(transfer_part(module).body.state_dict()), how), tmp_path / "w.pth")
    with pytest.raises(DataError, match=line):
        fill_body(module, read_pretrained(str(tmp_path / "w.pth"), recipe_of()))


def test_a_file_that_wants_to_run_something_is_refused(tmp_path):
    torch.save({"a": Path}, tmp_path / "w.pth")
    with pytest.raises(DataError, match="nothing in it was run"):
        read_pretrained(str(tmp_path / "w.pth"), recipe_of())


def test_the_mode_is_in_the_recipe_and_contradictions_are_refused():
    assert in_mode(recipe_of(), None, None) == recipe_of()
    assert in_mode(recipe_of(), "fine-tuned", "f").architecture_options["frozen"] is False
    assert in_mode(recipe_of(frozen=False), "frozen", None).architecture_options["frozen"] is True
    assert in_mode(recipe_of(), "fine-tuned", None, "f").architecture_options["frozen"] is False
    for mode, *source in (("random", "f"), ("random", None, "f"), ("fine-tuned", None), ("thawed", None)):
        with pytest.raises(UsageError, match=f"--body {mode}"):
            in_mode(recipe_of(), mode, *source)
    other = Recipe(name="plain", architecture="lensflow", bands=("VIS",), size=100)
    assert in_mode(other, None, None) is other
    for mode, source in (("frozen", None), (None, "f")):
        with pytest.raises(UsageError, match="recipe plain has no pretrained body"):
            in_mode(other, mode, source)


def test_random_weights_are_said_plainly(pretrained_file):
    assert body_facts(recipe_of(), None)["body"].endswith(UNTRAINED)
    assert "5793442" in body_facts(recipe_of(), str(pretrained_file))["body"]  # its SHA-256, which its name begins with
    assert body_facts(Recipe(name="o", architecture="lensflow", bands=("V",), size=100), None) == {}


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"body": "inception", "size": 74}, "body inception takes 75 pixels or more, the stem gives size 74 × lift 1"),
        ({"body": "alexnet"}, "body 'alexnet' is not known; allowed: efficientnet-lite0, xception"),
        ({"lift": 0}, "raise one of them"),
    ],
)
def test_what_a_body_cannot_take_is_refused(options, line):
    size = options.pop("size", 100)
    with pytest.raises(UsageError, match=line):
        unfilled("transfer", 1, 2, size, options)


def test_timm_is_asked_for_only_where_a_body_is_built(tmp_path):
    """A fresh interpreter, with nothing of this test's path: the registry costs no timm, a body says what it lacks."""
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    program = (
        "import sys, lensaudit.finders as f\n"
        "from lensaudit.errors import UsageError\n"
        "assert not {'timm', 'torchvision'} & set(sys.modules)\n"
        "def build():\n"
        "    try: f.ARCHITECTURES['transfer'].build(1)\n"
        "    except UsageError as e: print(e)\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "build()\n"
        "sys.modules['timm'] = None\n"
        "build()\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    broken, missing = ran.stdout.splitlines()
    assert broken.startswith(f"timm needs the torchvision that was built with torch {torch.__version__}, and there is")
    assert "(operator torchvision::nms does not exist); install that build" in broken
    assert missing == (
        "the body of this finder comes from timm, which is not installed; pip install 'lensaudit[transfer]'"
    )
