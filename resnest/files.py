"""Files that appear whole or not at all."""
import contextlib
import os
from pathlib import Path

__all__ = ['replace_file', 'replacing']


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


def replace_file(path, data):
    """Write bytes or text in the place of ``path``."""
    with replacing(path) as part:
        part.write_bytes(data.encode() if isinstance(data, str) else data)
