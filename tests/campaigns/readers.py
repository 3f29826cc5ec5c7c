"""Every file that lensaudit reads, with the command that reads it: what `campaigns.fuzz` damages.

To add one: let `campaigns.samples` make a small valid file, and write a line in `CASES`. Nothing else is needed; the
mutators follow from the kind of file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from campaigns.harness import command, reading
from campaigns.samples import CLUSTER, COMPARE, REPORT


@dataclass(frozen=True)
class Case:
    """A file, and who reads it.

    Attributes
    ----------
    name
        Short name for the table.
    file
        The file that is changed, in the working folder; a pattern stands for the first match.
    kind
        A key of `campaigns.mutators.BY_KIND`.
    act
        What reads it, for `campaigns.harness.run`.
    needs
        What of the samples lies in the working folder; ``a>b`` puts `a` there under the name `b`.
    remade
        The file is left from an earlier run: where it is damaged it is made again, so that refusing it is not needed.
    skipped
        What the command must print, or write in its page, where it goes on without the file; empty where it refuses.
    """

    name: str
    file: str
    kind: str
    act: Callable[[], int]
    needs: tuple[str, ...]
    remade: bool = False
    skipped: str = ""

    @property
    def heavy(self) -> bool:
        """Whether it takes about a second of a core or more."""
        return self.name in HEAVY


HEAVY = frozenset({
    "catalogue, selection", "old catalogue, selection", "scores, selection", "scores, worst", "catalogue, worst",
    "probe YAML", "PSF", "outside scores", "export key", "manifest", "audit.json", "audit arrays", "compare.json",
    "keras finder", "marks", "kept probe answers", "kept scores", "kept comparison", "planted.json",
})  # fmt: skip


def _words(text: str, *more: object) -> Callable[[], int]:
    return command(*text.split(), *more)


def _scenes() -> object:
    from lensaudit.lensset import LensSet

    return [scene for scene in (LensSet.open("set").scene(i) for i in range(4)) if scene is None]


def _verified() -> object:
    from lensaudit.lensset import LensSet

    return LensSet.open("set").verify()


def _recipe() -> object:
    from lensaudit.finders import load_recipe

    return load_recipe("tiny.yaml")


def _comparison() -> object:
    from lensaudit.comparing import render_comparison

    return Path(render_comparison(Path("out"))).name


def _ingested_wcs() -> Callable[[], int]:
    return _words("occlusion finder real --out out --first 1 --patch 5 --field-of-view 2.1")


_SCORE = "score finder set --out out/s.parquet"
_SETS = ("set", "finder")

CASES: tuple[Case, ...] = (
    Case("lensset.json", "set/lensset.json", "json", _words(_SCORE), _SETS),
    Case("lensset.json, maps", "set/lensset.json", "json", _words("gradcam finder set --out out --first 1"), _SETS),
    Case("catalogue.parquet", "set/catalogue.parquet", "parquet", _words("evaluate finder set --out out"), _SETS),
    Case("catalogue, selection", "set/catalogue.parquet", "parquet", _words("selection finder set --out out"), _SETS),
    Case("catalogue, worst", "set/catalogue.parquet", "parquet", _words("false-positives finder set --out out"), _SETS),
    Case(
        "old catalogue.parquet", "oldset/catalogue.parquet", "parquet",
        _words("evaluate finder oldset --out out"), ("oldset", "finder"),
    ),
    Case(
        "old catalogue, selection", "oldset/catalogue.parquet", "parquet",
        _words("selection finder oldset --out out"), ("oldset", "finder"),
    ),
    Case("old images", "oldset/images/VIS/c/0/0/0", "bytes", _words("score finder oldset --out out/s.parquet"),
         ("oldset", "finder")),
    Case("images", "set/images/VIS/c/0/0/0", "bytes", _words(_SCORE), _SETS),
    Case("images' zarr.json", "set/images/VIS/zarr.json", "json", _words(_SCORE), _SETS),
    Case("truth", "set/truth/mask/VIS/c/0/0/0", "bytes", reading(_verified), ("set",)),
    Case("scenes.jsonl", "set/scenes.jsonl", "json", reading(_scenes), ("set",)),
    Case("wcs.jsonl", "real/wcs.jsonl", "json", _ingested_wcs(), ("real", "finder")),
    *(
        Case(f"container, {name}", f"boxes/{name}/{file}", kind,
             _words(f"score finder boxes/{name}/{yaml} --out out/s.parquet"), ("boxes", "finder"))
        for name, file, kind, yaml in (
            ("hdf5", "c.h5", "bytes", "c.yaml"), ("hdf5_apart", "c.yaml", "yaml", "c.yaml"),
            ("npy", "c.npy", "bytes", "c.yaml"), ("npz", "c.npz", "bytes", "c.yaml"),
            ("fits_folder", "cutouts/*.fits", "fits", "c.yaml"), ("fits_table", "c.fits", "bytes", "c.yaml"),
            ("webdataset", "c-000.tar", "bytes", "c.yaml"), ("parquet", "c.parquet", "bytes", "c.yaml"),
            ("huggingface", "c/*.arrow", "bytes", "c.yaml"),
            ("pictures", "pictures/lens/*.png", "bytes", "pictures.yaml"),
        )
    ),
    Case("finder.yaml", "finder/finder.yaml", "yaml", _words(_SCORE), _SETS),
    Case("finder.yaml, shown", "finder/finder.yaml", "yaml", _words("models show finder"), ("finder",)),
    Case("weights", "finder/weights.safetensors", "safetensors", _words(_SCORE), _SETS),
    Case("recipe", "tiny.yaml", "yaml", reading(_recipe), ("tiny.yaml",)),
    *(
        Case(f"{name} finder", f"as-{name}/{file}", kind, _words(f"score as-{name} set --out out/s.parquet"),
             ("set", f"as-{name}"))
        for name, file, kind in (
            ("pt2", "network.pt2", "zip"), ("onnx", "network.onnx", "bytes"), ("keras", "network.keras", "zip"),
            ("skops", "forest.skops", "zip"),
        )
    ),
    Case("finder's declaration", "as-onnx/mine.yaml", "yaml", _words("score as-onnx set --out out/s.parquet"),
         ("set", "as-onnx")),
    Case("state dict", "state.pt", "zip", _words("models import state.pt --as ou66 --out out"), ("state.pt",)),
    Case(
        "scores, evaluate", "scores.parquet", "parquet",
        _words("evaluate finder set --scores scores.parquet --out out"), (*_SETS, "scores.parquet"),
    ),
    Case(
        "scores, selection", "scores.parquet", "parquet",
        _words("selection finder set --scores scores.parquet --out out"), (*_SETS, "scores.parquet"),
    ),
    Case(
        "scores, worst", "scores.parquet", "parquet",
        _words("false-positives finder set --scores scores.parquet --out out"), (*_SETS, "scores.parquet"),
    ),
    *(
        Case(f"scores in parts, {name}", f"parts/{name}", kind,
             _words("audit-plan parts --budget 8 --strata 2 --least 2 --out out"), ("parts",))
        for name, kind in (("scores.json", "json"), ("part-000001.parquet", "parquet"))
    ),
    *(
        Case(f"plan, {name}", f"plan/{name}", kind, _words("audit-labels plan --out out"), ("plan",))
        for name, kind in (("audit-plan.json", "json"), ("audit-plan.parquet", "parquet"), ("labels.csv", "csv"))
    ),
    Case(
        "labelled", "known.csv", "csv",
        _words("to-label scores.parquet --n 4 --labelled known.csv --out out/next.csv"),
        ("scores.parquet", "known.csv"),
    ),
    Case(
        "vectors", "vectors/vectors/part-000000.parquet", "parquet",
        _words("to-label scores.parquet --n 4 --embedding vectors --out out/next.csv"), ("scores.parquet", "vectors"),
    ),
    Case(
        "kept parts", "out/part-000001.parquet", "parquet",
        _words("score finder set --part-rows 12 --workers 1 --out out"), (*_SETS, "parts>out"), remade=True,
    ),
    Case(
        "kept vectors", "out/vectors/part-000000.parquet", "parquet",
        _words("embed finder set --only-vectors --out out"), (*_SETS, "vectors>out"), remade=True,
    ),
    Case(
        "grades", "grades.csv", "csv",
        _words("grades finder set --grades grades.csv --out out"), (*_SETS, "grades.csv"),
    ),
    Case(
        "ingest, FITS", "cutouts/obj1.fits", "fits",
        _words("ingest fits cutouts --band VIS=[VIS] --band H=[H] --out out"), ("cutouts",),
    ),
    Case(
        "ingest, Q1", "cutouts/obj1.fits", "fits",
        _words("ingest fits cutouts --band VIS=*.fits[1] --out out --skip-bad"), ("cutouts",), skipped="obj1",
    ),
    Case(
        "ingest, catalogue", "catalogue.csv", "csv",
        _words("ingest fits cutouts --band VIS=[VIS] --catalogue catalogue.csv --out out"),
        ("cutouts", "catalogue.csv"),
    ),
    Case(
        "probe YAML", "probe.yaml", "yaml",
        _words("probe run probe.yaml finder --set set --n 3 --out out"), (*_SETS, "probe.yaml"),
    ),
    Case(
        "PSF", "psf.fits", "fits",
        _words("probe psf-rotation-real finder --psf psf.fits --n 2 --out out"), ("finder", "psf.fits"),
    ),
    Case(
        "outside scores", "outside.csv", "csv",
        _words("probe import-scores export outside.csv --out out"), ("export", "outside.csv"),
    ),
    Case(
        "export key", "export/key/key.parquet", "parquet",
        _words("probe import-scores export outside.csv --out out"), ("export", "outside.csv"),
    ),
    Case(
        "manifest", "export/cutouts/manifest.csv", "csv",
        _words("probe import-scores export outside.csv --out out"), ("export", "outside.csv"),
    ),
    Case(
        "export.json", "out/key/export.json", "json",
        _words("probe export --probe band-swap --n 2 --out out"), ("export>out",), remade=True,
    ),
    Case("audit.json", "out/audit.json", "json", _words("report --from out"), ("audit>out",)),
    Case(
        "audit arrays", "out/arrays/*.npz", "bytes", _words("report --from out"), ("audit>out",),
        skipped="are not in this folder (arrays/",
    ),
    Case("compare.json", "out/compare.json", "json", reading(_comparison), ("comparison>out",)),
    Case(
        "marks", "marks.json", "json",
        _words("cluster set --recipe cae.yaml --marks marks.json --out out", *CLUSTER),
        ("set", "cae.yaml", "marks.json", "clusters>out"),
    ),
    Case(
        "cluster stages", "out/clustering/extractor.safetensors", "safetensors",
        _words("cluster set --recipe cae.yaml --out out", *CLUSTER), ("set", "cae.yaml", "clusters>out"), remade=True,
    ),
    Case(
        "prepared images", "out/clustering/prepared-*/codes.i2", "bytes",
        _words("cluster set --recipe cae.yaml --out out", *CLUSTER), ("set", "cae.yaml", "clusters>out"), remade=True,
    ),
    Case(
        "kept probe answers", "out/probes/band-swap/parts/*/00000.parquet", "parquet",
        _words("report finder --set set --out out", *REPORT), (*_SETS, "audit>out"), remade=True,
    ),
    Case(
        "kept scores", "out/scores.parquet", "parquet",
        _words("report finder --set set --out out", *REPORT), (*_SETS, "audit>out"), remade=True,
    ),
    Case(
        "kept comparison", "out/scores/*.parquet", "parquet",
        _words("compare finder other --set set --out out", *COMPARE), (*_SETS, "other", "comparison>out"), remade=True,
    ),
    Case(
        "planted.json", "planted.json", "json",
        _words("report finder --set set --certificate planted.json --out out", *REPORT),
        (*_SETS, "planted.json", "audit>out"),
    ),
)  # fmt: skip
