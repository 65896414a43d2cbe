"""How many shards are open at once, and that they are closed: with more of them than a process may open."""
import os
import resource
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.data import FolderSet, RecordSet, open_pair, write_shards
from resnest.gluon.data.shards import reader
from resnest.gluon.data.shards.writer import shard_name, write_shard

from .conftest import samples


def open_below(folder):
    """How many files of a folder this process has open."""
    names = []
    for descriptor in os.listdir('/proc/self/fd'):
        try:
            names.append(os.readlink(f'/proc/self/fd/{descriptor}'))
        except FileNotFoundError:       # of listing the folder itself
            continue
    return sum(name.startswith(f'{folder}/') for name in names)


@pytest.fixture
def many(tmp_path):
    """Sixty shards of one picture each."""
    write_shards(tmp_path, {'train': samples(60), 'val': samples(3)}, ['a', 'b', 'c'], 60)
    return tmp_path


def test_more_shards_than_files_may_be_open(many):
    """In a process of its own, which may open forty files, whatever else is open in this one."""
    wanted = samples(60)

    def read():
        with RecordSet(many, 'train') as records, RecordSet(many, 'train') as others:
            for index in np.random.default_rng(0).permutation(np.repeat(np.arange(60), 3)):
                assert records[index] == wanted[index]
                assert others[59 - index] == wanted[59 - index]
            assert 20 <= open_below(many) <= 2 * 13
            assert records.count_classes() == 3

    child = os.fork()
    if not child:
        try:
            os.closerange(3, 1 << 16)
            resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
            read()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def test_no_shard_is_opened_twice_where_that_is_allowed(tmp_path):
    """With 128 at most, each read of a set of 140 opened a file."""
    write_shard(tmp_path / shard_name('train', 0, 140), [(0, 0, b'image')])
    for number in range(1, 140):
        for suffix in ('.rec', '.idx'):
            shutil.copy((tmp_path / shard_name('train', 0, 140)).with_suffix(suffix),
                        (tmp_path / shard_name('train', number, 140)).with_suffix(suffix))
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert allowed == resource.RLIM_INFINITY or allowed >= 1024
    with RecordSet(tmp_path, 'train') as records:
        for index in range(140):
            assert records[index] == (b'image', 0)
        assert open_below(tmp_path) == 140


@pytest.mark.parametrize('at_once', [1 << 20, 100])
def test_a_record_is_read_at_once_where_it_is_not_huge(many, monkeypatch, at_once):
    calls, real = [], os.pread
    monkeypatch.setattr(reader, 'AT_ONCE', at_once)
    with RecordSet(many, 'train') as records:
        monkeypatch.setattr(os, 'pread', lambda *args: calls.append(args) or real(*args))
        assert [records[index] for index in range(60)] == samples(60)
    assert len(calls) == (60 if at_once > 100 else 120)


def test_closed_with_the_context_and_when_it_is_lost(many):
    with RecordSet(many, 'train') as records:
        assert open_below(many) == 0
        records[3], records[7], records[3]
        assert open_below(many) == 2
    assert open_below(many) == 0
    with pytest.raises(RuntimeError, match='closed'):
        records[3]
    records.close()
    records = RecordSet(many, 'train')
    records[0]
    assert open_below(many) == 1
    del records
    assert open_below(many) == 0


def test_a_pair_that_does_not_fit_is_closed(many):
    with pytest.raises(InputError, match='--num-classes 2'):
        open_pair(many / shard_name('train', 0, 60), many / shard_name('train', 1, 60), 2)
    assert open_below(many) == 0
    train, val, _ = open_pair(many, many)
    with train, val:
        train[0], val[0]
        assert open_below(many) == 2
    assert open_below(many) == 0


def test_loose_images_have_the_same_interface(tmp_path):
    for name in 'ab':
        (tmp_path / name).mkdir()
        (tmp_path / name / 'x.png').write_bytes(samples(1)[0][0])
    with FolderSet(tmp_path, 'val') as records:
        assert records[1] == (samples(1)[0][0], 1)
    records.close()


def test_threads_and_forked_processes_read_while_others_close(many, monkeypatch):
    """With room for two files, each is closed while others read; no read may meet another file's descriptor."""
    monkeypatch.setattr(reader, '_most_open', lambda: 2)
    records, wanted = RecordSet(many, 'train'), samples(60)

    def read(seed):
        return all(records[index] == wanted[index] for index in np.random.default_rng(seed).integers(0, 60, 400))

    with ThreadPoolExecutor(6) as pool:
        results = [pool.submit(read, seed) for seed in range(6)]
        children = []
        for seed in range(4):
            child = os.fork()
            if not child:
                os._exit(0 if read(100 + seed) else 1)
            children.append(child)
        assert all(result.result() for result in results)
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert open_below(many) <= 2


def test_a_shard_that_is_replaced_while_it_is_read(many, monkeypatch):
    monkeypatch.setattr(reader, '_most_open', lambda: 1)
    records, path = RecordSet(many, 'train'), many / shard_name('train', 0, 60)
    assert records[0] == samples(1)[0]
    assert records[1] == samples(2)[1]
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(InputError, match=r'train-00000-of-00060\.rec: has changed while it was in use'):
        records[0]
    path.unlink()
    with pytest.raises(InputError, match=r'train-00000-of-00060\.rec: .*No such file'):
        records[0]


def test_a_relative_source_is_found_from_another_folder(many, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(many)
    records = RecordSet('.', 'train')
    monkeypatch.chdir(tmp_path_factory.mktemp('other'))
    assert records[5] == samples(6)[5]
