"""Reading JSON and YAML that a person or another program may have changed.

Nothing is built before it is known to be small: the size of the file, the depth of nesting, no aliases (a few lines of
them describe gigabytes), no key twice, no NaN where a number belongs. A schema is a pydantic model; its first complaint
becomes one line that names file, field and fix.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml
from pydantic import BaseModel, ValidationError

from lensaudit.errors import DataError, LensauditError, NoSuchData, NoSuchFile, UsageError
from lensaudit.files import write_json
from lensaudit.untrusted import kind_of_bytes, printable, regular_size

Json = dict[str, Any]
"""A JSON document that is an object: what was parsed, or what will be written."""

LARGEST_YAML = 1 << 20
"""Bytes; the longest of ours, an ensemble's ``finder.yaml``, has 21 kB."""
LARGEST_JSON = 64 << 20
"""Bytes; a comparison of ten finders has 2 MB, the header of a set of a million images some 10 MB."""
LARGEST_TEXT = 4 << 20
"""Bytes of a card or a training history; ours have some kB."""
SEAL = "digest"
DEEPEST = 64
"""Lists and mappings inside one another; our own go down to a dozen."""

Schema = TypeVar("Schema", bound=BaseModel)
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAY_BE_JSON = ("json", "csv", "text", "unknown")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


_MISSING: dict[type[LensauditError], type[LensauditError]] = {DataError: NoSuchData, UsageError: NoSuchFile}
"""What an error is called where the file does not exist."""


class _Unfit(ValueError):
    """What a document may not hold; its text completes ``FILE: …``."""


def read_bytes(path: Path, limit: int, error: type[LensauditError] = DataError) -> bytes:
    """The bytes of a regular file that has at most `limit` of them.

    Raises
    ------
    LensauditError
        Of the type `error`: no such file, no regular file (a pipe or a device could be read for ever), or too large.
    """
    try:
        size = regular_size(Path(path))
        if size > limit:
            raise error(f"{path}: has {size / 1e6:.4g} MB, at most {limit / 1e6:.4g} are read; it is not ours")
        return Path(path).read_bytes()
    except UsageError as refused:
        missing = isinstance(refused, NoSuchFile)
        raise (_MISSING.get(error, error) if missing else error)(str(refused)) from refused
    except OSError as refused:
        raise error(f"{path}: cannot be read ({refused.strerror}); check its permissions") from refused


def read_text(path: Path, fix: str, limit: int = LARGEST_TEXT) -> str:
    """The text of a regular file of at most `limit` bytes, in UTF-8.

    Raises
    ------
    DataError
        It is missing, no regular file, too large, or in another encoding; `fix` ends the line.
    """
    try:
        return read_bytes(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError as broken:
        raise DataError(f"{path}: is not text in UTF-8 (byte {broken.start + 1}); {fix}") from broken


def read_yaml(path: Path, schema: type[Schema], error: type[LensauditError] = UsageError) -> Schema:
    """Read `path` as YAML into `schema`.

    Raises
    ------
    LensauditError
        Of the type `error`: not YAML, too large, nested too deeply, with aliases or a key twice, or a field is wrong;
        one line names the file, the field and what is allowed.
    """
    data = read_bytes(path, LARGEST_YAML, error)
    try:
        text = data.decode("utf-8-sig")
        refuse_unsafe_yaml(text, f"{path}", error)
        words = _Strict.values(text)
    except _Unfit as unfit:
        raise error(f"{path}: {unfit}") from unfit
    except LensauditError:
        raise
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as broken:
        raise error(f"{path}: is not readable as YAML ({printable(_line(broken), 120)}); correct it") from broken
    return validated(words, schema, f"{path}", "correct that line", error)


def read_json(path: Path, fix: str, *, nan: bool = False, error: type[LensauditError] = DataError) -> Any:
    """Read `path` as JSON.

    Parameters
    ----------
    fix
        What to do about a damaged file; ends the line.
    nan
        Whether NaN and infinity may stand for numbers.

    Raises
    ------
    LensauditError
        Of the type `error`: missing, not JSON, too large, nested too deeply, a key twice, or NaN.
    """
    if not Path(path).exists():
        raise _MISSING.get(error, error)(f"{path}: no such file; {fix}")
    data = read_bytes(path, LARGEST_JSON, error)
    kind = kind_of_bytes(data[:4096], len(data))
    if kind.key not in _MAY_BE_JSON:
        raise error(f"{path}: is {kind.words}, not JSON; {fix}")
    return json_of(data, f"{path}", fix, nan=nan, error=error)


def kept_json(path: Path) -> Json:
    """The mapping that `keep_json` left in a file; empty where there is none, or it is torn or changed.

    For what is made again if need be. Files of earlier versions have no digest, and are read as they are.
    """
    try:
        found = read_json(path, "")
        refuse_broken_seal(found, f"{path}", "")
    except DataError:
        return {}
    return {name: found[name] for name in found if name != SEAL} if isinstance(found, dict) else {}


def keep_json(path: Path, words: Mapping[str, Any]) -> None:
    """Write `words` with their digest, whole or not at all, for `kept_json`."""
    write_json(path, sealed(words))


def sealed(words: Mapping[str, Any]) -> Json:
    """`words` with the digest of everything in them, so that a change by hand is seen when they are read."""
    plain = json.loads(json.dumps({name: value for name, value in words.items() if name != SEAL}))
    return {**plain, SEAL: digest_of(plain)}


def refuse_broken_seal(words: Any, where: str, fix: str) -> bool:
    """Raise DataError if `words` were changed since they were `sealed`; whether they have a seal at all."""
    if not isinstance(words, dict) or SEAL not in words:
        return False
    if words[SEAL] != digest_of({name: value for name, value in words.items() if name != SEAL}):
        raise DataError(f"{where}: was changed after it was written; {fix}")
    return True


def digest_of(words: Any) -> str:
    """SHA-256 of a JSON value, the same whatever the order of its keys and its layout."""
    canonical = json.dumps(words, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def json_of(
    data: bytes | str, where: str, fix: str, *, nan: bool = False, error: type[LensauditError] = DataError
) -> Any:
    """The JSON value in `data`, checked as `read_json` does; `where` begins the message."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    try:
        if len(raw) > LARGEST_JSON:
            raise _Unfit(f"has {len(raw) / 1e6:.4g} MB, at most {LARGEST_JSON / 1e6:.4g} are read")
        _check_depth(raw)
        return json.loads(
            raw.decode("utf-8-sig"),
            object_pairs_hook=_distinct,
            parse_constant=float if nan else _refuse_constant,
            parse_float=float if nan else _finite,
        )
    except (ValueError, RecursionError) as broken:
        raise error(f"{where}: is not readable as JSON ({printable(_line(broken), 120)}); {fix}") from broken


def validated(
    words: Any, schema: type[Schema], where: str, fix: str, error: type[LensauditError] = DataError
) -> Schema:
    """`words` as `schema`; its first complaint becomes an `error` of one line: field, what is there, and `fix`."""
    try:
        return schema.model_validate(words)
    except ValidationError as invalid:
        raise error(f"{where}: {complaint(invalid)}; {fix}") from invalid
    except RecursionError as deep:
        raise error(f"{where}: is nested too deeply; {fix}") from deep


def complaint(invalid: ValidationError) -> str:
    """The first complaint of pydantic: field, what is wrong, and the value that is there."""
    first = invalid.errors(include_url=False, include_context=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ").removesuffix(".")
    value = first["input"]
    shown = first["type"] != "missing" and isinstance(value, bool | int | float | str | None)
    found = f" (it is {value!r:.60})" if shown and first["type"] != "value_error" else ""
    return printable(f"{field + ': ' if field else ''}{message}{found}", 300)


class _Strict(_Loader):
    """PyYAML's safe loader, which refuses a key that is there twice."""

    @classmethod
    def values(cls, text: str) -> Any:
        """The plain values that `text` describes."""
        loader = cls(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping of `node`."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    what = f"{printable(key.value, 60)} is there twice"
                    raise _Unfit(f"line {_number(key.start_mark)}: {what}; keep one of them")
                seen.add(key.value)
        found: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return found


def refuse_unsafe_yaml(text: str, where: str, error: type[LensauditError]) -> None:
    """Raise `error` for aliases, deep nesting or bad syntax in `text`, before anything is built of it."""
    try:
        _check_events(text)
    except _Unfit as unfit:
        raise error(f"{where}: {unfit}") from unfit
    except (yaml.YAMLError, ValueError) as broken:
        raise error(f"{where}: is not readable as YAML ({printable(_line(broken), 120)}); correct it") from broken


def _check_events(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            what = f"uses the alias *{printable(event.anchor, 30)}"
            raise _Unfit(f"line {_number(event.start_mark)}: {what}; write out what it stands for")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise _Unfit(f"line {_number(event.start_mark)}: is nested deeper than {DEEPEST} levels; it is not ours")


def _number(mark: Any) -> int:
    return 0 if mark is None else mark.line + 1


def _check_depth(raw: bytes) -> None:
    if raw.count(b"[") + raw.count(b"{") <= DEEPEST:
        return
    brackets = np.frombuffer(_STRING.sub(b"", raw).translate(None, _NO_BRACKETS), np.uint8)
    steps = np.where((brackets == ord("[")) | (brackets == ord("{")), 1, -1)
    if np.cumsum(steps).max(initial=0) > DEEPEST:
        raise _Unfit(f"nested deeper than {DEEPEST} levels")


def _distinct(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise _Unfit(f"{printable(twice, 60)} is there twice")
    return found


def _finite(word: str) -> float:
    value = float(word)
    if not math.isfinite(value):
        raise _Unfit(f"{word[:20]} is too large for a number")
    return value


def _refuse_constant(word: str) -> float:
    raise _Unfit(f"{word} is no number")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
