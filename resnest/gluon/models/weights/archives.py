"""Zip archives that somebody else made: what they may raise, and how one member is taken out of them."""
import errno
import struct
import zipfile
import zlib

__all__ = ['ZIP_ERRORS', 'copy_member']

# What zipfile raises for archives that are damaged, encrypted or of a newer kind, besides OSError (EINVAL).
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError, IndexError,
              OverflowError, struct.error)
PIECE = 1 << 20


def copy_member(opened, name, target, most):
    """Write the member of exactly that name to the open file ``target``; no member can choose where it goes.

    Returns what is wrong with the archive, None if all is well: it is none, has no such member, one that is packed by
    other means than deflate, or one of more than ``most`` bytes. Raises OSError where ``target`` cannot be written.
    """
    try:
        with zipfile.ZipFile(opened) as archive:
            members = [member for member in archive.infolist() if member.filename == name]
            if len(members) != 1:
                return f'the archive has {len(members) or "no"} {name}'
            if members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                return 'packed by a method that releases do not use'
            with archive.open(members[0]) as member:
                while piece := member.read(PIECE):
                    target.write(piece)
                    if target.tell() > most:
                        return f'{name} in the archive is larger than {most} bytes'
        return None
    except ZIP_ERRORS:
        return 'not a whole zip archive'
    except OSError as error:
        if error.errno != errno.EINVAL:     # a place before the beginning of the file
            raise
        return 'not a whole zip archive'
