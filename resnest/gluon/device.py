"""Which device a process computes on, and how much memory is free there."""
import contextlib
import re
from pathlib import Path

import mxnet as mx

from resnest import runtime
from resnest.errors import InputError, SharedError
from resnest.reading import one_line
from resnest.threads import cgroup_folders

__all__ = ['check_device', 'choose_device', 'cpu_flags', 'require_memory']


def choose_device(no_cuda=False, job=None, cuda=False):
    """The GPU of this process where there is one, otherwise the CPU.

    Of those that it sees a rank of ``job`` (:class:`.distributed.Job`) takes the one of its local rank; where each task
    sees only its own, as under ``srun --gpus-per-task=1``, that is ``gpu(0)`` on all of them. With a job of several
    ranks it is collective. Raises InputError for a GPU that mxnet has no kernels for, for one that two ranks would
    take, and with ``cuda`` where there is none.
    """
    gpus = 0 if no_cuda else mx.context.num_gpus()
    if cuda and not gpus:
        raise SharedError('--cuda: MXNet finds no GPU here; resnest env tells what it has, and without the '
                          'option the CPU is used')
    if gpus:
        runtime.check_gpus()
    index = job.local_rank % gpus if job and gpus else 0
    if job and job.size > 1:
        _check_own(job, runtime.gpu_identity(index) if gpus else b'')
    return mx.gpu(index) if gpus else mx.cpu()


def _check_own(job, identity):
    """Raise InputError on all ranks where two of them have one GPU; an empty ``identity`` is no GPU, or unknown."""
    taken = job.gather_bytes(identity, 'GPUs')
    twice = next((found for found in taken if found and taken.count(found) > 1), None)
    if twice:
        ranks = [rank for rank, found in enumerate(taken) if found == twice]
        raise SharedError(f'ranks {ranks[0]} and {ranks[1]} would share one GPU; start one process per GPU, or use '
                          f'--no-cuda')


def check_device(ctx):
    """Raise InputError for what is no Context, and for a GPU that MXNet does not find here."""
    if not isinstance(ctx, mx.Context):
        raise InputError(f'ctx must be a Context, such as mx.cpu(), got {one_line(repr(ctx), 60)}')
    if ctx.device_type == 'gpu' and ctx.device_id >= mx.context.num_gpus():
        raise InputError(f'{ctx}: MXNet finds no such GPU here; resnest env tells what it has')


def require_memory(least, device, what, remedy):
    """Raise InputError where ``what`` takes more memory, ``least`` bytes at least, than is free on ``device``."""
    free = _free_memory(device)
    if free is not None and least > free:
        raise InputError(f'{what} takes more than {least / 2 ** 30:.1f} GB of memory, and {free / 2 ** 30:.1f} GB are '
                         f'free; {remedy}')


def _free_memory(device):
    """Bytes, or None where nobody tells."""
    if device.device_type == 'gpu':
        return mx.context.gpu_memory_info(device.device_id)[0]
    left = [bytes_left for folder in cgroup_folders('memory') for bytes_left in _left_in_group(folder)]
    with contextlib.suppress(OSError, TypeError):
        told = Path('/proc/meminfo').read_text()
        left.append(1024 * int(re.search(r'^MemAvailable: +(\d+) kB$', told, re.MULTILINE)[1]))
    return min(left, default=None)


def _left_in_group(folder):
    """``[bytes]`` that one cgroup folder leaves, what is read from files and can be dropped among them, or ``[]``."""
    limit, used = ('max', 'current') if (folder / 'memory.max').exists() else ('limit_in_bytes', 'usage_in_bytes')
    try:
        limit, used = (int((folder / f'memory.{name}').read_text()) for name in (limit, used))
        dropped = re.search(r'^(?:total_)?inactive_file (\d+)$', (folder / 'memory.stat').read_text(), re.MULTILINE)
        return [max(0, limit - used + int(dropped[1]))]
    except (OSError, TypeError, ValueError):        # absent, unreadable or 'max'
        return []


def cpu_flags(path='/proc/cpuinfo'):
    """The features of the CPU, as Linux names them; none where they cannot be read."""
    try:
        found = re.search(r'^flags\s*:(.*)$', Path(path).read_text(), re.MULTILINE)
    except OSError:
        found = None
    return set(found[1].split()) if found else set()
