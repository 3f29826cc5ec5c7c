"""Recipes: the built-in ones keep the contract, and a wrong word gets one line."""

import json

import pytest
import torch
import yaml

from lensaudit.errors import UsageError
from lensaudit.finders import Recipe, builtin_recipes, load_recipe
from lensaudit.finders.architectures import architecture
from lensaudit.finders.recipe import builtin_finder_folder

SMALL = [
    name
    for name in builtin_recipes()
    if name != "ou-tsne" and (not name.startswith("transfer") or name.endswith("lite0"))
]
"""Without the bodies of 20 to 140 million weights, which ``test_transfer.py`` builds without values, and
without the ensemble, which has no random start (``tests/ensembles``)."""

PARAMETERS = {"ou66": 203_192, "ou200": 331_632, "ou-jyh": 202_742}
BANDS = {
    "ou66": ("J", "Y", "H", "VIS"),
    "ou200": ("J", "Y", "H", "VIS"),
    "ou-jyh": ("J", "Y", "H"),
    "ou-j": ("J",),
    "ou-y": ("Y",),
    "ou-h": ("H",),
    "ou-vis": ("VIS",),
}


def test_the_seven_variants_of_the_paper_are_built_in():
    assert set(builtin_recipes()) >= set(BANDS)


@pytest.mark.parametrize("name", SMALL)
def test_every_built_in_recipe_builds_a_working_finder(name, make_finder, make_cutouts):
    finder = make_finder(name)
    assert finder.name == name
    assert finder.recipe.bands == BANDS.get(name, finder.recipe.bands)
    assert finder.parameters == PARAMETERS.get(name, finder.parameters)
    with torch.inference_mode():
        cutouts = make_cutouts(2)
        logit = finder.logit(finder.preprocess({**cutouts, "g": cutouts["H"]}))
    assert logit.shape == (2,)
    assert torch.isfinite(logit).all()
    assert finder.weights_hash == make_finder(name).weights_hash != make_finder(name, seed=9).weights_hash


@pytest.mark.parametrize("name", builtin_recipes())
def test_every_built_in_recipe_survives_json_and_yaml(name):
    recipe = load_recipe(name)
    assert Recipe.model_validate(json.loads(recipe.model_dump_json())) == recipe
    assert Recipe.model_validate(yaml.safe_load(yaml.safe_dump(recipe.model_dump(mode="json")))) == recipe


def test_protocol_is_the_papers():
    for name, batch in (("ou66", 250), ("ou200", 125)):
        training = load_recipe(name).training
        assert (training.batch_size, training.epochs, training.learning_rate) == (batch, 250, 3e-4)
        assert training.class_weights == "inverse-frequency"
        assert 48_000 * training.validation_fraction == 3000


def test_quick_overrides_what_it_names_and_nothing_else():
    training = load_recipe("ou66").training
    quick = training.quickened()
    assert quick.epochs == training.quick.epochs < training.epochs
    assert quick.class_weights == training.class_weights


@pytest.mark.parametrize("typed", ["OU-66", "ou66", "Ou_66", "ou-66"])
def test_case_and_dashes_do_not_matter(typed):
    assert load_recipe(typed).name == "ou66"
    assert builtin_finder_folder("OUJYH").name == "ou-jyh"


def test_unknown_name_lists_what_is_allowed_and_the_nearest():
    with pytest.raises(UsageError, match=r"'ou2000' is not known; allowed: .*ou66.*did you mean ou200"):
        load_recipe("ou2000")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"pixels": 66}, "pixels: Extra inputs are not permitted"),
        ({"architecture": "ou67"}, "architecture 'ou67' is not known; allowed: ou66, ou200"),
        ({"size": 64}, "size 64 does not fit architecture ou66; it takes 66"),
        ({"stretch": "asinh"}, "stretch: 'asinh' is not known; allowed: minmax, sqrt, sqrt-minmax"),
        ({"bands": ["J", "J"]}, "bands: J, J names a band twice"),
        ({"lens_index": 2}, "lens_index 2 is not below outputs 2"),
        ({"threshold": 1.5}, "threshold: Input should be less than 1"),
        ({"training": {"epoch": 3}}, "training.epoch: Extra inputs"),
    ],
)
def test_a_wrong_word_gets_one_line_with_file_and_field(change, says, tmp_path):
    words = {"name": "mine", "architecture": "ou66", "bands": ["J"], "size": 66} | change
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(words))
    with pytest.raises(UsageError) as caught:
        load_recipe(str(path))
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "", "- just\n- a list", "\x00"])
def test_a_file_that_is_no_recipe_gets_one_line(text, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"recipe\.yaml"):
        load_recipe(str(path))


def test_sizes_of_recipes_are_those_of_the_architectures():
    for recipe in map(load_recipe, builtin_recipes()):
        for part in recipe.members or (recipe,):
            assert architecture(part.architecture).size in (None, part.size)
