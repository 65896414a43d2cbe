"""The members of an uncompressed tar, by offset, without extracting it; damage is an error, never an early end.

Python's tarfile takes a damaged header for the end of the archive and keeps an object for each member. Here the headers
are walked one by one; tarfile decodes each (POSIX.1-2001 ustar and pax, GNU long names).
"""
import os
import re
import tarfile

from resnest.errors import InputError
from resnest.reading import one_line

__all__ = ['tar_members', 'refuse_unsafe']

BLOCK = 512
LONGEST_NAME = 1 << 16
DEEPEST = 100           # folders
PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
DAMAGED = 'download or copy it again'


def tar_members(descriptor, path, start=0, end=None):
    """Yield (name, offset, size) in bytes of each plain file of the tar that lies at ``start`` of an open file.

    ``end`` is where a tar inside another one ends. Folders are passed over. Raises InputError that names the file
    and the byte for a header that cannot be read, a truncated tar, and for members that are links or devices or
    whose names are absolute or contain ``..``.
    """
    inner = end is not None
    end = end if inner else os.fstat(descriptor).st_size
    offset, override = start, {}
    while offset < end:
        block = _read(descriptor, path, min(BLOCK, end - offset), offset)
        try:
            info = tarfile.TarInfo.frombuf(block, 'utf-8', 'surrogateescape')
        except tarfile.HeaderError as error:
            if isinstance(error, tarfile.EOFHeaderError):
                return
            if block[:2] == b'\x1f\x8b' or block[:3] == b'BZh' or block[:6] == b'\xfd7zXZ\0':
                raise InputError(f'{path}: compressed at byte {offset}; it must be the plain tar: decompress it '
                                 f'first') from None
            what = 'truncated' if len(block) < BLOCK else 'not readable as a tar'
            raise InputError(f'{path}: {what}: no member header at byte {offset} ({error}); {DAMAGED}') from None
        name, size = override.get('path', info.name), int(override.get('size', info.size))
        data = offset + BLOCK
        if size < 0 or data + size > end:
            raise InputError(f'{path}: truncated: {one_line(name)} at byte {data} has {size} bytes, but the '
                             f'{"class tar" if inner else "file"} ends at byte {end}; {DAMAGED}')
        offset = data + (size + BLOCK - 1) // BLOCK * BLOCK
        if info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
            if size > LONGEST_NAME:
                raise InputError(f'{path}: the extended header at byte {data} is damaged; {DAMAGED}')
            more = _read(descriptor, path, size, data)
            override.update({'path': os.fsdecode(more.rstrip(b'\0'))} if info.type == tarfile.GNUTYPE_LONGNAME
                            else _pax(more, path, data))
        elif info.type not in (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK):
            refuse_unsafe(name, path)
            if info.type in PLAIN:
                yield name, data, size
            elif info.type != tarfile.DIRTYPE:
                raise InputError(f'{path}: {one_line(name)} is a link or a special file; only plain files are read: '
                                 f'make the tar again without it')
            override = {}
    if not inner:
        raise InputError(f'{path}: truncated: it ends at byte {end} without the end mark of a tar; {DAMAGED}')


def _read(descriptor, path, size, offset):
    try:
        return os.pread(descriptor, size, offset)
    except OSError as error:
        raise InputError(f'{path}: cannot be read at byte {offset}: {error.strerror}') from None


def refuse_unsafe(name, path):
    """Raise InputError for a member name that is absolute, has ``..`` or a zero byte in it, or is very deep."""
    if name.startswith('/') or '..' in name.split('/') or '\0' in name or name.count('/') > DEEPEST:
        what = 'lies too deep' if name.count('/') > DEEPEST else 'would lead out of the folder'
        raise InputError(f'{path}: the member {one_line(repr(name))} {what}; this is not the official file: {DAMAGED}')


def _pax(data, path, offset):
    """Name and size out of an extended header: lines ``length key=value``."""
    found = {}
    while data:
        match = re.match(rb'(\d{1,9}) ([^=]+)=', data)
        length = int(match.group(1)) if match else 0
        if not match or not match.end() < length <= len(data):
            raise InputError(f'{path}: the extended header at byte {offset} is damaged; {DAMAGED}')
        key, value = match.group(2), data[match.end():length - 1]
        if key.startswith(b'GNU.sparse') or key == b'size' and not re.fullmatch(rb'\d{1,20}', value):
            raise InputError(f'{path}: the member at byte {offset} is not a plain file ({one_line(os.fsdecode(key))})')
        if key in (b'path', b'size'):
            found[key.decode()] = os.fsdecode(value)
        data = data[length:]
    return found
