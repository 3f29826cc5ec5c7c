"""Weights that lie about their sizes, hold no floats, or do not fit their record: one line, and no memory taken."""

import json
import os
import resource
import struct
import sys
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import Finder, load_finder, load_recipe, read_pretrained, read_published, save_finder
from lensaudit.finders.build import blueprint, unfilled_module
from lensaudit.training.network import starting_weights

sys.path.insert(0, str(Path(__file__).parent))
from weights_mutations import run

GIGABYTE = 1 << 30
ROOM_MB = 300
"""More than any of these files needs with what torch keeps for itself, less than any bomb unpacks to."""


@pytest.fixture(autouse=True)
def little_memory():
    """The peak of the process grows by little; it never falls, so that a bomb shows whenever it goes off."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < ROOM_MB


@pytest.fixture
def archive(tmp_path) -> dict[str, bytes]:
    """Members of a good PyTorch file of an ou-j finder, by name."""
    state = unfilled_module(load_recipe("ou-j")).state_dict()
    for tensor in state.values():
        tensor.zero_()
    torch.save(state, tmp_path / "good.pt")
    with zipfile.ZipFile(tmp_path / "good.pt") as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def packed(path: Path, members: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", how, compresslevel=1) as out:
        for name, content in members.items():
            out.writestr(name, content)
    return path


def refused(path: Path, name: str = "ou-j") -> str:
    with pytest.raises(DataError) as caught:
        read_published(path, load_recipe(name))
    line = str(caught.value)
    assert str(path) in line
    assert line.isprintable()
    return line


def test_a_good_archive_packed_by_another_program_is_read(archive, tmp_path):
    assert read_published(packed(tmp_path / "w.pt", archive), load_recipe("ou-j")).parameters == 201_842


def test_a_bomb_is_refused_before_it_is_unpacked(archive, tmp_path):
    """400 MB of zeros in 2 MB: a member that torch never compresses."""
    with zipfile.ZipFile(tmp_path / "w.pt", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
        for name, content in archive.items():
            out.writestr(name, content)
        with out.open(next(iter(archive)).split("/")[0] + "/data/99", "w", force_zip64=True) as member:
            for _ in range(25):
                member.write(bytes(1 << 24))
    assert (tmp_path / "w.pt").stat().st_size < 3e6
    assert "has compressed members" in refused(tmp_path / "w.pt")


def test_members_larger_than_the_file_are_refused(archive, tmp_path):
    data = bytearray(packed(tmp_path / "w.pt", archive).read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 20 : entry + 28] = struct.pack("<II", 0xFFFFFF00, 0xFFFFFF00)  # its sizes, 4 GB
    (tmp_path / "w.pt").write_bytes(data)
    assert "declares 429" in refused(tmp_path / "w.pt")


def test_storages_that_claim_terabytes_reach_no_further_than_the_file(archive, tmp_path):
    """The pickle says how many numbers a storage has, and the checksums are right; a tensor takes what it needs."""
    name = next(name for name in archive if name.endswith("data.pkl"))
    count = struct.pack("<H", 50 * 9)  # numbers of the first kernel
    assert count in archive[name]
    for claim in (b"\x8a\x06" + (10**12).to_bytes(6, "little"), b"J" + struct.pack("<i", 2**31 - 1)):
        lying = archive | {name: archive[name].replace(b"M" + count, claim, 1)}
        finder = read_published(packed(tmp_path / "w.pt", lying), load_recipe("ou-j"))
        assert all(bool((tensor == 0).all()) for tensor in finder.module.state_dict().values())
    sizes = archive[name].replace(b"K2K\x01K\x03K\x03", b"J\xff\xff\xff\x7fK\x01K\x03K\x03", 1)  # of 50×1×3×3
    assert sizes != archive[name]
    assert "is not a plain state dict" in refused(packed(tmp_path / "w.pt", archive | {name: sizes}))


def test_a_flipped_byte_is_seen_by_the_checksum(archive, tmp_path):
    data = bytearray(packed(tmp_path / "w.pt", archive).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "w.pt").write_bytes(data)
    assert "fails its checksum" in refused(tmp_path / "w.pt")


def test_a_file_without_checksums_is_read(tmp_path):
    state = {key: tensor.zero_() for key, tensor in unfilled_module(load_recipe("ou-j")).state_dict().items()}
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state, tmp_path / "w.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert read_published(tmp_path / "w.pt", load_recipe("ou-j")).parameters == 201_842


def test_doubled_members_long_pickles_and_large_files_are_refused(archive, tmp_path, monkeypatch):
    name = next(iter(archive))
    packed(tmp_path / "w.pt", archive)
    with zipfile.ZipFile(tmp_path / "w.pt", "a") as out, pytest.warns(UserWarning, match="Duplicate name"):
        out.writestr(name, archive[name])
    assert "two members of one name" in refused(tmp_path / "w.pt")
    pickle = next(name for name in archive if name.endswith("data.pkl"))
    assert "its pickle has more than 2 MB" in refused(packed(tmp_path / "w.pt", archive | {pickle: b"}" * (3 << 20)}))
    packed(tmp_path / "w.pt", archive)
    os.truncate(tmp_path / "w.pt", 2 * GIGABYTE)  # sparse: takes no room
    assert "has 2147 MB, this architecture's weights need less than 40" in refused(tmp_path / "w.pt")
    monkeypatch.setattr("lensaudit.finders.weights_file._MOST_MEMBERS", len(archive) - 1)
    assert f"more than {len(archive) - 1} members" in refused(packed(tmp_path / "w.pt", archive))


def test_pipes_devices_and_folders_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path, tmp_path / "nothing"):
        assert "is not a file" in refused(path)
    with pytest.raises(DataError, match="no such file"):
        read_pretrained(str(tmp_path / "pipe"), load_recipe("transfer-efficientnet-lite0"))


def test_the_older_form_is_not_built_before_its_pickles_are_known_to_be_whole(tmp_path):
    torch.save({"a": torch.zeros(3)}, tmp_path / "w.pt", _use_new_zipfile_serialization=False)
    data = (tmp_path / "w.pt").read_bytes()
    start = data.index(b".", data.index(b"little_endian")) + 1
    (tmp_path / "w.pt").write_bytes(data[:start] + b"\x80\x02" + b"}" * (4 << 20) + b".")
    assert "is not a plain state dict" in refused(tmp_path / "w.pt")


def spoiled_header(folder: Path, change) -> None:
    path = folder / "weights.safetensors"
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    length = change(header)
    words = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", length or len(words)) + words + data[8 + size :])


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h["0.weight"].update(shape=[10**12]),
        lambda h: h["0.weight"].update(shape=[2**62, 4]),
        lambda h: h["0.weight"].update(data_offsets=[0, 10**15]),
        lambda h: h["0.weight"].update(dtype="F4"),
        lambda h: 2**40,
        lambda h: 2**63,
    ],
)
def test_headers_that_lie_are_refused(change, saved_ou66):
    spoiled_header(saved_ou66, change)
    with pytest.raises(DataError, match=r"weights\.safetensors: is torn or not a safetensors file"):
        load_finder(str(saved_ou66))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"<html><body>Sign in</body></html>", "is an HTML page, not a file of weights"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        (b"", "is empty"),
        (b"\0" * 5_000_000, "has 5 MB, the tensors of this architecture at most 2.6"),
    ],
)
def test_foreign_files_in_the_place_of_weights_are_named(content, says, saved_ou66):
    (saved_ou66 / "weights.safetensors").write_bytes(content)
    with pytest.raises(DataError, match=says):
        load_finder(str(saved_ou66))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.update({"preprocessing.mean": torch.zeros(3)}), r"have shape \(3,\), \(1, 45, 45\) is needed"),
        (lambda t: t.update({"preprocessing.sigma": torch.zeros(1)}), "are not all above 0"),
        (lambda t: t["preprocessing.mean"].fill_(torch.nan), "holds 2025 of 2025 values that are not finite floats"),
        (lambda t: t.pop("preprocessing.sigma"), "statistics 'preprocessing.sigma' is missing"),
        (lambda t: t.update({"preprocessing.low": torch.zeros(1)}), "does not belong to stretch noise"),
        (lambda t: t.update({"preprocessing.sigma": torch.ones(1, dtype=torch.int32)}), "is of type int32"),
        (lambda t: t.update({"0.bias": torch.zeros(32, dtype=torch.float8_e4m3fn)}), "is of type float8_e4m3fn"),
    ],
)
def test_statistics_of_another_shape_or_without_sense_are_refused(change, says, make_finder, tmp_path):
    save_finder(make_finder("deeplens"), tmp_path, origin="a test")
    tensors = load_file(tmp_path / "weights.safetensors")
    change(tensors)
    save_file(tensors, tmp_path / "weights.safetensors")
    with pytest.raises(DataError, match=says):
        load_finder(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"outputs": 10_000}, r"tensor '33\.(bias|weight)' has shape .* is needed"),
        ({"architecture": "petrillo", "size": 4096}, "is missing"),
        ({"architecture": "lensflow", "size": 100, "outputs": 9000}, "is missing"),
        ({"architecture": "lastro", "size": 5}, "is missing"),
        (
            {"architecture": "cae-bgm", "architecture_options": {"embedding": 1_000_000}},
            "is missing",
        ),
        ({"architecture": "cae-bgm", "architecture_options": {"filters": "many"}}, "cannot be built with its bands"),
        ({"architecture": "lastro", "architecture_options": {"dropout": 7}}, "cannot be built with its bands, size 66"),
    ],
)
def test_a_record_of_another_size_takes_no_memory(change, says, saved_ou66):
    path = saved_ou66 / "finder.yaml"
    words = yaml.safe_load(path.read_text())
    words["recipe"].update(change)
    path.write_text(yaml.safe_dump(words))
    with pytest.raises(DataError, match=says) as caught:
        load_finder(str(saved_ou66))
    assert str(saved_ou66) in str(caught.value)


def test_a_blueprint_has_names_and_shapes_and_no_memory():
    recipe = load_recipe("petrillo").model_copy(update={"size": 4096})
    module = blueprint(recipe)
    assert sum(tensor.numel() for tensor in module.parameters()) > 4e9
    assert {tensor.device.type for tensor in module.state_dict().values()} == {"meta"}


@pytest.mark.parametrize("option", ["66 66 x 200", "66", "-1 66 66 200", "0 0 0 0", "66 66 66 99999999"])
def test_native_pixels_of_an_ensemble_are_numbers_for_its_bands(option):
    words = load_recipe("ou-tsne").model_dump(mode="json")
    words["architecture_options"]["native_pixels"] = option
    with pytest.raises(ValueError, match="native_pixels"):
        type(load_recipe("ou-tsne")).model_validate(words)


def test_pretrained_weights_of_another_kind_and_order_are_refused(let_timm_load, tmp_path):
    let_timm_load()
    recipe = load_recipe("transfer-efficientnet-lite0")
    (tmp_path / "w.pth").write_bytes(b"<!doctype html>")
    with pytest.raises(DataError, match="is an HTML page"):
        read_pretrained(str(tmp_path / "w.pth"), recipe)
    from lensaudit.finders.pretrained import transfer_part

    body = transfer_part(blueprint(recipe)).body
    zeros = {key: torch.zeros(tensor.shape, dtype=tensor.dtype) for key, tensor in body.state_dict().items()}
    state = {f"x{number:04d}": tensor for number, tensor in enumerate(zeros.values())}
    save_file(state, tmp_path / "w.safetensors")  # in the order of types, then names
    with pytest.raises(DataError, match=r"neither by name nor|keeps no order"):
        read_pretrained(str(tmp_path / "w.safetensors"), recipe)
    torch.save(
        {"state_dict": {f"module.{key}": torch.zeros(t.shape) for key, t in body.state_dict().items()}},
        tmp_path / "m.pth",
    )
    found = read_pretrained(str(tmp_path / "m.pth"), recipe)
    assert list(found.tensors) == list(body.state_dict())
    assert found.origin.endswith(", by name")


def test_a_start_whose_weights_are_foreign_is_named(saved_ou66):
    (saved_ou66 / "weights.safetensors").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(DataError, match="is an HDF5 file"):
        starting_weights(str(saved_ou66), load_recipe("ou66"))


def test_sixty_damaged_files_are_refused_or_unchanged():
    found = run(60, seed=1)
    assert found["traceback"] == found["slow"] == found["large"] == found["lines"] == 0
    assert sum(count for what, count in found.items() if what.endswith("refused")) > 40


def test_a_user_s_module_is_not_imported_from_a_file(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "w.pt")
    recipe = load_recipe("ou-j").model_copy(update={"architecture": "custom"})
    with pytest.raises(UsageError, match="loads its own weights"):
        read_published(tmp_path / "w.pt", recipe)


def test_finders_are_what_they_were(make_finder, tmp_path):
    """Memory is taken by the file's tensors: none stays without values, and gradients are asked for as before."""
    finder = make_finder("cae-bgm")
    save_finder(finder, tmp_path, origin="a test")
    loaded = load_finder(str(tmp_path)).module
    assert not any(tensor.is_meta for tensor in (*loaded.parameters(), *loaded.buffers()))
    before = {name: tensor.requires_grad for name, tensor in finder.module.named_parameters()}
    assert {name: tensor.requires_grad for name, tensor in loaded.named_parameters()} == before
    assert isinstance(load_finder(str(tmp_path)), Finder)
