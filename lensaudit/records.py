"""Frozen results that survive JSON, and how they, sets and finders show themselves where they are printed.

A dataclass that inherits `Record` is written and read back by its annotations. `Number`, `Floats`, `Counts` and `Flags`
annotate its fields: a number that does not exist is NaN in memory and ``null`` in a file, and an array is a list (of
lists). Reading checks every field (pydantic does) and leaves aside what it does not know, so that a later version may
say more.

What inherits `Shown` is one line where it is printed and a small table in a notebook. Names, ids and paths come from
other people's files: everything is escaped, and what is long is cut.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from html import escape
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, core_schema

from lensaudit.documents import Json as Json
from lensaudit.documents import complaint, read_json, refuse_broken_seal
from lensaudit.errors import DataError
from lensaudit.files import write_json
from lensaudit.untrusted import printable

MOST_ROWS = 12
"""Of a table; how many more there are is said below it."""

LONGEST_CELL, LONGEST_WORD = 400, 60
"""Characters of a cell, and of a value in one line."""

LARGEST_PAGE = 8_000_000
"""Bytes of a page that is still copied into a notebook; of a larger one its path is shown."""

_FRAME = (
    '<iframe srcdoc="{page}" title="{title}" sandbox="" loading="lazy" '
    'style="width: 100%; height: 36em; border: 1px solid #ccc"></iframe>'
)

_TABLE = '<table style="margin: 0; text-align: left; border-collapse: separate; border-spacing: 1em 0">'

Facts = Mapping[str, object]
"""Name → value."""

Cells = Mapping[str, object]
"""A row of a table: column → value."""


class Shown(ABC):
    """A result that shows itself by its `_facts`; a dataclass that is one is made with ``repr=False``."""

    @abstractmethod
    def _facts(self) -> Facts:
        """Name → value: one line where it is printed, the first table in a notebook."""

    def _rows(self) -> Sequence[Cells]:
        """Of a table below, in a notebook; its columns are those of the first row."""
        return ()

    def _picture(self) -> str:
        """Data URI of what stands between them; empty for none."""
        return ""

    def __repr__(self) -> str:
        facts = (f"{re.sub(r'[ -]', '_', name)}={_bare(value)}" for name, value in self._facts().items())
        return f"{type(self).__name__}({', '.join(facts)})"

    def _repr_html_(self) -> str:
        return card(type(self).__name__, self._facts(), self._picture()) + table(self._rows())


def _bare(value: object) -> str:
    words = _in_words(value, LONGEST_WORD)
    return repr(words) if isinstance(value, str | Path | list | tuple) else words


def card(title: str, facts: Facts, picture: str = "") -> str:
    """A title, a table of facts and a picture (a data URI), everything escaped.

    Examples
    --------
    >>> card("Finder", {"bands": "<VIS>"})
    '<div><strong>Finder</strong><table ...><tr><th>bands</th><td>&lt;VIS&gt;</td></tr></table></div>'
    """
    rows = "".join(f"<tr><th>{_cell(name)}</th><td>{_cell(value)}</td></tr>" for name, value in facts.items())
    drawn = f'<img src="{escape(picture)}" alt="{_cell(title)}" style="max-width: 24em">' if picture else ""
    return f"<div><strong>{_cell(title)}</strong>{_TABLE}{rows}</table>{drawn}</div>"


def table(rows: Sequence[Cells], title: str = "") -> str:
    """The first `MOST_ROWS` rows as a table, everything escaped; empty where there are none."""
    if not rows:
        return ""
    head = "".join(f"<th>{_cell(name)}</th>" for name in rows[0])
    body = "".join(_line(row.values()) for row in rows[:MOST_ROWS])
    more = f"<p>… and {len(rows) - MOST_ROWS} more</p>" if len(rows) > MOST_ROWS else ""
    named = f"<strong>{_cell(title)}</strong>" if title else ""
    return f"<div>{named}{_TABLE}<tr>{head}</tr>{body}</table>{more}</div>"


def _line(values: Iterable[object]) -> str:
    return "<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in values) + "</tr>"


def page_frame(page: Path) -> str:
    """One of our pages inside a frame in which nothing runs; its path where it is large, nothing where it is gone."""
    if not page.is_file():
        return ""
    if page.stat().st_size > LARGEST_PAGE:
        return f"<p>{_cell(page)} is too large to be shown here; open it in a browser</p>"
    return _FRAME.format(page=escape(page.read_text(encoding="utf-8")), title=_cell(page.name))


def shown(result: Any) -> str:
    """Any result (a dataclass) as a table of its fields; what it holds several of is a table below."""
    values = {field.name: getattr(result, field.name) for field in fields(result)}
    lists = {name: value for name, value in values.items() if _is_list_of_results(value)}
    facts = {name: value for name, value in values.items() if name not in lists}
    return card(type(result).__name__, facts) + "".join(table(rows_of(many), name) for name, many in lists.items())


def rows_of(results: Sequence[Any]) -> list[Cells]:
    """Dataclasses of one kind as rows, a column for each field."""
    return [{field.name: getattr(result, field.name) for field in fields(result)} for result in results]


def _is_list_of_results(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(is_dataclass(one) for one in value)


def _cell(value: object) -> str:
    return escape(_in_words(value, LONGEST_CELL))


def _in_words(value: object, length: int) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple | list):
        value = ", ".join(str(one) for one in value[:MOST_ROWS]) + (" …" if len(value) > MOST_ROWS else "")
    if is_dataclass(value) and not isinstance(value, Shown):
        return type(value).__name__
    return printable(value, length)


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


def renamed(words: Json, **old: str) -> Json:
    """`words` with the value of an old name under the new one: ``renamed(words, n_non_lenses="n_nonlenses")``."""
    return words | {new: words[name] for new, name in old.items() if new not in words and name in words}
