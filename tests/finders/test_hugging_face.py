"""Folders of Hugging Face and the hub: the same network by transformers' names, and one line where there is no way."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from network_files import declaration
from safetensors.torch import save_file

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import Recipe, load_finder, read_pretrained
from lensaudit.finders.architectures.timm_networks import created
from lensaudit.finders.formats.hugging_face import as_timm, from_hub, read_config

VIT_WORDS = {"depth": 2, "embed_dim": 12, "num_heads": 2, "patch_size": 8, "img_size": 32}
VIT_CONFIG = {
    "architectures": ["ViTForImageClassification"], "model_type": "vit", "num_hidden_layers": 2, "hidden_size": 12,
    "intermediate_size": 48, "num_attention_heads": 2, "patch_size": 8, "image_size": 32, "num_channels": 2,
    "id2label": {"0": "other", "1": "lens"},
}  # fmt: skip
CONVNEXT_CONFIG = {"model_type": "convnext", "depths": [3, 3, 9, 3], "hidden_sizes": [96, 192, 384, 768]}


@pytest.fixture(autouse=True)
def timm(let_timm_load):
    let_timm_load()


VIT_RULES = {
    "patch_embed.proj.": "embeddings.patch_embeddings.projection.", "pos_embed": "embeddings.position_embeddings",
    "cls_token": "embeddings.cls_token", "head.": "classifier.", ".attn.proj.": ".attention.output.dense.",
    ".attn.": ".attention.attention.", ".mlp.fc1.": ".intermediate.dense.", ".mlp.fc2.": ".output.dense.",
    ".norm1.": ".layernorm_before.", ".norm2.": ".layernorm_after.", "blocks.": "encoder.layer.", "norm.": "layernorm.",
}  # fmt: skip
CONVNEXT_RULES = {
    "head.norm.": "layernorm.", "head.fc.": "classifier.", "stem.0.": "embeddings.patch_embeddings.",
    "stem.1.": "embeddings.layernorm.", ".downsample.": ".downsampling_layer.", ".blocks.": ".layers.",
    ".conv_dw.": ".dwconv.", ".norm.": ".layernorm.", ".mlp.fc1.": ".pwconv1.", ".mlp.fc2.": ".pwconv2.",
    ".gamma": ".layer_scale_parameter", "stages.": "encoder.stages.",
}  # fmt: skip


def in_transformers_words(tensors: dict[str, torch.Tensor], body: str) -> dict[str, torch.Tensor]:
    """Tensors of timm by the names of transformers, from its sources: not by the tables that are tested."""
    found = {}
    for key, tensor in tensors.items():
        if ".qkv." in key:
            parts = {key.replace("qkv", n): t for n, t in zip(("query", "key", "value"), tensor.chunk(3), strict=True)}
        else:
            parts = {key: tensor}
        for name, value in parts.items():
            for ours, theirs in (VIT_RULES if "vit" in body else CONVNEXT_RULES).items():
                if ours.startswith(".") or name.startswith(ours):
                    name = name.replace(ours, theirs)
            found[name if name.startswith("classifier") else body + name] = value.clone()
    return found


def saved(folder: Path, name: str, config: dict, body: str = "", **words) -> dict[str, torch.Tensor]:
    """A folder as ``save_pretrained`` writes it; the tensors of timm's network in it."""
    torch.manual_seed(7)
    tensors = dict(created(name, {"in_chans": 2, "num_classes": 2, **words}).eval().state_dict())
    for key, tensor in tensors.items():
        if key.endswith("gamma"):
            tensor.fill_(0.5)  # 1e-6 would hide every block
    folder.mkdir(parents=True)
    save_file(in_transformers_words(tensors, body) if body else tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return tensors


def test_the_tables_name_what_transformers_has():
    """A few of its names, written down from its sources."""
    vit = in_transformers_words(dict(created("vit_tiny_patch16_224", VIT_WORDS).state_dict()), "vit.")
    for name in (
        "vit.embeddings.cls_token", "vit.embeddings.position_embeddings",
        "vit.embeddings.patch_embeddings.projection.weight", "vit.encoder.layer.1.attention.attention.query.bias",
        "vit.encoder.layer.0.attention.output.dense.weight", "vit.encoder.layer.0.intermediate.dense.bias",
        "vit.encoder.layer.0.layernorm_before.weight", "vit.layernorm.weight", "classifier.bias",
    ):  # fmt: skip
        assert name in vit
    with torch.device("meta"):
        made = created("convnext_tiny", {})
    names = in_transformers_words(dict(made.state_dict()), "convnext.")
    for name in (
        "convnext.embeddings.patch_embeddings.weight", "convnext.embeddings.layernorm.bias",
        "convnext.encoder.stages.1.downsampling_layer.0.bias", "convnext.encoder.stages.1.downsampling_layer.1.bias",
        "convnext.encoder.stages.2.layers.8.dwconv.weight", "convnext.encoder.stages.0.layers.0.layernorm.weight",
        "convnext.encoder.stages.0.layers.0.pwconv1.weight", "convnext.encoder.stages.0.layers.0.pwconv2.bias",
        "convnext.encoder.stages.3.layers.2.layer_scale_parameter", "convnext.layernorm.weight", "classifier.weight",
    ):  # fmt: skip
        assert name in names
    assert {key: one.shape for key, one in as_timm(names).items()} == {
        key: one.shape for key, one in made.state_dict().items()
    }


@pytest.mark.parametrize("prefix", ["", "model."])
def test_a_vit_of_transformers_is_timm_s(tmp_path, prefix):
    folder = tmp_path / "vit"
    tensors = saved(folder, "vit_base_patch16_224", VIT_CONFIG, f"{prefix}vit.", **VIT_WORDS)
    if prefix:
        from safetensors.torch import load_file

        stored = load_file(folder / "model.safetensors")
        renamed = {key if key.startswith(prefix) else prefix + key: value for key, value in stored.items()}
        save_file(renamed, folder / "model.safetensors")
    finder = load_finder(declaration(folder, "hf", size=32))
    assert finder.recipe.architecture == "timm:vit_base_patch16_224"
    for key, tensor in finder.module.network.state_dict().items():
        assert torch.equal(tensor, tensors[key]), key
    images = torch.rand(2, 2, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        own = created("vit_base_patch16_224", {"in_chans": 2, "num_classes": 2, **VIT_WORDS}).eval()
        own.load_state_dict(tensors)
        own = own(images)
        torch.testing.assert_close(finder.logit(images), own[:, 1] - own[:, 0], rtol=0, atol=1e-5)  # channels last


def test_a_folder_of_timm_says_its_network_and_one_without_classes_is_for_training(tmp_path):
    config = {"architecture": "convnext_atto", "num_classes": 2, "model_args": {"in_chans": 2}}
    tensors = saved(tmp_path / "timm", "convnext_atto", config)
    finder = load_finder(declaration(tmp_path / "timm", "a", size=32))
    assert (finder.recipe.architecture, finder.recipe.outputs) == ("timm:convnext_atto", 2)
    (tmp_path / "timm" / "config.json").write_text(json.dumps({**config, "num_classes": 0}))
    with pytest.raises(UsageError, match="is an encoder without classes, no finder; fine-tune it: lensaudit train"):
        load_finder(declaration(tmp_path / "timm", "a", size=32))
    recipe = Recipe(name="t", architecture="timm:convnext_atto", bands=("VIS", "H"), size=32)
    found = read_pretrained(str(tmp_path / "timm"), recipe)
    assert torch.equal(found.tensors["stem.0.weight"], tensors["stem.0.weight"])


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"model_type": "swin"}, "is transformers' 'swin' in a form that timm does not have.*export it with torch"),
        ({**CONVNEXT_CONFIG, "depths": [1, 1, 1, 1]}, "in a form that timm does not have"),
        ({**VIT_CONFIG, "intermediate_size": 47}, "in a form that timm does not have"),
        ({"model_type": "convnext", "depths": "x"}, "is no configuration of timm or transformers"),
        ({"architecture": "vit_tiny_patch16_224", "model_args": {"class_token": False}}, "made it with 'class_token'"),
        ([], "is no mapping"),
    ],
)
def test_other_configurations_are_one_line(tmp_path, config, says):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match=says):
        read_config(tmp_path)


def test_the_usual_convnexts_of_transformers_are_known(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONVNEXT_CONFIG))
    found = read_config(tmp_path)
    assert (found.architecture, found.outputs) == ("timm:convnext_tiny", 2)


def test_pickles_and_parts_in_a_folder_are_not_read(tmp_path):
    folder = tmp_path / "hf"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(VIT_CONFIG))
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04")
    told = declaration(folder, "a", size=32)
    with pytest.raises(DataError, match=r"has no model.safetensors, and pickles are not read from such a folder; save"):
        load_finder(told)
    (folder / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(DataError, match="its weights lie in several files; save it in one"):
        load_finder(told)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub in place of the network: repositories are folders; what was asked of it."""
    asked: list[tuple[str, str, str | None]] = []

    def hf_hub_download(repository: str, filename: str, *, revision: str | None, etag_timeout: float) -> str:
        assert etag_timeout <= 10
        asked.append((repository, filename, revision))
        path = tmp_path / "hub" / repository / filename
        if not path.is_file():
            raise ConnectionError(f"no way to {repository}\n  after 10 s")
        return str(path)

    module = ModuleType("huggingface_hub")
    module.hf_hub_download = hf_hub_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return asked


def test_weights_of_the_hub_are_those_of_its_folder_and_no_pickle_is_asked_for(hub, tmp_path):
    config = {"architecture": "convnext_atto", "num_classes": 2, "model_args": {"in_chans": 2}}
    tensors = saved(tmp_path / "hub" / "someone" / "finder", "convnext_atto", config)
    finder = load_finder(declaration(tmp_path / "x", file="hub:someone/finder@v2", size=32))
    assert torch.equal(finder.module.network.state_dict()["stem.0.weight"], tensors["stem.0.weight"])
    assert hub == [("someone/finder", name, "v2") for name in ("config.json", "model.safetensors")]
    recipe = Recipe(name="t", architecture="timm:convnext_atto", bands=("VIS", "H"), size=32)
    read = read_pretrained("hub:someone/finder", recipe)
    assert torch.equal(read.tensors["stem.0.weight"], tensors["stem.0.weight"])


def test_the_hub_alone_is_timm_s_repository_of_the_architecture(hub, tmp_path):
    told = declaration(tmp_path / "x", file="hub", architecture="timm:convnext_atto", size=32)
    with pytest.raises(UsageError) as refused:
        load_finder(told)
    assert hub == [("timm/convnext_atto.d2_in1k", "config.json", None)]
    assert (
        "hub could not be fetched (ConnectionError: no way to timm/convnext_atto.d2_in1k after 10 s); where there "
        in str(refused.value)
    )
    assert "hf download timm/convnext_atto.d2_in1k --local-dir FOLDER" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("words", ["hub:../etc/passwd", "hub:/a", "hub:a", "hub:a/b/c", "hub:a/..", "hub"])
def test_what_names_no_repository_is_one_line_before_anything_is_asked(hub, tmp_path, words):
    with pytest.raises(UsageError, match="names no repository; say hub:OWNER/NAME"):
        load_finder(declaration(tmp_path / "x", file=words, size=32))
    assert hub == []


def test_without_its_client_one_line_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UsageError, match="hub:a/b needs huggingface_hub, which comes with timm; pip install it, or"):
        from_hub("hub:a/b", "mine.yaml: file")
