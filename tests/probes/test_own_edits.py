"""Edits of the user's own, of scenes and of images: what they may do, and one line for all that can go wrong."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import yaml

from lensaudit.errors import UsageError
from lensaudit.probes import ProbeOptions, load_definition, run_probe
from lensaudit.probes.steps import Arm, Step

from .conftest import SEED, formula

OWN = '''
from dataclasses import replace

def half_as_noisy(scene, strength):
    """Less noise."""
    return replace(scene, noise_scale=scene.noise_scale * strength)

def other_noise(scene, strength):
    return replace(scene, noise_seed=scene.noise_seed + 1)

def no_lens(scene, strength):
    return replace(scene, galaxies=scene.galaxies[:1], kind="no-source")

def nothing(scene, strength):
    return scene

def fails(scene, strength):
    raise RuntimeError("two\\nlines")

def returns_none(scene, strength):
    return None

def brighter(images, strength, rng):
    for image in images.values():
        image += strength
    return images

def noisy(images, strength, rng):
    return {band: image + strength * rng.standard_normal(image.shape) for band, image in images.items()}

def drops_a_band(images, strength, rng):
    return {"VIS": images["VIS"]}

def smaller(images, strength, rng):
    return {band: image[1:] for band, image in images.items()}

number = 3
'''

pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture(autouse=True, scope="module")
def own_module(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_probe_edits.py").write_text(OWN, encoding="utf-8")
    (folder / "own_broken_edits.py").write_text("raise RuntimeError('at\\nimport')", encoding="utf-8")
    (folder / "own_misspelt_edits.py").write_text("def edit(:", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


def step(name, level="scene", strength=0.5):
    return Step(edit=f"own_probe_edits:{name}", level=level, strength=strength)


def written(tmp_path, edit, name="mine", **changes):
    """A probe of one's own as YAML, on plain lenses."""
    value = {
        "name": name, "title": "Mine", "question": "?", "meaning": "!", "nature": "nuisance", "instrument": "euclid",
        "edits": {"treated": edit}, "default_mode": "plain", "modes": {"plain": {"populations": {"lenses": "plain"}}},
    } | changes  # fmt: skip
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump(value), encoding="utf-8")
    return path


def flux(bands):
    return bands["VIS"].sum((1, 2))


def test_an_edit_of_scenes_is_run(tmp_path):
    path = written(tmp_path, {"edit": "own_probe_edits:half_as_noisy", "strength": 0.5})
    sky = formula(lambda bands: np.median(np.abs(bands["VIS"][:, :60, :60]), axis=(1, 2)))
    result = run_probe(path, sky, 2, SEED, tmp_path / "out")
    ratio = result.column("logit_treated") / result.column("logit_control")
    assert ratio == pytest.approx(0.5, rel=0.1)  # a corner of the sky, where little light of galaxies falls


def test_an_edit_of_images_is_run_and_may_write_into_what_it_is_given(tmp_path, small_set):
    doses = {"label": "x", "phrase": "at {dose}", "values": [0.5, 1.0]}
    path = written(tmp_path, {"edit": "own_probe_edits:brighter", "level": "image"}, doses=doses)
    for options in (ProbeOptions(), ProbeOptions(lens_set=small_set)):
        result = run_probe(path, formula(flux), 2, SEED, tmp_path / "out", options)
        half, one = (found.logit_change.value for found in result.findings)
        assert half == pytest.approx(0.5 * 200**2, rel=1e-5)  # float32 pixels
        assert one == pytest.approx(200**2, rel=1e-5)  # and not 1.5: the arms do not add up


def test_an_edit_of_images_draws_the_same_in_every_arm():
    images = {"VIS": np.zeros((8, 8), np.float32), "H": np.zeros((4, 4), np.float32)}
    weak, strong = (Arm((step("noisy", "image", strength),)).images(images, 7) for strength in (1.0, 3.0))
    for band in images:
        np.testing.assert_allclose(strong[band], 3 * weak[band], rtol=1e-6)  # float32
    assert not np.array_equal(weak["VIS"], Arm((step("noisy", "image", 1.0),)).images(images, 8)["VIS"])


def test_two_built_in_edits_are_composed(tmp_path):
    """A fainter source, and then all of H brighter by 0.5 mag: the second multiplies what the first leaves."""
    steps = ["source-dimmed", {"edit": "recolour", "strength": 0.5}]
    path = written(tmp_path, steps, doses={"label": "mag", "phrase": "{dose} mag", "values": [1.0, 2.0]})
    definition = load_definition(path)
    one, two = definition.arms()[1:]
    assert one.describe() == "source-dimmed at 1, then recolour at 0.5"
    assert two.describe() == "source-dimmed at 2, then recolour at 0.5"
    assert not definition.colour_only
    assert not definition.on_images
    finder = formula(lambda bands: bands["H"].sum((1, 2)), ("H",))
    both = run_probe(path, finder, 2, SEED, tmp_path / "both")
    first = written(tmp_path, {"edit": "source-dimmed", "strength": 2.0}, "dimmed")
    dimmed = run_probe(first, finder, 2, SEED, tmp_path / "dimmed")
    expected = 10 ** (0.4 * 0.5) * dimmed.column("logit_treated")
    assert both.column("logit_treated") == pytest.approx(expected, rel=1e-5)  # float32 pixels


def test_an_edit_that_changes_nothing_is_told(tmp_path):
    path = written(tmp_path, "own_probe_edits:nothing")
    with pytest.raises(UsageError, match="own_probe_edits:nothing changes no pixel"):
        run_probe(path, formula(flux), 2, SEED, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "level", "words"),
    [
        ("other_noise", "scene", "'own_probe_edits:other_noise' changes the noise seed; keep it"),
        ("no_lens", "scene", "'own_probe_edits:no_lens' turns a lens into a non-lens; an edit must keep the label"),
        (
            "fails",
            "scene",
            r"'own_probe_edits:fails', on a single scene, failed \(RuntimeError: two lines, .*\); fix it",
        ),
        ("returns_none", "scene", "'own_probe_edits:returns_none' returned NoneType; return a Scene"),
        ("returns_none", "image", r"'own_probe_edits:returns_none' failed \(TypeError: .*\); fix it"),
        ("drops_a_band", "image", r"'own_probe_edits:drops_a_band' failed \(KeyError: 'Y'\); fix it"),
        ("smaller", "image", r"'own_probe_edits:smaller' changes the shape of band VIS: \(199, 200\); keep it"),
        ("brighter", "scene", r"'own_probe_edits:brighter', on a single scene, failed \(TypeError: .*\); fix it"),
    ],
)
def test_what_goes_wrong_in_an_edit_is_one_line(tmp_path, name, level, words):
    path = written(tmp_path, {"edit": f"own_probe_edits:{name}", "strength": 1.0, "level": level})
    with pytest.raises(UsageError, match=words) as error:
        run_probe(path, formula(flux), 2, SEED, tmp_path / "out")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ("own_nowhere:edit", r"'own_nowhere:edit': cannot be imported: there is no module own_nowhere"),
        ("own_broken_edits:edit", r"'own_broken_edits:edit': cannot be imported: it failed \(RuntimeError: at import"),
        ("own_misspelt_edits:edit", r"'own_misspelt_edits:edit': cannot be imported: it failed \(SyntaxError"),
        ("own_probe_edits:absent", "module own_probe_edits has no 'absent'"),
        ("own_probe_edits:number", "number is not a function"),
        ("redder", "edit 'redder' is unknown; allowed: identity"),
    ],
)
def test_an_edit_that_cannot_be_found_is_one_line_with_the_file(tmp_path, edit, words):
    path = written(tmp_path, edit)
    with pytest.raises(UsageError, match=words) as error:
        load_definition(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_an_edit_that_is_rewritten_is_asked_about_anew(tmp_path, monkeypatch):
    """Kept answers belong to the edit's file as it was."""
    path = written(tmp_path, {"edit": "own_probe_edits:half_as_noisy", "strength": 0.5})
    arm = load_definition(path).arms()[1]
    own = arm.steps[0].found()
    result = run_probe(path, formula(flux), 2, SEED, tmp_path / "out")
    assert result.provenance.inputs["own_probe_edits:half_as_noisy"] == own.source_hash
    asked = []
    collecting = sys.modules["lensaudit.probes.collect"]  # the package hands on a function of that name
    monkeypatch.setattr(collecting, "_answers", lambda *_: asked.append(1) or np.zeros((2, 2)))
    run_probe(path, formula(flux), 2, SEED, tmp_path / "out")
    assert not asked
    found, rewritten = Step.found, replace(own, source_hash="another")
    monkeypatch.setattr(Step, "found", lambda step: rewritten if ":" in step.edit else found(step))
    run_probe(path, formula(flux), 2, SEED, tmp_path / "out")
    assert asked


def test_steps_are_read_in_all_their_forms(tmp_path):
    for steps in ("source-dimmed", ["source-dimmed"], {"edit": "source-dimmed"}, [{"edit": "source-dimmed"}]):
        path = written(tmp_path, steps, doses={"label": "x", "phrase": "{dose}", "values": [1]})
        assert load_definition(path).arms()[1] == Arm((Step(edit="source-dimmed", strength=1.0),), 1.0)
    assert json.loads(load_definition(path).model_dump_json())["edits"]["treated"][0]["edit"] == "source-dimmed"
