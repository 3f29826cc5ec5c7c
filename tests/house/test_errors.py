"""Errors are also the builtin ones, and survive a process."""

import pickle

import pytest

from lensaudit import errors
from lensaudit.errors import DataError, LensauditError, MachineError, NoSuchData, NoSuchFile, OutOfMemory, UsageError


@pytest.mark.parametrize(
    ("error", "builtin", "code"),
    [
        (UsageError, ValueError, 2),
        (NoSuchFile, FileNotFoundError, 2),
        (NoSuchFile, UsageError, 2),
        (DataError, ValueError, 3),
        (NoSuchData, FileNotFoundError, 3),
        (NoSuchData, DataError, 3),
        (MachineError, OSError, 4),
        (OutOfMemory, MemoryError, 4),
    ],
)
def test_each_error_is_also_the_builtin_one(error, builtin, code):
    with pytest.raises(builtin) as caught:
        raise error("set: is gone; fetch it")
    assert str(caught.value) == "set: is gone; fetch it"
    assert caught.value.exit_code == code


def test_errors_come_back_from_a_worker_as_they_were():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LensauditError)]
    for kind in kinds:
        assert type(kind.__new__(kind, "one line")) is kind  # how tblib makes them, which comes with dask
        again = pickle.loads(pickle.dumps(kind("one line")))
        assert (type(again), str(again)) == (kind, "one line")


def test_a_missing_set_is_a_missing_file(tmp_path):
    from lensaudit.lensset import LensSet

    with pytest.raises(FileNotFoundError, match="no such lens set"):
        LensSet.open(tmp_path / "gone")


def test_an_error_within_an_open_table_keeps_its_words(tmp_path):
    """The handlers that turn Arrow's ValueErrors into one line let our own through."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from lensaudit.tables import read_table

    path = tmp_path / "twice.parquet"
    pq.write_table(pa.table([pa.array(["a"]), pa.array(["b"])], names=["id", "id"]), path)
    with pytest.raises(DataError, match=r"^\S+twice.parquet: column id is there twice"):
        read_table(path)
