"""Frozen results that survive JSON: a dataclass that inherits `Record` is written and read back by its annotations.

`Number`, `Floats`, `Counts` and `Flags` annotate the fields of a record: a number that does not exist is NaN in memory
and ``null`` in a file, and an array is a list (of lists). Reading checks every field (pydantic does) and leaves aside
what it does not know, so that a later version may say more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, core_schema

from lensaudit.documents import complaint, read_json, refuse_broken_seal
from lensaudit.errors import DataError
from lensaudit.files import write_json
from lensaudit.notebook import shown

Json = dict[str, Any]
"""What `json.dumps` writes as an object."""


def _nan_for_null(value: Any) -> Any:
    return math.nan if value is None else value


class _ArrayOf:
    """Reads a list (of lists) as an array of one kind of numbers, ``null`` as NaN."""

    def __init__(self, kind: type[np.generic]) -> None:
        self.kind = kind

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._array)

    def _array(self, value: Any) -> NDArray[Any]:
        try:
            return np.array(value, dtype=self.kind)
        except (TypeError, ValueError, OverflowError) as wrong:
            raise ValueError(f"should be a list of numbers, all rows equally long ({wrong})") from wrong


Number = Annotated[float, BeforeValidator(_nan_for_null)]
Floats = Annotated[NDArray[np.float64], _ArrayOf(np.float64)]
Counts = Annotated[NDArray[np.int64], _ArrayOf(np.int64)]
Flags = Annotated[NDArray[np.bool_], _ArrayOf(np.bool_)]


def plain(value: Any) -> Any:
    """`value` as JSON takes it: records and dataclasses as mappings, arrays and tuples as lists, NaN as None."""
    if isinstance(value, Record):
        return value.to_json()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


class Record:
    """A frozen dataclass that `to_json` writes and `from_json` reads back.

    A subclass may name properties in `ALSO`, which the file holds beside the fields for whoever reads it with other
    programs, and may turn what earlier versions wrote into today's words in `_modern`.
    """

    ALSO: ClassVar[tuple[str, ...]] = ()

    def _repr_html_(self) -> str:
        return shown(self)

    def to_json(self) -> Json:
        """Fields by name, and the properties in `ALSO`; NaN is None, arrays are lists."""
        names = (*(field.name for field in fields(self)), *self.ALSO)  # type: ignore[arg-type]
        return {name: plain(getattr(self, name)) for name in names}

    @classmethod
    def from_json(cls, words: Any, where: str = "", fix: str = "write it again") -> Self:
        """The record that `to_json` described.

        Parameters
        ----------
        words
            As read from JSON.
        where, fix
            What begins and ends the message: the file, and what to do about it.

        Raises
        ------
        DataError
            A field is missing or is not what it should be; the message names it.
        """
        try:
            found: Self = _adapter(cls).validate_python(words)
        except ValidationError as invalid:
            raise DataError(f"{where or cls.__name__}: {complaint(invalid)}; {fix}") from invalid
        except RecursionError as deep:
            raise DataError(f"{where or cls.__name__}: is nested too deeply; {fix}") from deep
        return found

    def write(self, path: Path) -> Path:
        """Write the JSON to `path`, whole or not at all; returns `path`."""
        write_json(Path(path), self.to_json())
        return Path(path)

    @classmethod
    def read(cls, path: Path, fix: str = "write it again") -> Self:
        """The record in the file `path`; DataError as `from_json`, and where it was changed after it was written."""
        words = read_json(Path(path), fix)
        refuse_broken_seal(words, f"{path}", fix)
        return cls.from_json(words, f"{path}", fix)

    @classmethod
    def _modern(cls, words: Json) -> Json:
        """What an earlier version wrote, in today's words."""
        return words

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def modern(words: Any) -> Any:
            return cls._modern(dict(words)) if isinstance(words, Mapping) else words

        schema = handler(source)
        kept: Any = handler.resolve_ref_schema(schema)
        if kept["type"] == "dataclass":  # pydantic keeps one schema a class, and takes it where the class comes again
            plain_fields = {name: value for name, value in kept.items() if name != "ref"}
            wrapped = core_schema.no_info_before_validator_function(modern, plain_fields, ref=kept.get("ref"))
            kept.clear()
            kept.update(wrapped)
        return schema


_ADAPTERS: dict[type, TypeAdapter[Any]] = {}


def _adapter(cls: type[Any]) -> TypeAdapter[Any]:
    """What reads the class; made once, for that takes milliseconds."""
    if cls not in _ADAPTERS:
        _ADAPTERS[cls] = TypeAdapter(cls)
    return _ADAPTERS[cls]
