"""Zip archives that somebody else made, and how one member is taken out of them."""
import errno
import zipfile

from resnest.reading import ZIP_ERRORS

__all__ = ['copy_member']

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
