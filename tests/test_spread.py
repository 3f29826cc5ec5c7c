"""Spreading chunks: every answer comes back once, one by one, and leaving early leaves nothing behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from contextlib import closing
from operator import neg

import pytest

from lensaudit.errors import UsageError
from lensaudit.spread import Team, spread


@pytest.mark.parametrize("workers", [1, 2])
def test_every_answer_comes_back_once(workers):
    assert sorted(spread(neg, range(7), workers)) == [-6, -5, -4, -3, -2, -1, 0]


def test_one_worker_does_a_chunk_when_its_answer_is_asked_for():
    """Memory holds one block: the next one is made after the first has been taken."""
    done = []
    answers = spread(lambda chunk: done.append(chunk) or chunk, [3, 1, 2])
    assert done == []
    assert next(answers) == 3
    assert done == [3]
    assert list(answers) == [1, 2]


def test_leaving_early_ends_the_workers():
    with closing(spread(neg, range(50), 2)) as answers:
        next(answers)
        workers = [worker.pid for worker in multiprocessing.active_children()]
        assert workers
    # `active_children` forgets an ended process only after the pool's own thread has noticed: the system knows at once.
    for pid in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_nothing_to_do_is_nothing():
    assert list(spread(neg, [], 4)) == []


def test_no_workers_are_refused_before_anything_is_done():
    with pytest.raises(UsageError, match="--workers must be at least 1, not 0"):
        spread(neg, [1], 0)


def signalled(number: int) -> int:
    """Comes back from its own signal only where it is ignored; a pending one is let through first."""
    try:
        signal.raise_signal(number)
    except KeyboardInterrupt:
        return -1
    assert number not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    return number


def test_workers_ignore_the_signals_that_their_parent_answers():
    numbers = [signal.SIGINT, signal.SIGTERM]
    assert sorted(spread(signalled, numbers, 2)) == sorted(numbers)


def ready() -> None:
    """What a process of a team does first: nothing."""


def never_ready() -> None:
    time.sleep(60)


def where(chunk: int) -> tuple[int, int]:
    time.sleep(0.02)
    return chunk, os.getpid()


def test_a_team_does_several_works_and_this_process_takes_part():
    with Team(2, ready) as team:
        assert sorted(spread(neg, range(3), team)) == [-2, -1, 0]
        answers, pids = set(), set()
        with closing(spread(where, range(10_000), team)) as ended:
            for chunk, pid in ended:
                assert chunk not in answers
                answers.add(chunk)
                pids.add(pid)
                if len(pids) == 2:
                    break
        assert os.getpid() in pids
        assert sorted(spread(neg, range(9), team)) == list(range(-8, 1))  # what was left of the other is no answer


def test_a_short_work_does_not_wait_for_a_team_that_is_not_ready():
    with Team(2, never_ready) as team:
        assert {pid for _, pid in spread(where, range(3), team)} == {os.getpid()}
        helpers = [worker.pid for worker in multiprocessing.active_children()]
        assert helpers
    for pid in helpers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_team_of_none_is_refused():
    with pytest.raises(UsageError, match="--workers must be at least 1, not 0"):
        Team(0, ready)
