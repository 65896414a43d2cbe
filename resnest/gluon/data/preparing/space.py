"""Room on a disk, and how a message tells of it."""
import os

__all__ = ['free_bytes', 'show_size']


def free_bytes(folder):
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def show_size(count):
    return f'{count / 1e9:.1f} GB' if count >= 1e8 else f'{count / 1e6:.1f} MB'
