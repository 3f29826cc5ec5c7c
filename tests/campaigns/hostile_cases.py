"""Hostile words wherever a word comes from elsewhere, through every command that reads that place and writes.

A place changes the samples in the working folder so that a word stands there; a command names the places it reads
between braces. The scenarios are all pairs of a place and a command that reads it, times all words.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from astropy.io import fits
from campaigns.harness import command
from campaigns.samples import CLUSTER, COMPARE, REPORT
from hostile import EVERY

DEFAULTS = {
    "finder": "finder", "other": "other", "set": "set", "scores": "scores.parquet", "grades": "grades.csv",
    "recipe": "tiny.yaml", "cae": "cae.yaml", "probe": "probe.yaml", "outside": "outside.csv", "export": "export",
    "state": "state.pt", "cutouts": "cutouts", "catalogue": "catalogue.csv", "psf": "psf.fits", "id": "euclid-000003",
    "out": "out", "ensemble": "ensemble", "word": "word", "planted": "planted.json", "audit": "audit>out",
    "hosts": "hosts", "graded": "graded",
}  # fmt: skip
"""What stands for a place where no place changes it."""

# Of each command, words and places; the first that are cheap.
_MORE = {"report": " ".join(map(str, REPORT)), "compare": " ".join(map(str, COMPARE)),
         "cluster": " ".join(map(str, CLUSTER))}  # fmt: skip
COMMANDS: tuple[str, ...] = (
    "score {finder} {set} --out {out}/s.parquet",
    "evaluate {finder} {set} --out {out}",
    "evaluate {finder} {set} --scores {scores} --out {out}",
    "grades {finder} {set} --grades {grades} --out {out}",
    "false-positives {finder} {set} --out {out} --n 4",
    "selection {finder} {set} --scores {scores} --out {out}",
    "threshold {finder} {set} --out {out} --fpr 0.2",
    "occlusion {finder} {set} --out {out} --id {id} --patch 10",
    "gradcam {finder} {set} --out {out} --id {id}",
    "explain {finder} {set} --out {out} --id {id} --method saliency",
    "occlusion {finder} {set} --out {out} --first 28 --patch 20",
    "gradcam {finder} {set} --out {out} --first 3",
    "explain {finder} {set} --out {out} --first 3 --method saliency",
    "kernels {finder} {set} --out {out} --top 2",
    "dream {finder} --out {out} --from {set} --id {id} --class lens --steps 2",
    "dream {finder} --out {out} --set {set} --class lens --steps 2 --scan 8",
    "dream {finder} --out {out} --layer {word} --steps 2",
    "judge {finder} {set} --out {out} --per-kind 1 --few 1 --methods saliency --with localisation",
    "compare {finder} {other} --set {set} --out {out} " + _MORE["compare"],
    "compare {finder} {other} --set {set} --out {out} --probes {probe} --probe-n 2 --explanations 0 --no-speed",
    "report {finder} --set {set} --out {out} " + _MORE["report"],
    "report {finder} --set {set} --out {out} --probes {probe} --probe-n 2 --occlusion-n 1 --maps-n 1 --judge-n 0 "
    "--dream-steps 0",
    "report {finder} --set {set} --out {out} --certificate {planted} --no-probe --occlusion-n 0 --maps-n 0 "
    "--judge-n 0 --no-kernels --no-embed --dream-steps 0",
    "report --from {audit}",
    "ensemble {finder} {other} --data {set} --out {out} --cells 2 --perplexity 3",
    "ensemble-map {ensemble} {set} --out {out}",
    "train {recipe} --data {set} --out {out} --epochs 1 --batch 16",
    "cross-validate {recipe} --data {set} --out {out} --folds 2 --epochs 1 --batch 16",
    "cluster {set} --recipe {cae} --out {out} " + _MORE["cluster"],
    "probe run {probe} {finder} --set {set} --n 3 --out {out}",
    "probe background-offset {finder} --set {set} --n 3 --out {out}",
    "probe psf-rotation-real {finder} --psf {psf} --n 2 --out {out}",
    "probe export --probe {word} --n 2 --out {out}",
    "probe import-scores {export} {outside} --out {out}",
    "probe import-scores {export} {outside} --out {out} --name {word}",
    "models show {finder}",
    "models import {state} --as ou66 --out {out}",
    "models import {state} --as {word} --out {out}",
    "models compact {finder} {graded} --out {out}",
    "ingest fits {cutouts} --band VIS=[VIS] --out {out}",
    "ingest fits {cutouts} --band VIS=[VIS] --catalogue {catalogue} --out {out}",
    "ingest fits {cutouts} --band VIS=[VIS] --out {out} --instrument {word}",
    "ingest fits {cutouts} --band {word}=[VIS] --out {out}",
    "ingest fits {cutouts} --band VIS={word}[VIS] --out {out}",
    "simulate euclid --n 2 --population {word} --out {out}",
    "simulate {word} --n 2 --out {out}",
    "instruments show {word}",
    "inject {hosts} --any-host --out {out}",
    "inject {hosts} --any-host --theta-e {word} --out {out}",
    "inject {word} --out {out}",
    "cut {hosts} --side 16 --out {out}",
    "cut {hosts} --side 16 --exclude {catalogue} --out {out}",
    "cut {word} --side 16 --out {out}",
    "calibrate {finder} {graded} --out {out}",
    "calibrate {finder} {graded} --weights {word} --out {out}",
    "realism {finder} --real {set} --simulated {graded} --out {out}",
    "planted-bias --plant {word} --out {out}",
    "quickstart --finder {word} --out {out}",
    "score {word} {set} --out {out}",
    "score {finder} {word} --out {out}",
    "probe {word} {finder} --n 2 --out {out}",
    "report --from {word}",
    "score {finder} {set} --out {out}/parts",
    "audit-plan {scores} --budget 8 --strata 2 --out {out}",
    "audit-labels {word} --out {out}",
    "to-label {scores} --n 2 --out {out}/next.csv",
    "embed {finder} {set} --only-vectors --out {out}",
    "ensemble {finder} {other} --kind mean --data {set} --out {out}",
    "ingest cutouts {word} --out {out}",
    "ci-template --out {out}/gate.sh",
)


@dataclass(frozen=True)
class Place:
    """Where a word may stand.

    Attributes
    ----------
    name
        For the table.
    key
        Which of `DEFAULTS` it replaces.
    put
        (working folder, word) → what replaces it, or replaces it and others; None where the word cannot stand there.
    """

    name: str
    key: str
    put: Callable[[Path, str], str | dict[str, str] | None]


@dataclass(frozen=True)
class Scenario:
    """One word in one place, and one command that reads it."""

    place: Place
    command: str
    kind: str

    @property
    def name(self) -> str:
        """Place, command and kind of word."""
        return f"{self.place.name} | {self.command.split(' --')[0]} | {self.kind}"

    @property
    def needs(self) -> tuple[str, ...]:
        """What of the samples lies in the working folder."""
        keys = [key for key in DEFAULTS if "{" + key + "}" in self.command]
        return tuple(dict.fromkeys([DEFAULTS[key] for key in keys if key not in ("id", "out", "word")]))

    def act(self, work: Path) -> Callable[[], int] | None:
        """Put the word in its place; what the harness runs, or None."""
        word = self.place.put(work, EVERY[self.kind])
        if word is None:
            return None
        words = DEFAULTS | {"audit": "out"} | (word if isinstance(word, dict) else {self.place.key: word})
        return command(*(part.format_map(words) for part in self.command.split()))


WRITING: tuple[str, ...] = tuple(text for text in COMMANDS if "{out}" in text and "{word}" not in text)
"""Commands that write below ``--out`` and need no word of the campaign."""


def plain(text: str) -> Scenario:
    """The command on the samples as they are."""
    return Scenario(Place("nothing", "word", lambda work, word: "word"), text, "mathtext")


def scenarios() -> Iterator[Scenario]:
    """All of them, in a fixed order."""
    for place in PLACES:
        for text in COMMANDS:
            if "{" + place.key + "}" in text:
                yield from (Scenario(place, text, kind) for kind in EVERY)


# --- places ---------------------------------------------------------------------------------------------------------


def _file_name(word: str, suffix: str = "") -> str | None:
    """`word` as far as a file may be called so."""
    name = word.replace("/", "_").replace("\0", "_")[:200] + suffix
    return None if name in ("", ".", "..") else name


def _renamed(key: str) -> Callable[[Path, str], str | None]:
    """The file or folder itself is called so."""

    def put(work: Path, word: str) -> str | None:
        source = work / DEFAULTS[key]
        name = _file_name(word, source.suffix)
        if name is None:
            return None
        source.rename(work / name)
        return f"./{name}"  # as a shell's completion gives a name that begins with a dash

    return put


def _out_name(work: Path, word: str) -> str | None:
    name = _file_name(word)
    return None if name is None else f"out/{name}"


def _typed(work: Path, word: str) -> str | None:
    return None if "\0" in word or "\udc80" in word else word


def _texts_of_finder(work: Path, word: str) -> str:
    """Every text of ``finder.yaml`` that is not checked to be a name, and the card."""
    path = work / "finder" / "finder.yaml"
    words = yaml.safe_load(path.read_text(encoding="utf-8"))
    words["origin"] = word
    words["training_data"] = {"instrument": word, "population": word, "set": word, "n_training": 5}
    words["provenance"] = {"command": word}
    _replace(path, json.dumps(words))
    _replace(work / "finder" / "card.md", f"# {_writable(word)}\n")
    return "finder"


def _field_of(file: str, key: str, *where: Any) -> Callable[[Path, str], str | None]:
    """A field of a YAML or JSON file; ``KEY`` as the last part replaces the key of the first entry."""

    def put(work: Path, word: str) -> str | None:
        path = work / file
        words = yaml.safe_load(path.read_text(encoding="utf-8"))
        inner = words
        for part in where[:-1]:
            inner = inner[part]
        if where[-1] == "KEY":
            first = next(iter(inner))
            inner[word] = inner.pop(first)
            if where[0] == "modes" and len(where) == 2:
                words["default_mode"] = word
        else:
            inner[where[-1]] = word
        _replace(path, json.dumps(words))
        return DEFAULTS[key]

    return put


def _every_text(file: str, key: str) -> Callable[[Path, str], str | None]:
    """Every text of a JSON file, as an earlier version wrote it: without a seal."""

    def put(work: Path, word: str) -> str | None:
        path = work / file
        words = json.loads(path.read_text(encoding="utf-8"))
        words.pop("digest", None)
        kept = {"schema", "format", "status", "word", "nature", "key", "array", "arrays", "method", "kind", "verdict"}
        _replace(path, json.dumps(_worded(words, word, kept)))
        return DEFAULTS[key].split(">")[-1]

    return put


def _worded(value: Any, word: str, kept: set[str]) -> Any:
    if isinstance(value, dict):
        return {key: inner if key in kept else _worded(inner, word, kept) for key, inner in value.items()}
    if isinstance(value, list):
        return [_worded(inner, word, kept) for inner in value]
    return word if isinstance(value, str) else value


def _in_set(work: Path, word: str) -> dict[str, str] | None:
    """Ids, a column's name, unit and description, the unit of a band and notes of the source."""
    (work / "set").rename(work / "before")
    taken = rewritten_set(work / "before", work / "set", word)
    return {"set": "set", "id": _writable(word)} if taken else None


def rewritten_set(source: Path, target: Path, word: str) -> bool:
    """The set at `source` with `word` wherever its file format takes one; False where it takes none.

    Very long words are cut to what a column may be called and described with.
    """
    from lensaudit.errors import LensauditError
    from lensaudit.lensset import CatalogueColumn, Header, LensSet, LensSetWriter, Records, chunk_for
    from lensaudit.lensset.catalogue import CATALOGUE_NAME

    old = LensSet.open(source)
    rows = pq.read_table(source / CATALOGUE_NAME).to_pylist()
    written = _writable(word)[:120]
    columns = old.header.columns
    bands = tuple(band.model_copy(update={"unit": written}) for band in old.header.bands)
    was = old.header.model_dump(mode="json", exclude={"checksums"})
    for named in (True, False):  # where no column may be called so, the rest still stands
        try:
            extra = CatalogueColumn(name=f"x{written}", unit=written, description=written, dtype="str")
            more = (extra,) if named else ()
            header = Header(
                **{**was, "bands": bands, "columns": (*columns, *more), "content_hash": None, "n": len(old),
                   "chunk": chunk_for(len(old)), "source": {"notes": [written], "layout": written}, "has_scenes": False,
                   "provenance": {"command": written}}
            )  # fmt: skip
            writer = LensSetWriter(target, header)
            writer.start()
            for chunk in range(header.n_chunks):
                span = header.span(chunk)
                part = [{k: v for k, v in row.items() if k != "id"} for row in rows[span]]
                if more:
                    part = [row | {extra.name: written} for row in part]
                ids = [f"{written}-{i}" if i != 3 else written for i in range(len(old))[span]]
                truth = {
                    "source_light": {band: old.source_light(band, span) for band in old.bands},
                    "mask": {band: old.mask(band, span) for band in old.bands},
                }
                writer.write(chunk, Records(ids=ids, images=old.cutouts(span), rows=part, **truth))
            writer.finish()
            return True
        except (ValueError, LensauditError, pa.ArrowException):
            shutil.rmtree(target, ignore_errors=True)
    return False


def _writable(word: str) -> str:
    """`word` without lone surrogates, which UTF-8 cannot hold."""
    return word.encode("utf-8", "replace").decode("utf-8")


def _in_scores(work: Path, word: str) -> str:
    path = work / "scores.parquet"
    table = pq.read_table(path)
    statuses = [_writable(word) if i % 5 == 4 else "ok" for i in range(table.num_rows)]
    missing = [None if i % 5 == 4 else 0.5 for i in range(table.num_rows)]
    record = {"finder": {"name": word, "weights_hash": word}, "set": word, "provenance": {"command": word}}
    for name, values in {"status": statuses, "p_lens": missing, "logit": [v and 0.0 for v in missing]}.items():
        at = table.column_names.index(name)
        table = table.set_column(at, table.field(at), pa.array(values, table.field(at).type))
    known = json.loads((table.schema.metadata or {})[b"lensaudit"])
    table = table.replace_schema_metadata({b"lensaudit": json.dumps({**known, **record}).encode()})
    path.unlink()
    pq.write_table(table, path)
    return "scores.parquet"


def _in_csv(file: str, column: int) -> Callable[[Path, str], str | None]:
    def put(work: Path, word: str) -> str | None:
        lines = (work / file).read_text(encoding="utf-8").splitlines()
        cell = '"' + _writable(word).replace('"', '""') + '"'
        for number in (1, 2):
            cells = lines[number].split(",")
            cells[column] = cell if column else cells[column]
            lines[number] = ",".join(cells if column else [cell if number == 1 else cells[0], *cells[1:]])
        _replace(work / file, "\n".join(lines) + "\n")
        return next(value for value in DEFAULTS.values() if value == file)

    return put


def _in_cutouts(work: Path, word: str) -> str:
    """File names, which become ids, and texts of the headers."""
    for number, path in enumerate(sorted((work / "cutouts").iterdir())):
        with fits.open(path) as units:
            for unit in units[1:]:
                shown = "".join(sign if " " <= sign <= "~" else "?" for sign in word)[:60]
                unit.header["BUNIT"] = shown
                unit.header["OBJECT"] = shown
                unit.header["COMMENT"] = shown
            units.writeto(path.with_name(_file_name(word, f"{number}.fits") or f"{number}.fits"))
        path.unlink()
    return "cutouts"


def _own_module(work: Path, word: str) -> str:
    """A module whose layers are called so."""
    name = word.replace(".", "_") or "x"
    (work / "hostile_module.py").write_text(
        "import torch\nfrom torch import nn\nfrom lensaudit.finders import declare_finder\n\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        f"        self.add_module({name!r}, nn.Conv2d(2, 3, 3))\n        self.head = nn.Linear(3, 1)\n"
        "    def forward(self, x):\n"
        f"        return self.head(self._modules[{name!r}](x).relu().mean((2, 3)))\n\n"
        "def finder():\n    torch.manual_seed(0)\n"
        '    return declare_finder(Net(), bands=("VIS", "H"), size=20, name="own")\n',
        encoding="utf-8", errors="replace",
    )  # fmt: skip
    return "hostile_module:finder"


def _failing_module(work: Path, word: str) -> str:
    (work / "failing_module.py").write_text(
        f"def finder():\n    raise ValueError({word!r})\n", encoding="utf-8", errors="replace"
    )
    return "failing_module:finder"


def _replace(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8", errors="replace")


PLACES: tuple[Place, ...] = (
    Place("set: its texts", "set", _in_set),
    Place("set: its folder", "set", _renamed("set")),
    Place("finder: its name", "finder", _field_of("finder/finder.yaml", "finder", "recipe", "name")),
    Place("finder: a band", "finder", _field_of("finder/finder.yaml", "finder", "recipe", "bands", 0)),
    Place("finder: its texts", "finder", _texts_of_finder),
    Place("finder: its folder", "finder", _renamed("finder")),
    Place("module: its layers", "finder", _own_module),
    Place("module: its error", "finder", _failing_module),
    Place("member: its name", "other", _field_of("other/finder.yaml", "other", "recipe", "name")),
    Place("recipe: its name", "recipe", _field_of("tiny.yaml", "recipe", "name")),
    Place("recipe: its file", "recipe", _renamed("recipe")),
    Place("probe: its name", "probe", _field_of("probe.yaml", "probe", "name")),
    Place("probe: its title", "probe", _field_of("probe.yaml", "probe", "title")),
    Place("probe: its question", "probe", _field_of("probe.yaml", "probe", "question")),
    Place("probe: its meaning", "probe", _field_of("probe.yaml", "probe", "meaning")),
    Place("probe: its consequence", "probe", _field_of("probe.yaml", "probe", "consequence")),
    Place("probe: a mode", "probe", _field_of("probe.yaml", "probe", "modes", "KEY")),
    Place("probe: a population", "probe", _field_of("probe.yaml", "probe", "modes", "physical", "populations", "KEY")),
    Place("probe: a dose", "probe", _field_of("probe.yaml", "probe", "doses", "label")),
    Place("probe: its file", "probe", _renamed("probe")),
    Place("scores: status, record", "scores", _in_scores),
    Place("scores: their file", "scores", _renamed("scores")),
    Place("grades: a grade", "grades", _in_csv("grades.csv", 1)),
    Place("grades: an id", "grades", _in_csv("grades.csv", 0)),
    Place("outside scores: an id", "outside", _in_csv("outside.csv", 0)),
    Place("outside scores: their file", "outside", _renamed("outside")),
    Place("catalogue: an id", "catalogue", _in_csv("catalogue.csv", 0)),
    Place("catalogue: a label", "catalogue", _in_csv("catalogue.csv", 1)),
    Place("cutouts: files, headers", "cutouts", _in_cutouts),
    Place("PSF: its file", "psf", _renamed("psf")),
    Place("state dict: its file", "state", _renamed("state")),
    Place("audit: every text", "audit", _every_text("out/audit.json", "audit")),
    Place("certificate: every text", "planted", _every_text("planted.json", "planted")),
    Place("--out", "out", _out_name),
    Place("--id", "id", _typed),
    Place("a word of the command", "word", _typed),
)
