"""On a real dask cluster: the same answers and bytes, lost workers made good, a scheduler that goes away one line."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from operator import neg
from pathlib import Path
from types import SimpleNamespace

import pytest
from command_tree import is_group, walk
from torch import nn

from lensaudit.errors import DataError, MachineError, UsageError
from lensaudit.finders import load_finder
from lensaudit.finders.running import travels
from lensaudit.lensset.simulation import write_chunks
from lensaudit.planted_bias.planted_finders import SmallNet
from lensaudit.probes.collect import AskBlock, collect
from lensaudit.spread import Team, on_cluster, spread
from tests.lensset import fake_sky
from tests.probes.conftest import content, formula
from tests.probes.test_experiment import experiment, flux
from tests.realism_gate.toys import drawn_set

pytest.importorskip("distributed", reason="dask is not installed: make install")

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # sockets of the cluster, closed by its loop


@contextmanager
def started(**settings):
    from distributed import LocalCluster

    one = LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0", **settings)
    try:
        yield one
    finally:
        one.close()


@pytest.fixture(scope="module")
def cluster():
    """Two workers in this process, for all tests."""
    with started() as one:
        yield one


@pytest.fixture
def address(cluster) -> str:
    return cluster.scheduler_address


def slowly(chunk: int) -> int:
    time.sleep(0.02)
    return chunk


def refused(chunk: int) -> int:
    raise DataError(f"image {chunk}: is flat; leave it out")


def test_every_answer_comes_back_once_whatever_is_asked_for(address):
    assert sorted(spread(neg, range(40), address)) == list(range(-39, 1))
    with on_cluster(address), Team(1, list) as team:
        assert sorted(spread(neg, range(5), team)) == [-4, -3, -2, -1, 0]
        assert sorted(spread(neg, range(5), 4)) == [-4, -3, -2, -1, 0]
    assert list(spread(neg, [], address)) == []


def test_workers_hold_few_chunks_at_a_time(cluster, address):
    with closing(spread(slowly, range(60), address)) as answers:
        next(answers)
        assert len(cluster.scheduler.tasks) <= 6


def test_what_is_wrong_with_the_data_is_said_as_ever(address):
    with pytest.raises(DataError, match=r"image .: is flat; leave it out"):
        list(spread(refused, range(6), address))


def test_a_lost_worker_is_made_good(cluster, address):
    found = []
    for chunk in spread(slowly, range(30), address):
        found.append(chunk)
        if len(found) == 3:
            lost = next(iter(cluster.scheduler.workers))
            cluster.sync(cluster.scheduler.remove_worker, lost, stimulus_id="test")
    assert sorted(found) == list(range(30))
    cluster.scale(3)


def killing(chunk: int) -> int:
    """What dask says after a chunk has ended several workers; in this process none can be ended."""
    from distributed.scheduler import KilledWorker

    raise KilledWorker(f"{chunk}", SimpleNamespace(address="tcp://gone"), 3)


def test_a_chunk_that_ends_its_workers_is_one_line(address):
    with pytest.raises(MachineError, match="a worker process died"):
        list(spread(killing, range(3), address))


def test_a_scheduler_that_goes_away_is_one_line_and_the_same_command_goes_on(tmp_path, address):
    import dask

    task = fake_sky.FakeTask(tmp_path / "set", fake_sky.header(20))
    quickly = dask.config.set({"distributed.comm.timeouts.connect": "300ms"})  # it is called for half a minute
    with (
        quickly,
        started() as one,
        pytest.raises(MachineError, match="the scheduler is gone; start one"),
    ):
        write_chunks(task, one.scheduler_address, lambda done, _: done and one.sync(one.scheduler.close))
    write_chunks(task, address)
    write_chunks(fake_sky.FakeTask(tmp_path / "here", fake_sky.header(20)))
    assert fake_sky.tree(tmp_path / "set") == fake_sky.tree(tmp_path / "here")


def test_scores_are_the_same_bytes(cli, address, tmp_path):
    sky = drawn_set(tmp_path / "set", 20, 3).path
    words = ("score", "tests.realism_gate.toys:toy_finder", sky, "--part-rows", 3)
    cli(*words, "--out", tmp_path / "there", "--dask", address)
    cli(*words, "--out", tmp_path / "here", "--workers", 1)
    names = sorted(path.name for path in (tmp_path / "here").glob("part*"))
    assert len(names) == 7
    assert all((tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes() for name in names)


@pytest.mark.parametrize("where", ["on workers", "here"])
def test_a_probe_is_the_same_bytes(address, tmp_path, monkeypatch, where):
    """A finder of our own code is asked where the images are made; one of the user's class where it was opened."""
    monkeypatch.setattr("lensaudit.probes.experiment.CHUNK", 2)
    asked, called = experiment("band-duplicate", 3), []
    finder = load_finder("ou66", "cpu") if where == "on workers" else formula(flux, ("VIS", "H"))
    ask = AskBlock.__call__
    monkeypatch.setattr(AskBlock, "__call__", lambda self, chunk: called.append(chunk) or ask(self, chunk))
    collect(asked, [finder], tmp_path / "here")
    assert not called
    with on_cluster(address):
        collect(asked, [finder], tmp_path / "there")
    assert sorted(called) == ([0, 1] if where == "on workers" else [])
    assert content(tmp_path / "there") == content(tmp_path / "here")


class Own(nn.Module):
    """A user's layer, which another process may not know."""


def test_a_network_goes_to_a_worker_where_all_its_layers_are_known():
    assert travels(load_finder("ou66", "cpu").module)
    assert travels(SmallNet())
    assert travels(nn.Sequential(nn.Linear(1, 1)))
    assert not travels(nn.Sequential(nn.Linear(1, 1), Own()))
    assert not travels(nn.Linear(1, 1, device="meta"))  # stands for any device but the CPU


def test_a_task_is_taken_off_the_workers_in_the_end(cluster, address):
    with closing(spread(slowly, range(8), address)) as answers:
        next(answers)
        assert any(name.startswith("lensaudit") for name in cluster.scheduler.worker_plugins)
    assert not any(name.startswith("lensaudit") for name in cluster.scheduler.worker_plugins)


def test_every_command_with_workers_takes_a_cluster(lensaudit, tmp_path):
    options = {
        " ".join(words): {name for one in command.params for name in one.opts}
        for words, command in walk()
        if not is_group(command)
    }
    assert {words for words, has in options.items() if "--dask" in has} == {
        words for words, has in options.items() if "--workers" in has
    }
    assert {"score", "simulate", "inject", "report", "compare", "probe all", "ingest fits"} <= {
        words for words, has in options.items() if "--dask" in has
    }
    code, _, err = lensaudit("simulate", "euclid", "--n", 2, "--out", tmp_path / "s", "--dask", "nowhere:x")
    assert (code, err.count("\n")) == (2, 1)
    assert "--dask nowhere:x: no dask scheduler answers there" in err
    code, _, err = lensaudit("score", "ou66", tmp_path, "--out", tmp_path / "s.csv", "--dask", "tcp://a:1")
    assert (code, err.count("\n")) == (2, 1)
    assert "--dask is of a folder of scores" in err


TOUCHED = """
import resource, numpy, lensaudit.on_dask as on_dask
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        numpy.ones(1 << 18)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
first = faults()
on_dask.keep_freed_memory()
faults()
print(first, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
@pytest.mark.parametrize(("threshold", "kept"), [("65536", True), ("65537", False)])
def test_a_worker_keeps_the_memory_that_dask_would_hand_back(threshold, kept):
    """50 arrays of 2 MB are 512 pages of 4 kB each; a value of the user's own stays."""
    words = [sys.executable, "-c", TOUCHED]
    ended = subprocess.run(
        words, env=os.environ | {"MALLOC_TRIM_THRESHOLD_": threshold}, capture_output=True, check=True
    )
    before, after = map(int, ended.stdout.split())
    assert before > 50 * 100  # pages may be larger
    assert (after < before / 50) == kept


def test_without_dask_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"pip install lensaudit\[dask\]"):
        list(spread(len, [0], "tcp://localhost:8786"))


def test_a_folder_that_a_worker_does_not_see_is_one_line(address, tmp_path, monkeypatch):
    from lensaudit import on_dask

    with pytest.raises(MachineError, match=r"a dask worker does not see .*gone; run from a folder"):
        on_dask._do_there("task", 1, str(tmp_path / "gone"))
    assert Path.cwd() != tmp_path


def test_a_judgement_is_the_same_bytes(cli, address, tmp_path):
    sky = drawn_set(tmp_path / "set", 8, 3).path
    words = ("judge", "tests.realism_gate.toys:toy_finder", sky, "--method", "saliency", "--with", "deletion")
    cli(*words, "--per-kind", 2, "--threads", 1, "--out", tmp_path / "there", "--dask", address)
    cli(*words, "--per-kind", 2, "--threads", 1, "--out", tmp_path / "here")
    for name in ("explanation-scores.json", "explanation-scores.parquet"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
