"""The store: what lies in its folder and on a mirror's path, archives of every kind, and a server's answers."""
import hashlib
import io
import os
import socket
import threading
import zipfile
from unittest import mock

import numpy as np

from resnest.gluon.models import VariantSpec
from resnest.gluon.models.weights import downloading, store

from .mutations import NUMBERS, damaged_bytes, hostile_file

WEIGHTS = np.random.default_rng(0).bytes(3000)
SPEC = VariantSpec('resnest50', (3, 4, 6, 3), sha1=hashlib.sha1(WEIGHTS).hexdigest())
NAME = f'{SPEC.file}.params'
PLACES = (NAME, f'{SPEC.file}.zip', f'{SPEC.file}.zip.part', f'{NAME}.part', f'{NAME}.0123abcd.part')
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
ADDRESSES = ('http://[', 'http://', '//', 'http://a b/', 'http://127.0.0.1:99999/', 'http://127.0.0.1:0/', 'ftp://x/',
             'file:///etc/passwd', 'http://[::1', 'http://\xff/', 'http://.../', 'http://' + 'a' * 300 + '/', '', '?',
             'http://*.x/', 'http://x:y@z:w/', 'data:,x', 'http://127.0.0.1:9/', '\x01', '/' * 5000)
STATUSES = ('200 OK', '206 Partial', '302 Found', '301', '404 \x1b[31mno', '416 No', '999 What', '-1 x', '200', 'x',
            '304 N')
MIRRORS = ('~nobody/x', 'http://[', 'HTTP://x', '\n', '/dev/zero', 'a' * 300)


def archive(rng):
    buffer, name = io.BytesIO(), NAME
    if rng.random() < 0.2:
        name = str(rng.choice(['../x', '/x', f'../{NAME}', f'a/{NAME}']))
    with zipfile.ZipFile(buffer, 'w', METHODS[rng.integers(len(METHODS))]) as opened:
        for _ in range(rng.integers(1, 3)):
            opened.writestr(name, WEIGHTS if rng.random() < 0.7 else damaged_bytes(rng, WEIGHTS))
    data = bytearray(buffer.getvalue())
    if rng.random() < 0.2:      # marked as encrypted
        data[6] |= 1
        data[data.rindex(b'PK\x01\x02') + 8] |= 1
    return damaged_bytes(rng, bytes(data)) if rng.random() < 0.6 else bytes(data)


def number(rng, value):
    kind = rng.integers(6)
    return str(value if kind < 3 else NUMBERS[rng.integers(len(NUMBERS))] if kind < 5 else
               rng.choice(['-1', '9' * 5000, 'x', '\xb2', '', '1.5', '0x10']))


def answer(rng, body):
    """What a server says, headers and all."""
    lines = [f'HTTP/1.1 {STATUSES[rng.integers(len(STATUSES)) if rng.random() < 0.6 else 0]}']
    if rng.random() < 0.8:
        lines.append(f'Content-Length: {number(rng, len(body))}')
    if rng.random() < 0.5:
        lines.append(f'Content-Range: bytes {number(rng, 0)}-{number(rng, 5)}/{number(rng, len(body))}')
    if rng.random() < 0.4:
        lines.append(f'Location: {ADDRESSES[rng.integers(len(ADDRESSES))]}')
    if rng.random() < 0.2:
        lines.append('Transfer-Encoding: chunked')
    if rng.random() < 0.2:
        lines.append('Content-Encoding: ' + str(rng.choice(['gzip', 'br', 'deflate', 'x'])))
    if rng.random() < 0.05:
        lines += ['X: y'] * 200
    text = ('\r\n'.join(lines) + '\r\n\r\n').encode('latin-1', 'replace') + body
    return damaged_bytes(rng, text, 1) if rng.random() < 0.2 else text


class Server:
    """Gives one of its answers to each connection."""

    def __init__(self):
        self.listening = socket.create_server(('127.0.0.1', 0))
        self.url = f'http://127.0.0.1:{self.listening.getsockname()[1]}'
        self.answers = [b'']
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            connection, _ = self.listening.accept()
            try:
                connection.settimeout(1)
                connection.recv(1 << 16)
                connection.sendall(self.answers[0])
                self.answers = self.answers[1:] + self.answers[:1]
            except OSError:
                pass
            finally:
                connection.close()


SERVER = None


def case(rng, folder):
    global SERVER
    SERVER = SERVER or Server()
    home, outside, mirror = folder / 'home', folder / 'outside', folder / 'mirror'
    for each in (home, outside, mirror):
        each.mkdir()
    precious = outside / 'precious'
    precious.write_bytes(b'precious')
    for name in PLACES:
        if rng.random() < 0.3:
            lay(rng, home / name, precious)
    downloading.TIMEOUT = (1, 1)
    url = SERVER.url
    if rng.random() < 0.3:
        url = str(mirror) if rng.random() < 0.8 else MIRRORS[rng.integers(len(MIRRORS))]
        for name in PLACES[:2]:
            if rng.random() < 0.7:
                lay(rng, mirror / name, precious)
    else:
        SERVER.answers = [answer(rng, archive(rng)) for _ in range(rng.integers(1, 4))]
    before = {path.name: path.read_bytes() for path in mirror.iterdir()
              if not path.is_symlink() and path.is_file() and path.stat().st_size < 1e6}
    with mock.patch.dict(os.environ, {'RESNEST_MIRROR': url, 'NO_PROXY': '*'}):
        try:
            store.model_file(SPEC, home)
            assert (home / NAME).read_bytes() == WEIGHTS, 'other weights under the name'
            store.purge(home)
        finally:
            assert precious.read_bytes() == b'precious', 'a file outside has changed'
            assert sorted(path.name for path in folder.iterdir()) == ['home', 'mirror', 'outside']
            assert {path.name for path in outside.iterdir()} == {'precious'}
            assert {path.name for path in home.iterdir()} <= set(PLACES), 'something is left'
            assert all((mirror / name).read_bytes() == data for name, data in before.items()), 'the mirror has changed'


def lay(rng, path, precious):
    """Put something in a place: the right file, a damaged one, a link, hard or soft, to a file elsewhere, or none."""
    kind = rng.integers(6)
    if kind == 0:
        path.symlink_to(precious)
    elif kind == 1:
        path.hardlink_to(precious)
    elif kind < 4:
        hostile_file(rng, path)
    else:
        path.write_bytes(WEIGHTS if path.suffix == '.params' and rng.random() < 0.5 else archive(rng))
