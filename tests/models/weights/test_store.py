"""The folder of published weights: what lies in it, who shares it, and where else they may come from."""
import dataclasses
import hashlib
import logging
import multiprocessing
import os
import re
import time

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon import get_model, list_models, purge
from resnest.gluon.models import VARIANTS, load_pretrained
from resnest.gluon.models.weights import store
from resnest.reading import open_plain

from ...conftest import TINY, randomize
from . import server as act
from .conftest import NAME, SPEC, WEIGHTS, archive, names, refused

FORK = multiprocessing.get_context('fork')


def test_the_locked_file_is_read_by_what_holds_the_lock(server, home, monkeypatch):
    """On a Windows share nothing else could."""
    def elsewhere(path):
        assert not str(path).endswith('.zip.part')
        return open_plain(path)

    monkeypatch.setattr(store, 'open_plain', elsewhere)
    server.acts = [act.page, act.whole]
    assert store.model_file(SPEC, home).read_bytes() == WEIGHTS


def test_offline_names_url_file_and_folder(server, home):
    server.close()
    refused(home, f'{server.url}/{SPEC.file}.zip', 'Connection refused', f'into {home}')
    assert names(home) == []


def test_a_damaged_file_without_a_network(server, home, tmp_path):
    server.close()
    folder = tmp_path / 'mirror'        # not `home`, where every .params file has to be whole
    folder.mkdir()
    (folder / NAME).write_bytes(act.PAGE)
    refused(folder, f'{folder / NAME} is a web page, and cannot get', 'Connection refused')
    assert names(folder) == [NAME]


@pytest.mark.parametrize('name, data', [(NAME, WEIGHTS), (f'{SPEC.file}.zip', archive((NAME, WEIGHTS)))],
                         ids=['params', 'zip'])
def test_a_file_placed_in_the_folder_is_used(server, home, name, data):
    home.mkdir()
    (home / name).write_bytes(data)
    assert store.model_file(SPEC, home).read_bytes() == WEIGHTS
    assert server.asked == []


@pytest.mark.parametrize('name', [NAME, f'{SPEC.file}.zip'])
@pytest.mark.parametrize('data', [WEIGHTS[:-5], act.PAGE, b''], ids=['truncated', 'web page', 'empty'])
def test_a_damaged_file_in_the_folder_is_named_and_replaced(server, home, caplog, name, data):
    home.mkdir()
    (home / name).write_bytes(data)
    assert store.model_file(SPEC, home).read_bytes() == WEIGHTS
    assert server.asked == [None]
    assert caplog.text.count(f"{home / name}: {'a web page' if data == act.PAGE else 'damaged'}") == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def fetch(home, barrier):
    barrier.wait()
    assert store.model_file(SPEC, home).read_bytes() == WEIGHTS


def test_eight_processes_at_once_fetch_once(server, home):
    server.acts = [act.slow]
    barrier = FORK.Barrier(8)
    processes = [FORK.Process(target=fetch, args=(home, barrier)) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 8
    assert server.asked == [None]
    assert names(home) == [NAME]


def test_a_killed_process_leaves_what_the_next_goes_on_with(server, home):
    server.acts = [act.stall, act.whole]
    process = FORK.Process(target=store.model_file, args=(SPEC, home))
    process.start()
    part = home / f'{SPEC.file}.zip.part'
    deadline = time.time() + 30
    while not (part.exists() and part.stat().st_size) and time.time() < deadline:
        time.sleep(0.01)
    process.kill()
    process.join(10)
    arrived = part.stat().st_size
    assert names(home) == [part.name]
    assert 0 < arrived <= len(server.data) // 2
    assert store.model_file(SPEC, home).read_bytes() == WEIGHTS
    assert server.asked == [None, f'bytes={arrived}-']


@pytest.mark.parametrize('slash', ['', '/'])
def test_a_mirror_on_the_web(server, home, monkeypatch, slash):
    monkeypatch.setenv('RESNEST_MIRROR', server.url + slash)
    monkeypatch.setattr(store, 'URL', 'http://127.0.0.1:9/{file}.zip')
    assert store.model_file(SPEC, home).read_bytes() == WEIGHTS


@pytest.mark.parametrize('name, data', [(NAME, WEIGHTS), (f'{SPEC.file}.zip', archive((NAME, WEIGHTS)))],
                         ids=['params', 'zip'])
@pytest.mark.parametrize('scheme', ['', 'file://'])
def test_a_mirror_on_a_path(server, home, monkeypatch, scheme, name, data):
    mirror = home.with_name('mirror')
    mirror.mkdir()
    monkeypatch.setenv('RESNEST_MIRROR', f'{scheme}{mirror}')
    refused(home, str(mirror), 'no such file')
    (mirror / name).write_bytes(data)
    assert store.model_file(SPEC, home).read_bytes() == WEIGHTS
    assert names(home) == [NAME]
    assert names(mirror) == [name]
    assert server.asked == []


def test_the_environment_names_the_folder(server, home, monkeypatch):
    monkeypatch.setenv('MXNET_HOME', str(home))
    assert store.model_file(SPEC) == home / 'models' / NAME
    monkeypatch.setenv('RESNEST_HOME', str(home / 'weights'))
    assert store.model_file(SPEC) == home / 'weights' / NAME
    assert store.model_file(SPEC, home / 'given') == home / 'given' / NAME


def test_a_folder_that_cannot_be_made(server, home):
    home.write_text('a file')
    refused(home, 'File exists', 'RESNEST_HOME')
    assert server.asked == []


@pytest.mark.parametrize('writable, wanted', [(False, 'put .* itself there'), (True, "another user's, .* removed")])
def test_a_folder_or_a_download_of_another_user(server, home, monkeypatch, writable, wanted):
    """As an ordinary user meets them; what is whole serves all the same."""
    home.mkdir()
    (home / f'{SPEC.file}.zip').write_bytes(server.data)
    part = home / f'{SPEC.file}.zip.part'
    part.write_bytes(b'')

    def denied(path):
        raise PermissionError(13, 'Permission denied', str(path))

    monkeypatch.setattr(store, 'locked', denied)
    monkeypatch.setattr('os.access', lambda *args: writable)
    assert re.search(wanted, refused(home, f'{part}: Permission denied', 'RESNEST_HOME'))
    (home / NAME).write_bytes(WEIGHTS)
    assert store.model_file(SPEC, home) == home / NAME


def test_purge_removes_what_was_downloaded_and_nothing_else(server, home):
    home.mkdir()
    official = VARIANTS['resnest50'].file
    mine = ['mine.params', f'{official}-tuned.params', 'resnest50.params']
    for name in [*mine, f'{official}.params', f'{official}.zip.part']:
        (home / name).write_bytes(WEIGHTS)
    assert purge(home) == [home / f'{official}.params', home / f'{official}.zip.part']
    assert names(home) == sorted(mine)
    assert purge(home / 'nowhere') == []


def test_list_models_pretrained():
    assert list_models(pretrained=True) == [name for name in list_models() if VARIANTS[name].sha1]
    assert list_models('resnest*', pretrained=True) == list_models('resnest*')
    assert list_models('*fast_1s*', pretrained=True) == list_models('*fast_1s*')
    assert list_models('resnest14', True) == ['resnest14']


@pytest.mark.parametrize('make', [
    lambda path, outside: path.symlink_to(outside), lambda path, outside: path.hardlink_to(outside),
    lambda path, outside: os.mkfifo(path), lambda path, outside: path.symlink_to('/dev/full'),
    lambda path, outside: path.symlink_to(path), lambda path, outside: path.mkdir()],
    ids=['link', 'hard link', 'pipe', 'device', 'loop', 'folder'])
@pytest.mark.parametrize('place', [NAME, f'{NAME}.part', f'{SPEC.file}.zip', f'{SPEC.file}.zip.part'])
def test_what_lies_in_the_place_of_a_file_is_not_followed(server, tmp_path, make, place):
    """A file outside of the folder stays as it is. Nothing is fetched when it could not be put into its place."""
    folder, outside = tmp_path / 'folder', tmp_path / 'outside'
    folder.mkdir()
    outside.write_text('precious')
    make(folder / place, outside)
    if place == f'{SPEC.file}.zip.part' or (place == NAME and not (folder / place).is_file()):
        with pytest.raises(InputError, match=str(folder / place)):
            store.model_file(SPEC, folder)
        assert server.asked == []
        assert names(folder) == [place]
    else:
        assert store.model_file(SPEC, folder).read_bytes() == WEIGHTS
    assert outside.read_text() == 'precious'
    assert names(tmp_path) == ['folder', 'outside']


def test_a_file_of_terabytes_in_the_folder(server, home, tmp_path):
    folder = tmp_path / 'mirror'
    folder.mkdir()
    for name in (NAME, f'{SPEC.file}.zip', f'{SPEC.file}.zip.part'):
        with open(folder / name, 'wb') as opened:
            opened.truncate(1 << 40)
    assert store.model_file(SPEC, folder).read_bytes() == WEIGHTS


@pytest.fixture
def official(server, monkeypatch, tmp_path):
    """A small network takes the place of resnest50, with 'published' weights for 1000 classes."""
    path = tmp_path / 'made.params'
    spec = dataclasses.replace(TINY, name='resnest50')
    monkeypatch.setitem(VARIANTS, 'resnest50', spec)
    net = randomize(get_model('resnest50'))
    net.save_parameters(str(path))
    spec = dataclasses.replace(spec, sha1=hashlib.sha1(path.read_bytes()).hexdigest())
    monkeypatch.setitem(VARIANTS, 'resnest50', spec)
    server.data = archive((f'{spec.file}.params', path.read_bytes()))
    path.unlink()
    return net


def test_pretrained_from_the_server_then_without_it(official, server, tmp_path):
    x = mx.nd.ones((1, 3, 32, 32))
    for _ in range(2):
        net = get_model('resnest50', pretrained=True, root=tmp_path)
        np.testing.assert_array_equal(net(x).asnumpy(), official(x).asnumpy())
        server.close()
    assert len(server.asked) == 1


def test_other_classes_get_a_new_classifier(official, server, tmp_path):
    devices = [mx.cpu(0), mx.cpu(1)]
    net = get_model('resnest50', pretrained=True, root=tmp_path, classes=7, ctx=devices)
    for name, param in net._collect_params_with_prefix().items():
        assert param.list_ctx() == devices
        if name.startswith('fc.'):
            assert param.shape[0] == 7
        else:
            wanted = official._collect_params_with_prefix()[name].data().asnumpy()
            np.testing.assert_array_equal(param.data(devices[1]).asnumpy(), wanted)
    logits = net(mx.nd.ones((1, 3, 32, 32))).asnumpy()
    assert logits.shape == (1, 7)
    assert np.ptp(logits) > 0
    with pytest.raises(InputError, match='made for 1000 classes'):
        get_model('resnest50', pretrained=next(tmp_path.glob('*.params')), classes=7)


def test_pretrained_does_not_hide_other_differences(official, tmp_path):
    with pytest.raises(InputError, match='layer1.0.conv2.conv.weight'):
        load_pretrained(get_model('resnest50', radix=1, classes=7), VARIANTS['resnest50'], True, tmp_path)
