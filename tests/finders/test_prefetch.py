"""Reading ahead: order, errors, and leaving early."""

import threading

import pytest

from lensaudit.finders.score import prefetched


def test_items_come_in_order_and_all_of_them():
    assert list(prefetched(range(100))) == list(range(100))
    assert list(prefetched(())) == []


def test_at_most_depth_and_one_items_are_ahead():
    taken = []

    def items():
        for i in range(20):
            taken.append(i)
            yield i

    for i in prefetched(items(), depth=2):
        # the one in use, two waiting, one in the reader's hand
        assert max(taken) <= i + 3


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield 1
        raise ValueError("torn chunk")

    seen = []
    with pytest.raises(ValueError, match="torn chunk"):
        seen.extend(prefetched(items()))
    reader = prefetched(items())
    assert next(reader) == 1


def test_leaving_early_stops_the_thread():
    before = threading.active_count()
    reader = prefetched(iter(int, 1))
    next(reader)
    assert threading.active_count() == before + 1
    reader.close()
    assert threading.active_count() == before
