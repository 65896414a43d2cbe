"""Published weights from a web server on loopback that serves them well or badly."""
import contextlib
import io
import zipfile

import pytest

from resnest.errors import InputError
from resnest.gluon.models.weights import downloading, store

from . import server as act
from .conftest import NAME, SPEC, WEIGHTS, archive, names, refused


def went_on_at(asked, arrived):
    """Whether a request asked for what comes after the bytes that have arrived, but for one piece."""
    return arrived - downloading.PIECE < int(asked[len('bytes='):-1]) <= arrived


@pytest.mark.parametrize('behaviour', [act.whole, act.slow, act.without_range, act.moved])
def test_whole(server, home, behaviour):
    server.acts = [behaviour]
    path = store.model_file(SPEC, home)
    assert path == home / NAME
    assert path.read_bytes() == WEIGHTS
    assert names(home) == [NAME]
    asked = len(server.asked)
    assert store.model_file(SPEC, home) == path
    assert len(server.asked) == asked      # found locally: no network at all


def test_a_connection_that_breaks_off_is_taken_up_again(server, home):
    server.acts = [act.cut, act.cut, act.whole]
    assert store.model_file(SPEC, home).read_bytes() == WEIGHTS
    assert len(server.asked) == 3
    assert went_on_at(server.asked[1], len(server.data) // 2)
    assert int(server.asked[2][6:-1]) > int(server.asked[1][6:-1])
    assert names(home) == [NAME]


def test_a_server_that_is_silent_is_asked_again(server, home, monkeypatch):
    monkeypatch.setattr(downloading, 'TIMEOUT', (1, 0.3))
    server.acts = [act.stall, act.whole]
    assert store.model_file(SPEC, home).read_bytes() == WEIGHTS
    assert len(server.asked) == 2
    assert went_on_at(server.asked[1], len(server.data) // 2)


def test_a_later_call_goes_on(server, home):
    server.acts = [act.cut, act.status(503)]
    refused(home, server.url, 'HTTP 503')
    assert names(home) == [f'{SPEC.file}.zip.part']
    server.acts = [act.whole]
    assert store.model_file(SPEC, home).read_bytes() == WEIGHTS
    assert went_on_at(server.asked[-1], len(server.data) // 2)
    assert names(home) == [NAME]


def test_a_broken_download_from_a_server_without_ranges_starts_again(server, home):
    server.acts = [act.cut_without_range, act.without_range]
    assert store.model_file(SPEC, home).read_bytes() == WEIGHTS
    assert len(server.asked) == 2


def test_truncated_again_and_again(server, home):
    server.acts = [act.cut_without_range]
    refused(home, 'broke off', 'run it again to go on')
    assert len(server.asked) == 2       # the second brought nothing more
    assert names(home) == [f'{SPEC.file}.zip.part']


@pytest.mark.parametrize('rest', [0, 100])
def test_a_partial_file_that_is_whole_or_too_long(server, home, rest):
    home.mkdir()
    (home / f'{SPEC.file}.zip.part').write_bytes(server.data + bytes(rest))
    assert store.model_file(SPEC, home).read_bytes() == WEIGHTS
    assert server.asked == [f'bytes={len(server.data) + rest}-'] + [None] * (rest > 0)


@pytest.mark.parametrize('behaviour, wanted', [
    (act.page, 'a web page, not a whole zip archive'),
    (act.spoilt, 'damaged, not a whole zip archive')])
def test_a_bad_answer_is_named_and_fetched_again_once(server, home, caplog, behaviour, wanted):
    server.acts = [behaviour, act.whole]
    assert store.model_file(SPEC, home).read_bytes() == WEIGHTS
    assert wanted in caplog.text
    assert server.asked == [None, None]
    (home / NAME).unlink()
    server.acts, server.asked = [behaviour], []
    refused(home, server.url, wanted)
    assert server.asked == [None, None]
    assert names(home) == []


@pytest.mark.parametrize('members, wanted', [
    ([(NAME, WEIGHTS[:-1] + b'?')], f'the sha1 of {NAME} is not {SPEC.sha1}'),
    ([('other.params', WEIGHTS)], f'the archive has no {NAME}'),
    ([('../' + NAME, WEIGHTS)], f'the archive has no {NAME}'),
    ([], f'the archive has no {NAME}')])
def test_an_archive_of_other_things(server, home, members, wanted):
    server.data = archive(*members)
    refused(home, wanted)
    assert len(server.asked) == 2
    assert names(home) == []


def test_no_other_member_is_taken(server, home):
    server.data = archive(('../beside', b'gone'), ('/' + NAME, b''), ('more.params', b''), (NAME, WEIGHTS))
    assert store.model_file(SPEC, home).read_bytes() == WEIGHTS
    assert names(home) == [NAME]
    assert (home.parent / 'beside').read_text() == ''


@pytest.mark.parametrize('behaviour, wanted', [(act.status(404), 'HTTP 404 Not Found'), (act.in_circles, 'redirects'),
                                               (act.status(403), 'HTTP 403 Forbidden'), (act.status(500), 'HTTP 500')])
def test_refusals(server, home, behaviour, wanted):
    server.acts = [behaviour]
    refused(home, f'{server.url}/{SPEC.file}.zip', wanted)
    assert names(home) == []


@pytest.mark.parametrize('address', ['http://[', 'http://[::1', 'http://\xff/', 'http://a b:x/', 'http://127.0.0.1:99999/',
                                     'http://.../', 'ftp://127.0.0.1/', 'file:///etc/passwd', 'http://*./', '\x01'])
def test_a_redirect_to_no_address(server, home, address):
    server.acts = [act.saying(302, Content_Length=0, Location=address)]
    refused(home, server.url)
    assert names(home) == []


@pytest.mark.parametrize('number', [2 ** 63 - 1, 2 ** 63, 2 ** 64, 10 ** 30, '9' * 5000, '\xb2', '-1', 'x'])
def test_lengths_and_ranges_that_no_file_has(server, home, number):
    server.acts = [act.saying(200, Content_Length=number)]
    refused(home, server.url)
    home.mkdir(exist_ok=True)
    (home / f'{SPEC.file}.zip.part').write_bytes(server.data[:100])
    server.acts = [act.saying(206, Content_Length=5, Content_Range=f'bytes {number}-{number}/{number}'), act.whole]
    server.asked.clear()
    with contextlib.suppress(InputError):
        assert store.model_file(SPEC, home).read_bytes() == WEIGHTS
    assert server.asked[0] == 'bytes=100-'


def test_the_body_of_a_redirect_is_not_read(server, home, monkeypatch):
    monkeypatch.setattr(downloading, 'TIMEOUT', (1, 0.5))
    server.acts = [act.stalled_move, act.whole]
    assert store.model_file(SPEC, home).read_bytes() == WEIGHTS
    assert len(server.asked) == 2


def test_an_answer_without_an_end(server, home, monkeypatch):
    monkeypatch.setattr(downloading, 'LARGEST', 100_000)
    server.acts = [act.without_length]
    refused(home, 'it goes on after 100000 bytes')
    assert names(home) == []
    server.acts = [act.whole]
    refused(home, f'it has {len(server.data)} bytes, but such a file has at most 100000')


@pytest.mark.parametrize('method, wanted', [(zipfile.ZIP_LZMA, 'packed by'), (zipfile.ZIP_BZIP2, 'packed by'),
                                            (None, 'not a whole zip archive')], ids=['lzma', 'bzip2', 'encrypted'])
def test_archives_packed_otherwise(server, home, method, wanted):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', method or zipfile.ZIP_STORED) as opened:
        opened.writestr(NAME, WEIGHTS)
    server.data = bytearray(buffer.getvalue())
    if method is None:
        for place in (6, server.data.rindex(b'PK\x01\x02') + 8):
            server.data[place] |= 1
    refused(home, wanted)
    assert names(home) == []


def test_an_archive_that_unpacks_to_more_than_weights_have(server, home, monkeypatch):
    monkeypatch.setattr(store, 'LARGEST', 3 << 20)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as opened:
        opened.writestr(NAME, bytes(50 << 20))
    server.data = buffer.getvalue()
    refused(home, f'{NAME} in the archive is larger than {3 << 20} bytes')
    assert names(home) == []
