"""A finder on disk, and how a finder is named."""

import json
import math

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import (
    Finder,
    FinderRecord,
    builtin_recipes,
    declare_finder,
    load_finder,
    read_record,
    save_finder,
)
from lensaudit.finders.load import FinderSummary, _find, builtin_finders, describe

SMALL = [
    name
    for name in builtin_recipes()
    if name != "ou-tsne" and (not name.startswith("transfer") or name.endswith("lite0"))
]
"""Without the bodies of 20 to 140 million weights, which ``test_transfer.py`` builds without values, and
without the ensemble, which has no random start (``tests/ensembles``)."""


@pytest.mark.parametrize("name", SMALL)
def test_saving_and_loading_keeps_every_bit(name, make_finder, tmp_path):
    finder = make_finder(name)
    record = save_finder(finder, tmp_path / "f", origin="a test", metrics={"auroc": 0.75}, training_data={"n": 10})
    loaded = load_finder(str(tmp_path / "f"))
    assert loaded.recipe == finder.recipe
    assert loaded.weights_hash == finder.weights_hash == record.weights_hash
    before, after = finder.module.state_dict(), loaded.module.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert read_record(tmp_path / "f") == record
    assert loaded.origin == str(tmp_path / "f")


def test_saving_again_writes_the_same_bytes(make_finder, tmp_path):
    for name in ("a", "b"):
        save_finder(make_finder("ou-h"), tmp_path / name, origin="a test")
    for file in ("weights.safetensors", "finder.yaml", "card.md"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_the_card_says_what_was_recorded_and_what_was_not(make_finder, tmp_path):
    save_finder(make_finder("ou66"), tmp_path, origin="trained on noise", metrics={"auroc": 0.51234567})
    card = (tmp_path / "card.md").read_text()
    assert "Trained on noise." in card
    assert "auroc: 0.5123" in card
    assert "Not recorded." in card
    assert "J, Y, H, VIS" in card


def spoiled(folder, change):
    tensors = load_file(folder / "weights.safetensors")
    change(tensors)
    save_file(tensors, folder / "weights.safetensors")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.pop("33.bias"), "tensor '33.bias' is missing"),
        (lambda t: t.update(extra=torch.zeros(1)), "tensor 'extra' does not belong"),
        (lambda t: t.update({"0.weight": torch.zeros(50, 3, 3, 3)}), "shape (50, 3, 3, 3), (50, 4, 3, 3) is needed"),
        (lambda t: t["0.bias"].fill_(math.nan), "not finite"),
        (lambda t: t["0.bias"].add_(1), "not the weights that finder.yaml records"),
    ],
)
def test_weights_that_do_not_fit_are_named(change, says, saved_ou66):
    spoiled(saved_ou66, change)
    with pytest.raises(DataError) as caught:
        load_finder(str(saved_ou66))
    assert says in str(caught.value)
    assert "weights.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_torn_file_is_named(saved_ou66):
    path = saved_ou66 / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"weights\.safetensors: is torn"):
        load_finder(str(saved_ou66))
    path.unlink()
    with pytest.raises(DataError, match=r"weights\.safetensors: is missing"):
        load_finder(str(saved_ou66))


def test_a_folder_that_is_no_finder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"has no finder\.yaml"):
        load_finder(str(tmp_path))


def test_a_wrong_field_of_the_record_is_named(saved_ou66):
    path = saved_ou66 / "finder.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"colour": "red"}))
    with pytest.raises(DataError, match=r"finder\.yaml: colour: Extra inputs"):
        load_finder(str(saved_ou66))


def test_a_crash_while_saving_leaves_no_finder(make_finder, saved_ou66, monkeypatch):
    def crash(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("lensaudit.finders.store.write_text", crash)
    with pytest.raises(KeyboardInterrupt):
        save_finder(make_finder("ou66", seed=8), saved_ou66, origin="a test")
    with pytest.raises(DataError, match=r"has no finder\.yaml"):
        load_finder(str(saved_ou66))


def test_a_built_in_finder_without_weights_says_how_to_get_them(tmp_path, monkeypatch):
    (tmp_path / "ou-new").mkdir()
    (tmp_path / "ou-new" / "recipe.yaml").write_text("{name: ou-new, architecture: ou66, bands: [J], size: 66}\n")
    monkeypatch.setattr("lensaudit.finders.recipe.builtin_folder", lambda name: tmp_path)
    with pytest.raises(UsageError, match=r"no weights yet; .*lensaudit train ou-new"):
        load_finder("OU_new")


def test_a_built_in_finder_with_weights_loads_by_name(tmp_path, monkeypatch, make_finder):
    finder = make_finder("ou-j")
    (tmp_path / "ou-j").mkdir()
    (tmp_path / "ou-j" / "recipe.yaml").write_text("{name: ou-j, architecture: ou66, bands: [J], size: 66}\n")
    save_finder(finder, tmp_path / "ou-j", origin="a test")
    monkeypatch.setattr("lensaudit.finders.recipe.builtin_folder", lambda name: tmp_path)
    loaded = load_finder("OU-J")
    assert loaded.origin == "built-in"
    assert loaded.weights_hash == finder.weights_hash


def test_unknown_names_paths_and_devices_are_usage_errors(tmp_path):
    with pytest.raises(UsageError, match="did you mean ou66"):
        load_finder("ou6")
    with pytest.raises(UsageError, match="is no folder with finder"):
        load_finder(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="allowed: auto, cpu, cuda"):
        load_finder("ou66", device="tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_without_a_device_is_a_usage_error():
    with pytest.raises(UsageError, match="no CUDA device"):
        load_finder("ou66", device="cuda")


MINE = """
import torch
from torch import nn
from lensaudit.finders import declare_finder

class Net(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.dense = nn.Linear(4, outputs)
    def forward(self, x):
        return self.dense(x.view(len(x), -1))

def finder():
    return declare_finder(Net(2), bands=["VIS"], size=2, name="mine")
def one():
    return declare_finder(Net(1), bands=["VIS"], size=2)
def broken():
    raise ValueError("no weights here")
def bare():
    return Net(2)
def wrong():
    return declare_finder(Net(2), bands=["VIS"], size=3)
def softmax():
    return declare_finder(nn.Sequential(Net(2), nn.Softmax(1)), bands=["VIS"], size=2)
def stretch():
    return declare_finder(Net(2), bands=["VIS"], size=2, stretch="asinh")
number = 3
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    (tmp_path / "my_finder_module.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("mine")
def test_anybodys_module_is_a_finder(make_cutouts):
    finder = load_finder("my_finder_module:finder")
    assert (finder.name, finder.recipe.outputs, finder.origin) == ("mine", 2, "my_finder_module:finder")
    images = finder.preprocess(make_cutouts(3))
    z = finder.module(images)
    torch.testing.assert_close(finder.logit(images), z[:, 1] - z[:, 0], rtol=0, atol=0)
    assert load_finder("my_finder_module:one").recipe.outputs == 1


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("attribute", "says"),
    [
        ("nothing", "module my_finder_module has no 'nothing'"),
        ("number", "number is not a function"),
        ("broken", "the factory failed (ValueError: no weights here, "),
        ("bare", "the factory returned Net; return lensaudit.finders.declare_finder"),
        ("wrong", "the module, on (2, 1, 3, 3) as declared, failed (RuntimeError"),
        ("softmax", "leave the softmax off"),
        ("stretch", "allowed: minmax, sqrt, sqrt-minmax"),
    ],
)
def test_mistakes_in_a_declaration_get_one_line(attribute, says):
    with pytest.raises(UsageError) as caught:
        load_finder(f"my_finder_module:{attribute}")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_module_that_cannot_be_imported_is_named():
    with pytest.raises(UsageError, match="there is no module no_such_package_here"):
        _find("no_such_package_here:finder")


def test_your_own_module_is_not_written_down(tmp_path):
    finder = declare_finder(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2)), ["VIS"], 2)
    with pytest.raises(UsageError, match=r"package\.module:factory"):
        save_finder(finder, tmp_path, origin="a test")
    assert isinstance(finder, Finder)


def test_listed_finders_survive_json_and_are_described_as_their_files_say():
    rows = builtin_finders()
    assert [FinderSummary.from_json(json.loads(json.dumps(row.to_json()))) for row in rows] == rows
    told = describe("ou66")
    words = json.loads(json.dumps(told.to_json()))
    assert list(words) == ["recipe", "record", "card", "note"]
    assert FinderRecord.model_validate({**words["record"], "recipe": words["recipe"]}) == told.record
