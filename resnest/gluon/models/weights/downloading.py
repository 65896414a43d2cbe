"""Downloads that can be interrupted: one process fetches, the others wait; what has arrived is kept and continued."""
import contextlib
import logging
import math
import os
import re
from urllib.parse import urljoin

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError

from resnest.errors import InputError
from resnest.locks import lock_file
from resnest.reading import one_line

from .params_file import LARGEST

__all__ = ['download_until', 'locked']

TIMEOUT = (10, 30)      # seconds to connect, and between two pieces of data
ATTEMPTS = 5            # connections, as long as each brings something
REDIRECTS = 10
PIECE = 1 << 14         # bytes; a broken connection loses less than this
LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def locked(path):
    """Open ``path`` for appending and hold an exclusive lock on it; an empty file is removed afterwards.

    Waits while another process holds it. The file may be renamed or removed while the lock is held.
    """
    def say():
        LOG.warning('%s: another process is fetching it; waiting', path)

    with lock_file(path, math.inf, lambda opened: not _size(opened), say) as opened:
        yield opened


def download_until(take, url, opened, label):
    """Download ``url`` into the open file, and once more where ``take()``, which reads that, returns what is wrong.

    ``label`` is as :func:`download` has it. The file is empty in the end. Raises InputError as that, and with what is
    wrong the second time.
    """
    for _ in range(2):
        download(url, opened, label)
        opened.flush()
        problem = take()
        opened.truncate(0)
        if not problem:
            return
        LOG.warning('%s: %s', url, problem)
    raise InputError(f'{problem}, twice')


def download(url, opened, label):
    """Append to the open file what it lacks of ``url``, with a progress bar called ``label``.

    A connection that breaks off is taken up again (HTTP Range) up to ``ATTEMPTS`` times; from a server that
    knows no ranges the file is fetched from its beginning. Raises InputError with the reason; what has
    arrived stays in the file.
    """
    for _ in range(ATTEMPTS):
        before = _size(opened)
        missing = _connect(url, opened, label)
        if not missing:
            return
        if _size(opened) <= before:
            break
    raise InputError(f'the connection broke off after {_size(opened)} bytes, {missing} are missing; '
                     'run it again to go on')


def _connect(url, opened, label):
    """One request; returns how many bytes are still missing."""
    have = _size(opened)
    headers = {'Accept-Encoding': 'identity', **({'Range': f'bytes={have}-'} if have else {})}
    try:
        with _response(url, headers) as response:
            start, total = _range(response)
            if have and (response.status_code == 416 or start not in (0, have)):
                if response.status_code == 416 and total == have:
                    return 0        # nothing was missing
                opened.truncate(0)
                return _connect(url, opened, label)
            if not response.ok:
                raise InputError(one_line(f'HTTP {response.status_code} {response.reason or ""}'.strip()))
            opened.truncate(start)
            return _receive(response, opened, total, label)
    except InputError:
        raise
    except requests.Timeout:
        raise InputError('no answer in time') from None
    except (requests.RequestException, HTTPError, ValueError) as error:     # the last two for malformed addresses
        raise InputError(_reason(error)) from None


class _Session(requests.Session):
    """Leaves redirects alone: requests would read the bodies of those as a whole, however long they are."""

    def get_redirect_target(self, resp):
        return None


def _response(url, headers):
    """The answer behind all redirects."""
    for _ in range(REDIRECTS):
        with _Session() as session:
            response = session.get(url, headers=headers, stream=True, timeout=TIMEOUT)
        if not response.is_redirect:
            return response
        response.close()
        url = urljoin(url, response.headers['Location'])
    raise InputError('too many redirects')


def _receive(response, opened, total, label):
    if (total or 0) > LARGEST:
        raise InputError(f'it has {total} bytes, but such a file has at most {LARGEST}')
    with tqdm(total=total, initial=_size(opened), desc=label, unit='B', unit_scale=True, disable=None) as bar:
        try:
            for piece in response.iter_content(PIECE):
                opened.write(piece)
                bar.update(len(piece))
                if opened.tell() > LARGEST:
                    opened.truncate(0)
                    raise InputError(f'it goes on after {LARGEST} bytes')
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):    # broken off, or too slow
            if total is None:
                raise
    size = _size(opened)
    return 0 if total is None else max(0, total - size)


def _range(response):
    """Where the body begins in the whole file, and the size of that (None where the server does not say)."""
    number = '([0-9]{1,18})'
    found = re.fullmatch(rf'bytes (?:{number}-[0-9]+|\*)/(?:{number}|\*)', response.headers.get('Content-Range', ''))
    if response.status_code in (206, 416) and found:
        return int(found[1] or 0), None if found[2] is None else int(found[2])
    length = re.fullmatch(number, response.headers.get('Content-Length', ''))
    return 0, length and int(length[0])


def _size(opened):
    opened.flush()
    return os.fstat(opened.fileno()).st_size


def _reason(error):
    """The innermost cause, in words: requests wraps it three times."""
    text = str(error)
    known = re.search(r'Connection refused|Name or service not known|Temporary failure in name resolution|'
                      r'Network is unreachable|No route to host|certificate verify failed|'
                      r'Connection reset by peer|Remote end closed connection', text)
    return known[0] if known else f'{type(error).__name__}: {one_line(text)}'
