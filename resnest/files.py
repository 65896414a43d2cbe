"""Files that appear whole or not at all."""
import contextlib
import errno
import glob
import json
import os
import secrets
import stat
import tempfile
import time
from pathlib import Path

from resnest.errors import InputError
from resnest.reading import read_json

__all__ = ['WEIGHTS_FORMAT', 'finish_pictures', 'replace_file', 'replacing', 'require_replaceable',
           'require_undescribing', 'require_writable', 'require_writable_folder', 'save_arrays']

LONGEST_NAME = 255 - len('.01234567.part')      # bytes
ABANDONED = 24 * 3600   # seconds without a change
WEIGHTS_FORMAT = 'resnest-weights-'     # how the format of any version of a description of weights begins


@contextlib.contextmanager
def replacing(path):
    """Yields the name of a new file beside ``path`` to write to, which takes the place of ``path`` at the end.

    The data are on the disk before the name changes. After an error nothing is left and ``path`` is as it was. The
    name is nobody else's, so that several processes may write the same ``path``: the last one's file stays. What a
    killed process has left is removed: files ``path.*.part`` that nobody has changed for a day. The file is not locked:
    on a Windows share a lock would keep everybody out but the descriptor that holds it, whoever writes by name too.

    Raises OSError where ``path`` cannot be written, or is there and is no plain file. A link to a plain file is
    replaced, and not what it leads to.
    """
    path = Path(path)
    require_replaceable(path)
    name = os.fsdecode(os.fsencode(path.name)[:LONGEST_NAME])
    for left in path.parent.glob(f'{glob.escape(name)}.{"[0-9a-f]" * 8}.part'):
        with contextlib.suppress(OSError):
            status = left.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and time.time() - status.st_mtime > ABANDONED:
                left.unlink()
    part = path.with_name(f'{name}.{secrets.token_hex(4)}.part')
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        yield part
        with open(part, 'rb') as written:
            os.fsync(written.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def require_replaceable(path):
    """Raise OSError where :func:`replacing` would: no folder, or no plain file in the place of ``path``."""
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.stat().st_mode):
            raise OSError(errno.EINVAL, 'is no plain file, and so not written over', str(path))


def require_writable(path, option):
    """Raise InputError where no file ``path``, the value of ``option``, can be written: before the work, not after.

    So where it is the description of weights, without which they are worth little.
    """
    if not path:
        return
    try:
        require_replaceable(Path(path))
        _try_to_make_a_file(Path(path).parent)
    except OSError as error:
        raise InputError(f'{path}: cannot be written ({error.strerror}); give {option} a file in a folder that is '
                         'there') from None
    require_undescribing(path, option)


def require_writable_folder(folder, option):
    """The same of a folder for several files, which need not be there yet."""
    folder = Path(folder)
    try:
        _try_to_make_a_file(next(each for each in (folder, *folder.absolute().parents) if os.path.lexists(each)))
    except OSError as error:
        raise InputError(f'{folder}: no files can be written there ({error.strerror}); give {option} another '
                         'folder') from None


def _try_to_make_a_file(folder):
    """Raise OSError where it cannot be: permissions do not tell, below /proc and of a disk that is read only."""
    descriptor, name = tempfile.mkstemp(suffix='.part', prefix='.', dir=folder)
    os.close(descriptor)
    os.unlink(name)


def require_undescribing(path, what):
    """Raise InputError where ``path``, of which ``what`` is to take the place, describes the weights beside it."""
    try:
        found = read_json(path)
    except InputError:      # nothing there, or no JSON
        return
    if isinstance(found, dict) and str(found.get('format')).startswith(WEIGHTS_FORMAT):
        raise InputError(f'{path}: describes the weights beside it, and is not written over; give {what} another name')


def replace_file(path, data):
    """Write bytes or text in the place of ``path``."""
    with replacing(path) as part:
        part.write_bytes(data.encode() if isinstance(data, str) else data)


def finish_pictures(path, found, problems):
    """Write what a command has ``found`` in pictures to the JSON file ``path``, unless that is None, and then raise
    InputError for the ``problems``, lines about the pictures that cannot be read."""
    if path:
        text = json.dumps({**found, 'unreadable': problems}, indent=1, ensure_ascii=False) + '\n'
        replace_file(path, text.encode(errors='backslashreplace'))      # names of files can be any bytes
    if problems:
        more = f' (and {len(problems) - 1} more: {"; ".join(problems[1:4])})' if len(problems) > 1 else ''
        raise InputError(problems[0] + more)


def save_arrays(path, arrays):
    """``mx.nd.save(path, arrays)``, whole or not at all; raises OSError where it does not fit on the disk."""
    import mxnet as mx
    with replacing(path) as part:
        try:
            mx.nd.save(str(part), arrays)
            mx.nd.load(str(part))       # MXNet does not look whether the last bytes were written
        except mx.MXNetError as error:
            raise OSError(errno.EIO, f'an incomplete file ({str(error).splitlines()[-1]})', str(path)) from None
