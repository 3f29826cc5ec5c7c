"""Hosts for the tests: galaxies of the populations as a survey would hand them over, in memory and as a set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lensaudit.imaging import EUCLID, kernel, render
from lensaudit.injection import HostCutout
from lensaudit.lensset import (
    BandHeader,
    CatalogueColumn,
    Header,
    LensSet,
    LensSetWriter,
    PsfHeader,
    Records,
    RmsHeader,
    chunk_for,
)
from lensaudit.scenes import Scene, draw_scene

COLUMNS = (
    CatalogueColumn(name="label", unit="", description="1 lens, 0 non-lens, -1 unknown", dtype="int64"),
    CatalogueColumn(name="zphot", unit="", description="redshift", dtype="float64"),
    CatalogueColumn(name="vdisp", unit="km / s", description="velocity dispersion", dtype="float64"),
)


def a_lens(index: int = 0) -> Scene:
    """A lens in the middle of its cutout."""
    return draw_scene("single-centred", 1, index)


def without_arc(scene: Scene) -> Scene:
    """The same scene without its source."""
    return replace(scene, kind="no-source", galaxies=tuple(g for g in scene.galaxies if g.role != "source"))


def what_is_injected(scene: Scene) -> Scene:
    """Deflector and source of a scene, seen through the host's PSF."""
    kept = tuple(g for g in scene.galaxies if g.role in ("lens", "source"))
    return replace(scene, galaxies=kept, psf=replace(scene.psf, kind="instrument", angle_deg=0.0))


def as_host(scene: Scene, *, noise: bool = True, row: dict[str, Any] | None = None, name: str = "one") -> HostCutout:
    """What a survey would say of a rendered scene."""
    seen = render(scene, EUCLID)
    bands = EUCLID.bands
    return HostCutout(
        id=name,
        images=seen.images if noise else seen.noiseless,
        psf={b.name: kernel(scene.psf, b) for b in bands},
        rms={b.name: np.full((b.pixels, b.pixels), b.background_sigma, np.float32) for b in bands},
        zero_point_mag={b.name: b.zero_point_mag for b in bands},
        pixel_scale_arcsec={b.name: b.pixel_scale_arcsec for b in bands},
        electrons_per_unit={b.name: b.total_exposure_s for b in bands},
        row={"label": 0} if row is None else row,
    )


def write_hosts(path: Path, hosts: Sequence[HostCutout], **band: Any) -> LensSet:
    """The same as a lens set; `band` are fields of every band's header."""
    n, first = len(hosts), hosts[0]
    headers = tuple(
        BandHeader(**{
            "name": name,
            "shape": image.shape,
            "pixel_scale_arcsec": first.pixel_scale_arcsec[name],
            "zero_point_mag": first.zero_point_mag[name],
            "unit": "electron / s",
            "electrons_per_unit": first.electrons_per_unit.get(name),
            "psf": PsfHeader(side=len(first.psf[name]), per_cutout=True),
            "rms": RmsHeader(per_cutout=True),
            **band,
        })
        for name, image in first.images.items()
    )  # fmt: skip
    sky = any(host.wcs for host in hosts)
    header = Header(instrument="euclid", bands=headers, n=n, chunk=chunk_for(n), columns=COLUMNS, has_wcs=sky)
    writer = LensSetWriter(path, header)
    writer.start()
    for chunk in range(header.n_chunks):
        part = hosts[header.span(chunk)]

        def stacked(field: str, part: Sequence[HostCutout] = part) -> dict[str, np.ndarray]:
            return {name: np.stack([getattr(h, field)[name] for h in part]).astype("f4") for name in first.images}

        rows = [{"label": 0, "zphot": np.nan, "vdisp": np.nan, **host.row} for host in part]
        kept = {kind: stacked(kind) for kind in ("psf", "rms") if getattr(headers[0], kind) is not None}
        wcs = [h.wcs for h in part] if sky else None
        writer.write(chunk, Records(ids=[h.id for h in part], images=stacked("images"), rows=rows, wcs=wcs, **kept))
    writer.finish()
    return LensSet.open(path)
