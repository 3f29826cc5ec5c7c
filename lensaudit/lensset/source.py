"""What the data of an ingested set were made from, as its header says it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Listed(_Frozen):
    """Ids that one side lacks: of images without a catalogue row, or the other way round."""

    count: int
    ids: tuple[str, ...]


class Skipped(_Frozen):
    """Systems that ``--skip-bad`` left out: how many, and why each."""

    count: int
    why: dict[str, str]


class Source(BaseModel):
    """What the data of an ingested set were made from; all None or empty where the set was simulated.

    Written are the facts that were given and no others; what only other versions know is kept beside them.

    Attributes
    ----------
    layout, challenge, release, label_rule
        Words for the archive, and how labels follow from its catalogue.
    catalogue
        Name of its file.
    ids_without_image, ids_without_catalogue_row
        What the catalogue and the images do not have in common.
    skipped
        Systems that were left out as bad.
    zero_point_cards
        Band → header card that the zero point is from.
    notes
        Sentences for people.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    layout: str | None = None
    challenge: str | None = None
    release: str | None = None
    label_rule: str | None = None
    catalogue: str | None = None
    ids_without_image: Listed | None = None
    ids_without_catalogue_row: Listed | None = None
    skipped: Skipped | None = None
    zero_point_cards: dict[str, str] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @model_serializer(mode="wrap")
    def _as_given(self, words: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in sorted(words(self).items()) if name in self.model_fields_set}
