"""Files that appear whole or not at all."""
import contextlib
import errno
import os
from pathlib import Path

from resnest.errors import InputError

__all__ = ['replace_file', 'replacing', 'require_writable', 'save_arrays']


@contextlib.contextmanager
def replacing(path):
    """Yields a name beside ``path`` to write to; what was written takes the place of ``path`` at the end.

    The data are on the disk before the name changes. After an error nothing is left and ``path`` is as it was.
    """
    part = Path(f'{path}.part')
    try:
        yield part
        with open(part, 'rb') as written:
            os.fsync(written.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def require_writable(path, option):
    """Raise InputError where no file ``path``, the value of ``option``, can be written: before the work, not after."""
    if path and (Path(path).is_dir() or not os.access(Path(path).absolute().parent, os.W_OK)):
        raise InputError(f'{path}: cannot be written; give {option} a file in a folder that is there')


def replace_file(path, data):
    """Write bytes or text in the place of ``path``."""
    with replacing(path) as part:
        part.write_bytes(data.encode() if isinstance(data, str) else data)


def save_arrays(path, arrays):
    """``mx.nd.save(path, arrays)``, whole or not at all; raises OSError where it does not fit on the disk."""
    import mxnet as mx
    with replacing(path) as part:
        part.touch()        # mxnet's own words about a folder that is not there are hard to read
        try:
            mx.nd.save(str(part), arrays)
            mx.nd.load(str(part))       # MXNet does not look whether the last bytes were written
        except mx.MXNetError as error:
            raise OSError(errno.EIO, f'an incomplete file ({str(error).splitlines()[-1]})', str(path)) from None
