"""Preparing that is killed, interrupted, run twice at once or out of space: whole files only, and the same bytes."""
import contextlib
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest
from tqdm import tqdm

from resnest.errors import InputError, run_command
from resnest.gluon.data.preparing import preparation as module
from resnest.gluon.data.preparing.imagenet import find_source
from resnest.gluon.data.preparing.preparation import Options, check_prepared, prepare
from resnest.gluon.data.shards.writer import check_shard

from ...conftest import ROOT
from . import ilsvrc
from .test_preparation import files

SHARDS = 12
OPTIONS = Options(num_shards=SHARDS, raw=True)


@pytest.fixture(scope='module')
def official(tmp_path_factory):
    folder = tmp_path_factory.mktemp('official')
    ilsvrc.make(folder, classes=6, train=40, val=50)
    return folder


@pytest.fixture(scope='module')
def undisturbed(official, tmp_path_factory):
    target = tmp_path_factory.mktemp('undisturbed')
    prepare(find_source(official), target, OPTIONS, 0, 2)
    return files(target)


@contextlib.contextmanager
def child(work):
    """A forked process in a group of its own that runs ``work`` as a command; killed at the end."""
    pid = os.fork()
    if not pid:
        try:
            os.setsid()
            signal.signal(signal.SIGINT, signal.default_int_handler)    # ignored where a shell runs us behind
            tqdm.set_lock(threading.RLock())        # tqdm's own is shared: killed with it, we would stop too
            with open(os.devnull, 'w') as sink:
                os.dup2(sink.fileno(), 2)
            run_command(lambda: work() and None)
        except SystemExit as end:
            os._exit(end.code)
        finally:
            os._exit(99)
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def group(pid):
    """Processes of a group that still run."""
    listed = subprocess.run(['ps', '-o', 'pid=,stat=', '-g', str(pid)], capture_output=True, text=True).stdout
    return [line for line in listed.splitlines() if ' Z' not in line]


def assert_whole(target, undisturbed):
    """Whatever bears a final name is what the undisturbed run made."""
    for name, data in files(target).items():
        if not name.endswith(('.part', '.journal', '.lock')):
            assert data == undisturbed[name], name


def kill_at(what, ending, count, group):
    """From now on the call number ``count`` of ``os.<what>`` for a file that ends so, in any process forked from here,
    does not come about: this process group, or its first process alone, is killed."""
    calls, first, real = multiprocessing.RawValue('i', 0), os.getpid(), getattr(os, what)

    def call(*args, **kwargs):
        if str(args[-1]).endswith(ending):
            calls.value += 1
            if calls.value >= count:
                os.killpg(first, signal.SIGKILL) if group else os.kill(first, signal.SIGKILL)
                time.sleep(60)
        return real(*args, **kwargs)

    setattr(os, what, call)


@pytest.mark.parametrize('group', [True, False])
@pytest.mark.parametrize('what, ending, count', [
    ('replace', 'prepare.journal', 1),      # nothing is noted yet
    ('replace', '.JPEG', 100),              # amid a shard, with an original half-done
    ('replace', '.idx', 5),                 # a shard is written, and has no name yet
    ('replace', '.rec', 5),                 # its index has a name already
    ('unlink', 'prepare.journal', 1),       # the manifest is there, and the journal still
    ('replace', 'manifest.json', 1),        # all shards are there
])
def test_killed_it_goes_on_to_the_same_bytes(official, undisturbed, tmp_path, what, ending, count, group):
    def work():
        kill_at(what, ending, count, group)
        prepare(find_source(official), tmp_path, OPTIONS, 0, 2)

    with child(work) as pid:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert_whole(tmp_path, undisturbed)
    shards = {'prepare.journal': SHARDS if what == 'unlink' else 0, 'manifest.json': SHARDS, '.JPEG': 0}.get(ending, 2)
    assert len(list(tmp_path.glob('rec/train-*.rec'))) >= shards
    prepare(find_source(official), tmp_path, OPTIONS, 0, 2)
    assert files(tmp_path) == undisturbed


@pytest.mark.soak
def test_killed_at_random_moments_it_ends_with_the_same_bytes(official, undisturbed, tmp_path, soak):
    """Rounds of kills, of the group or of the parent alone; each round ends undisturbed."""
    rng, kills = soak
    hits, partial, number, start = 0, 0, 0, time.perf_counter()
    prepare(find_source(official), tmp_path / 'timed', OPTIONS, 0, 2)
    longest = time.perf_counter() - start
    while hits < kills:
        target, number = tmp_path / str(number), number + 1
        for kill in range(5):
            start = time.perf_counter()
            with child(lambda target=target: prepare(find_source(official), target, OPTIONS, 0, 2)) as pid:
                delay = start + rng.uniform(0, longest)
                while not (ended := os.waitpid(pid, os.WNOHANG) != (0, 0)) and time.perf_counter() < delay:
                    time.sleep(0.001)
                if ended:
                    if kill == 0:
                        longest = time.perf_counter() - start       # of the whole work
                    break       # it was faster
                os.kill(pid, signal.SIGKILL)
                if rng.random() < 0.5:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                hits += 1
            if target.exists():
                assert_whole(target, undisturbed)
                partial += 0 < len(list(target.glob('rec/*.rec'))) < SHARDS
        prepare(find_source(official), target, OPTIONS, 0, 2)
        assert files(target) == undisturbed
    assert partial >= kills // 8        # some of the kills came amid the work


def test_workers_end_with_their_parent(official, tmp_path, monkeypatch):
    real = module.write_shard
    monkeypatch.setattr(module, 'write_shard', lambda *args: time.sleep(60) or real(*args))
    with child(lambda: prepare(find_source(official), tmp_path, OPTIONS, 0, 2)) as pid:
        wait_for(lambda: len(group(pid)) == 3)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not group(pid))


def wait_for(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_second_process_in_the_same_folder_is_refused(official, tmp_path, monkeypatch, undisturbed):
    real = module.write_shard
    monkeypatch.setattr('resnest.gluon.data.preparing.journal.WAIT', 0.2)
    with monkeypatch.context() as patched:
        patched.setattr(module, 'write_shard', lambda *args: time.sleep(60) or real(*args))
        with child(lambda: prepare(find_source(official), tmp_path, OPTIONS, 0, 2)) as pid:
            wait_for(lambda: len(group(pid)) == 3)
            with pytest.raises(InputError, match='another process is preparing into it'):
                prepare(find_source(official), tmp_path, OPTIONS, 0, 1)
    prepare(find_source(official), tmp_path, OPTIONS, 0, 1)
    assert files(tmp_path) == undisturbed


def test_a_worker_that_dies_is_reported(official, tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'write_shard', lambda *args: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(InputError, match=r'a worker process died \(SIGKILL\) at \w+-000\d\d-of-.*--num-workers'):
        prepare(find_source(official), tmp_path, OPTIONS, 0, 2)


def test_interrupted_it_says_so_and_goes_on(official, undisturbed, tmp_path, monkeypatch):
    real = module.write_shard
    with monkeypatch.context() as patched:
        patched.setattr(module, 'write_shard', lambda *args: time.sleep(0.2) or real(*args))
        with child(lambda: prepare(find_source(official), tmp_path, OPTIONS, 0, 2)) as pid:
            wait_for(lambda: len(list(tmp_path.glob('rec/*.rec'))) > 2)
            os.killpg(pid, signal.SIGINT)       # as a terminal does: to parent and workers
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
            assert not group(pid)
    assert not list(tmp_path.glob('rec/*.part'))
    assert_whole(tmp_path, undisturbed)
    prepare(find_source(official), tmp_path, OPTIONS, 0, 2)
    assert files(tmp_path) == undisturbed


def test_a_journal_cut_in_a_line_is_taken_up_to_there(official, undisturbed, tmp_path, monkeypatch):
    prepare(find_source(official), tmp_path, OPTIONS, 0, 2)
    monkeypatch.setattr(module.Journal, 'publish', lambda *args: os._exit(0))
    (tmp_path / 'rec/manifest.json').unlink()
    for path in tmp_path.glob('rec/*.rec'):
        path.unlink()
    with child(lambda: prepare(find_source(official), tmp_path, OPTIONS, 0, 2)) as pid:
        os.waitpid(pid, 0)
    monkeypatch.undo()
    journal = tmp_path / 'rec/prepare.journal'
    data = journal.read_bytes()
    assert data.count(b'\n') > SHARDS
    journal.write_bytes(data[:len(data) // 2])
    written = []
    monkeypatch.setattr(module, '_write_all', lambda plan, tasks, *args: written.extend(tasks) or [])
    with pytest.raises(KeyError):
        prepare(find_source(official), tmp_path, OPTIONS, 0, 2)
    assert SHARDS / 3 < len(written) < SHARDS
    monkeypatch.undo()
    prepare(find_source(official), tmp_path, OPTIONS, 0, 2)
    assert files(tmp_path) == undisturbed


def test_a_file_size_limit_leaves_whole_files_only(official, undisturbed, tmp_path):
    """As a full disk does, at a place of its own in each write."""
    sizes = sorted(len(data) for name, data in undisturbed.items() if name.endswith('.rec'))

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (sizes[len(sizes) // 2], resource.RLIM_INFINITY))
        prepare(find_source(official), tmp_path, OPTIONS, 0, 2)

    with child(limited) as pid:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2
    assert_whole(tmp_path, undisturbed)
    assert not list(tmp_path.rglob('*.part'))
    prepare(find_source(official), tmp_path, OPTIONS, 0, 2)
    assert files(tmp_path) == undisturbed


def test_a_full_disk_says_what_is_needed(official, small_disk):
    disk = small_disk('300k')
    with pytest.raises(InputError, match=r'are needed, 0\.\d MB are free; make room'):
        prepare(find_source(official), disk, OPTIONS, 0, 2)       # seen before anything is written
    with pytest.raises(InputError, match=r'No space left on device: all shards need about .*free'):
        prepare(find_source(official), disk, Options(num_shards=SHARDS, resize=64), 0, 2)
    assert not list(disk.rglob('*.part'))
    with pytest.raises(InputError, match='not finished'):
        check_prepared(disk)
    for path in disk.glob('rec/*.rec'):
        entry = {'file': path.name, 'bytes': path.stat().st_size, 'records': 0, 'sha256': ''}
        assert not [line for line in check_shard(path.parent, entry) if 'truncated' in line or '.idx' in line]


def test_originals_are_on_the_disk_before_the_journal_says_so(official, undisturbed, tmp_path, monkeypatch):
    synced, noted, add = multiprocessing.Value('i', 0), [], module.Journal.add
    real = module.sync_images
    count = sum(name.startswith(('train/', 'val/')) for name in undisturbed)

    def sync(files):
        files = list(files)
        real(files)
        synced.value += len(files)

    monkeypatch.setattr(module, 'sync_images', sync)
    monkeypatch.setattr(module.Journal, 'add', lambda self, entry: add(self, entry) or noted.append(
        (synced.value, sum(each['records'] for each in self.finished.values()))))
    prepare(find_source(official), tmp_path, OPTIONS, 0, 1)
    assert len(noted) > SHARDS
    assert all(on_disk >= told for on_disk, told in noted)
    assert noted[-1] == (count, count)


def test_originals_that_are_gone_or_cut_are_written_again(official, undisturbed, tmp_path, monkeypatch):
    """As after a crash of the machine; only their shards are written anew."""
    prepare(find_source(official), tmp_path, OPTIONS, 0, 2)
    one, other = sorted(tmp_path.glob('train/*/*'))[::30][:2]
    one.unlink()
    other.write_bytes(b'')
    written, add = [], module.Journal.add
    monkeypatch.setattr(module.Journal, 'add', lambda self, entry: written.append(entry) or add(self, entry))
    prepare(find_source(official), tmp_path, OPTIONS, 0, 1)
    assert 1 <= len(written) <= 2
    assert files(tmp_path) == undisturbed


@pytest.mark.soak
def test_the_command_killed_at_random_moments(official, undisturbed, tmp_path, soak):
    """The process group of the script itself is killed; what is left each time is whole, and the end is the same."""
    rng, kills = soak
    words = [sys.executable, ROOT / 'scripts/dataset/prepare_imagenet.py', '--download-dir', official, '--raw',
             '--num-shards', SHARDS, '--num-workers', 2, '--target-dir']
    hits, number = 0, 0
    while hits < kills:
        target, number = tmp_path / str(number), number + 1
        for _ in range(4):
            process = subprocess.Popen([str(word) for word in [*words, target]], stderr=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, start_new_session=True)
            while process.poll() is None and not (target / 'rec/prepare.journal').exists():
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.3))
            hits += process.poll() is None
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert_whole(target, undisturbed)
        assert subprocess.run([str(word) for word in [*words, target]], capture_output=True).returncode == 0
        assert files(target) == undisturbed
