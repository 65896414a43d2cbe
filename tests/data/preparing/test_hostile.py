"""Archives, tables, folders and journals that somebody made to do harm: one line each, in bounded time and memory."""
import gzip
import json
import os
import struct
import tarfile
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.io import savemat

from resnest.errors import InputError
from resnest.gluon.data.preparing import devkit, raw_folders
from resnest.gluon.data.preparing.imagenet import find_source
from resnest.gluon.data.preparing.kaggle import kaggle_source
from resnest.gluon.data.preparing.preparation import Options, check_prepared, prepare

from ...conftest import assert_refused, script_here
from . import ilsvrc
from .ilsvrc import DEVKIT, META, TRAIN, TRUTH, pack, packed
from .test_preparation import files, make_kaggle

PICTURE = ilsvrc.picture(np.random.default_rng(0))
WNIDS = ['n00000001', 'n00000002']


@pytest.fixture
def made(tmp_path):
    return ilsvrc.make(tmp_path)


def refused(call, *wanted):
    with pytest.raises(InputError) as error:
        call()
    for text in wanted:
        assert str(text) in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize('name', ['..tar', '...tar', 'a/...tar', '.hidden.tar', 'a\nb.tar', '\udcff.tar',
                                  'é' * 101 + '.tar'])
def test_classes_that_would_lie_elsewhere(copied, name):
    """As they were, ``...tar`` and ``--raw`` wrote beside the class folders; a newline made messages of two lines."""
    pack(copied / TRAIN, [(name, packed([('x.JPEG', PICTURE)])), ('n00000001.tar', packed([('x.JPEG', PICTURE)]))])
    refused(lambda: find_source(copied), TRAIN, 'is no class name')


@pytest.mark.parametrize('name', ['d/' * 1100 + 'x.JPEG', 'a\0b'])
def test_members_that_no_folder_could_hold(copied, name):
    info = tarfile.TarInfo(name)
    inner = info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)
    if '\0' in name:
        inner = packed([('placeholder', PICTURE)])
        more = b'%d path=a\0b\n' % 12
        head = tarfile.TarInfo('x')
        head.type, head.size = tarfile.XHDTYPE, len(more)
        inner = head.tobuf(tarfile.USTAR_FORMAT) + more + bytes(-len(more) % 512) + inner
    pack(copied / TRAIN, [('n00000001.tar', inner)])
    refused(lambda: find_source(copied), TRAIN, 'the member', 'again')


def test_a_member_without_a_name(copied):
    pack(copied / TRAIN, [('n00000001.tar', packed([('./', PICTURE)]))])
    refused(lambda: find_source(copied), 'n00000001.tar: the file at byte 1024 has no name')


def test_sizes_of_thousands_of_digits(copied):
    size = b'size=' + b'9' * 5000 + b'\n'
    more = b'%d ' % (len(size) + 5) + size
    head = tarfile.TarInfo('x')
    head.type, head.size = tarfile.XHDTYPE, len(more)
    data = head.tobuf(tarfile.USTAR_FORMAT) + more + bytes(-len(more) % 512)
    (copied / TRAIN).write_bytes(data + packed([('n00000001.tar', PICTURE)]))
    refused(lambda: find_source(copied), TRAIN, 'not a plain file (size)')


def test_an_image_that_fits_no_record(copied):
    """A sparse file makes a member of any size; it is seen before it is read."""
    info = tarfile.TarInfo('x.JPEG')
    info.size = 1 << 30
    inner = tarfile.TarInfo('n00000001.tar')
    inner.size = 1024 + info.size
    with open(copied / TRAIN, 'wb') as opened:
        opened.write(inner.tobuf() + info.tobuf())
        opened.truncate(4096 + info.size)
    refused(lambda: find_source(copied), 'x.JPEG: 1073741824 bytes are too many for an image')


def meta_of(element):
    return b'MATLAB 5.0 MAT-file'.ljust(124) + struct.pack('<H2s', 0x0100, b'IM') + element


def cells(depth):
    """Cells within cells: each a tag (type 14, size in bytes), flags of class 1, dimensions 1 x 1, a name, a cell."""
    fixed = struct.pack('<IIII', 6, 8, 1, 0) + struct.pack('<IIii', 5, 8, 1, 1)
    names = [struct.pack('<II', 1, 7) + b'synsets\0', *[struct.pack('<II', 1, 0)] * (depth - 1)]
    heads, size = [], 0
    for name in reversed(names):
        size += len(fixed + name)
        heads.append(struct.pack('<II', 14, size) + fixed + name)
        size += 8
    return b''.join(reversed(heads))


@pytest.mark.parametrize('case', ['member', 'array', 'cells', 'twice', 'names', 'endless'])
def test_development_kits_that_take_all_memory_or_crash(made, tmp_path, monkeypatch, case):
    meta, wanted = ilsvrc.meta(WNIDS), 'meta.mat'
    if case == 'member':
        meta = bytes(devkit.LARGEST + 1)
    elif case == 'array':
        monkeypatch.setattr(devkit, 'MEGABYTES', 50)
        savemat(tmp_path / 'x', {'synsets': np.zeros(30_000_000)}, do_compression=True)      # 240 MB
        meta, wanted = (tmp_path / 'x').read_bytes(), 'more than 50 MB'
    elif case == 'cells':
        meta, wanted = meta_of(cells(200_000)), ''       # SIGSEGV, in SciPy 1.13
    elif case == 'twice':
        meta, wanted = ilsvrc.meta(WNIDS[:1] * 2), 'a class is there twice'
    elif case == 'names':
        meta, wanted = ilsvrc.meta(['n' * 1001]), 'a name of more than 1000 bytes'
    pack(tmp_path / DEVKIT, [(META, meta), (TRUTH, b'1\n' * 9)], 'w:gz')
    if case == 'endless':
        monkeypatch.setattr(devkit, 'SECONDS', 0.5)
        info = tarfile.TarInfo('x')
        info.size = 40 << 26
        (tmp_path / DEVKIT).write_bytes(gzip.compress(info.tobuf()) + gzip.compress(bytes(1 << 26), 1) * 40)
        wanted = 'longer than 0.5 s'
    refused(lambda: find_source(tmp_path), DEVKIT, wanted, 'download it again')


def test_tables_of_kaggle_that_are_not_utf8(made, tmp_path):
    make_kaggle(made, tmp_path)
    synsets, solution = tmp_path / 'LOC_synset_mapping.txt', tmp_path / 'LOC_val_solution.csv'
    text = synsets.read_bytes()
    synsets.write_bytes(text + b'\xff')
    refused(lambda: kaggle_source(tmp_path), synsets, 'no text in UTF-8')
    synsets.write_bytes(text)
    solution.write_bytes(b'\xff')
    refused(lambda: kaggle_source(tmp_path), solution, 'no text in UTF-8')


def test_what_raw_was_writing_is_removed(official, copied, tmp_path, monkeypatch):
    """Of a run that was killed, of one whose process dies, and where the disk is full."""
    target = tmp_path / 'out'
    (target / 'train').mkdir(parents=True)
    (target / 'train/.prepare-7.part').write_bytes(b'half')
    prepare(find_source(official[0]), target, Options(raw=True))
    assert not list(target.rglob('*.part'))
    for number, fail in enumerate((lambda *args: os.kill(os.getpid(), 9), lambda *args: os.stat('/no such'))):
        target = tmp_path / str(number)
        source = find_source(official[0])
        with monkeypatch.context() as patched:
            patched.setattr(raw_folders, 'os', SimpleNamespace(replace=fail))
            with pytest.raises(InputError, match='run again'):
                prepare(source, target, Options(raw=True))
        assert not list(target.rglob('*.part'))


@pytest.mark.parametrize('line', [
    'null', '[]', '{}', '{"file": []}', '{"file": "../x.rec"}', '[' * 99999, '1' * 5000, '\ud800', '\0',
    '{"file": "train-00000-of-00003.rec", "records": -1, "bytes": 0, "sha256": "", "skipped": []}',
    '{"file": "train-00000-of-00003.rec", "records": true, "bytes": 1e3, "sha256": null, "skipped": null}',
    '{"file": "train-00000-of-00003.rec", "records": 1, "bytes": 2, "sha256": "", "skipped": [{"shard": 1}]}'],
    ids=range(12))
def test_journals_that_no_run_wrote(official, tmp_path, line):
    """What is no entry is not believed: the end is the same as without it."""
    source = find_source(official[0])
    prepare(source, tmp_path, Options(num_shards=3))
    wanted = files(tmp_path)
    manifest = json.loads((tmp_path / 'rec/manifest.json').read_text())
    (tmp_path / 'rec/manifest.json').unlink()
    head = {key: manifest[key] for key in ('seed', 'order', 'options', 'source')}
    head['source_modified_ns'] = source.modified
    (tmp_path / 'rec/prepare.journal').write_bytes(f'{json.dumps(head)}\n{line}\n'.encode('utf-8', 'surrogatepass'))
    prepare(source, tmp_path, Options(num_shards=3))
    assert files(tmp_path) == wanted
    (tmp_path / 'rec/manifest.json').unlink()
    (tmp_path / 'rec/prepare.journal').write_bytes(line.encode('utf-8', 'surrogatepass') + b'\n')
    if line[:1] != '{':
        refused(lambda: prepare(source, tmp_path, Options(num_shards=3)), 'prepare.journal: not a journal')


@pytest.mark.parametrize('change', [{'skipped': 5}, {'skipped': [{'shard': 'x'}]}, {'skipped': [[]]}, {'splits': {}},
                                    {'seed': [[[]]]}, {'source': {'kind': 'a\nb' * 500}}])
def test_manifests_that_no_run_wrote(official, tmp_path, change):
    source = find_source(official[0])
    manifest = prepare(source, tmp_path, Options(num_shards=3))
    (tmp_path / 'rec/manifest.json').write_text(json.dumps({**manifest, **change}))
    if change == {'splits': {}}:
        prepare(source, tmp_path, Options(num_shards=3))
        check_prepared(tmp_path)
    else:
        refused(lambda: prepare(source, tmp_path, Options(num_shards=3)), 'manifest.json')


def test_special_files_in_the_place_of_what_a_run_left(official, tmp_path):
    """None is followed, none waited for, and what they lead to is not touched."""
    source, rec = find_source(official[0]), tmp_path / 'out/rec'
    other = tmp_path / 'other'
    other.write_bytes(b'precious')
    prepare(source, tmp_path / 'out', Options(raw=True))
    wanted = files(tmp_path / 'out')
    paths = [rec / 'manifest.json.part', rec / 'prepare.journal', rec / 'train-00000-of-00001.rec',
             rec / 'train-00000-of-00001.rec.part', rec / 'val-00000-of-00001.idx',
             tmp_path / 'out/train/.prepare-3.part']
    kinds = [os.mkfifo, lambda path: path.symlink_to(other), lambda path: path.symlink_to('/dev/zero'),
             lambda path: path.symlink_to(path), lambda path: path.symlink_to('/proc/kmsg')]
    for number in range(12):
        path = paths[number % len(paths)]
        (rec / 'manifest.json').unlink()
        path.unlink(missing_ok=True)
        kinds[number % len(kinds)](path)
        if path.name == 'prepare.journal':
            wrong = 'not a journal' if path.is_file() else 'is no plain file'
            refused(lambda: prepare(source, tmp_path / 'out', Options(raw=True)), f'prepare.journal: {wrong}')
            path.unlink()
        prepare(source, tmp_path / 'out', Options(raw=True))
        assert files(tmp_path / 'out') == wanted
        assert other.read_bytes() == b'precious'
    for kind in kinds:
        (rec / 'manifest.json').unlink(missing_ok=True)
        kind(rec / 'manifest.json')
        if (rec / 'manifest.json').is_file():
            refused(lambda: prepare(source, tmp_path / 'out', Options(raw=True)), 'manifest.json', 'not a manifest')
    (rec / 'manifest.json').unlink()
    (rec / '.prepare.lock').symlink_to(other)
    refused(lambda: prepare(source, tmp_path / 'out', Options(raw=True)), '.prepare.lock: cannot be written')
    (rec / '.prepare.lock').unlink()
    os.mkfifo(rec / '.prepare.lock')
    refused(lambda: prepare(source, tmp_path / 'out', Options(raw=True)), '.prepare.lock: ', 'is no plain file')


def test_checking_a_shard_that_never_ends(official, tmp_path):
    prepare(find_source(official[0]), tmp_path, Options(num_shards=3))
    with open(tmp_path / 'rec/val-00000-of-00001.rec', 'ab') as opened:
        opened.truncate(1 << 43)
    refused(lambda: check_prepared(tmp_path), 'val-00000-of-00001.rec: 8796093022208 bytes, the manifest says')


@pytest.mark.parametrize('words, wanted', [
    (['dataset/prepare_digits.py', '--num-shards', 2147483647], '--num-shards must be from 1 to 297, got 2147483647'),
    (['dataset/prepare_digits.py', '--seed', -1], '--seed must be from 0 to'),
    (['dataset/prepare_digits.py', '--seed', 'nan'], '--seed must be a whole number, got nan'),
    (['dataset/prepare_digits.py', '--target-dir', ''], '--target-dir must be a path'),
    (['dataset/prepare_digits.py', '--target-dir', '~nobody-here/x'], '--target-dir must be a path'),
    (['dataset/prepare_digits.py', '--target-dir', 'a\nb'], r'got a\nb'),
    (['dataset/prepare_digits.py', '--target-dir', 'loop'], 'Too many levels of symbolic links'),
    (['dataset/prepare_digits.py', '--target-dir', '/dev/null'], '/dev/null'),
    (['dataset/prepare_imagenet.py', '--num-workers', 2 ** 31], '--num-workers must be from 1 to 1024'),
    (['dataset/prepare_imagenet.py', '--seed', 2 ** 64], '--seed must be from 0 to'),
    (['dataset/prepare_imagenet.py', '--resize', 65500], '--resize must be from 1 to 4096'),
    (['dataset/prepare_imagenet.py', '--download-dir', 'loop'], 'loop: no such folder'),
    (['dataset/prepare_imagenet.py', '--download-dir', 'pipe'], 'pipe: no such folder'),
    (['dataset/prepare_imagenet.py', '--image-folder', '/dev/zero'], '/dev/zero: no such folder'),
    (['dataset/prepare_imagenet.py', '--target-dir', 'loop'], 'loop')])
def test_options(copied, words, wanted):
    (copied / 'loop').symlink_to('loop')
    os.mkfifo(copied / 'pipe')
    assert_refused(script_here(*words, cwd=copied), wanted)
