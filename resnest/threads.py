"""How many CPU threads this process should use, and telling MXNet so.

MXNet takes half of the processors it sees (it assumes two hyperthreads per core), which halves the
speed where there is one. It reads ``OMP_NUM_THREADS`` once, when it is imported: the import hook
(:mod:`resnest._import_hook`) tells it just before, whoever imports it.
"""
import os
import sys
import warnings
from pathlib import Path

from resnest import launchers
from resnest.errors import InputError

__all__ = ['cgroup_folders', 'cores_of_rank', 'require_one_engine_thread', 'set_threads',
           'usable_cores']

# The value that a parent process set by set_threads, as against one that the user chose.
OURS = 'RESNEST_NUM_THREADS'
ENGINE_THREADS = 'MXNET_CPU_WORKER_NTHREADS'


def set_threads(imported=None):
    """Set ``OMP_NUM_THREADS`` to this process's share of the cores, unless the user has set it.

    ``imported`` says whether mxnet has read it already; unless given, whether mxnet is imported. Returns the number of
    threads. Warns where mxnet was imported without the hook, and so with another number.
    """
    chosen = os.environ.get('OMP_NUM_THREADS', '').strip()
    if chosen and chosen != os.environ.get(OURS):
        return int(chosen) if chosen.isdigit() else usable_cores()
    threads = cores_of_rank()
    if not ('mxnet' in sys.modules if imported is None else imported):
        os.environ['OMP_NUM_THREADS'] = os.environ[OURS] = str(threads)
        return threads
    taken = int(chosen) if chosen else max(1, len(_allowed_cpus()) // 2)
    if taken != threads:
        warnings.warn(f'mxnet was imported before resnest, without its hook, and so runs {taken} threads instead of '
                      f'{threads}: import resnest.gluon first, or set OMP_NUM_THREADS={threads}', stacklevel=2)
    return taken


def require_one_engine_thread():
    """Raise InputError where mxnet's engine has been given another number of CPU threads than one.

    Two of them may bring an array that both of their operators read into the layout that each wants of oneDNN, at the
    same time, and in place. The threads within an operator are OpenMP's.
    """
    given = os.environ.get(ENGINE_THREADS, '').strip()
    if given not in ('', '1'):
        raise InputError(f'{ENGINE_THREADS}={given[:20]!r}: with another number than 1, operators that read one array '
                         'spoil it for each other; unset it, and use OMP_NUM_THREADS')


def cores_of_rank():
    """This process's share of the cores, whatever OpenMP is told."""
    return _share(usable_cores())


def _share(cores):
    """This process's part of the ``cores`` that it may use.

    They are shared with the other ranks of the machine, unless the launcher has bound this one to a part of its own:
    the processors that all of them have are the launcher's.
    """
    task = launchers.current()
    if task is None:
        return cores
    mine = len(_allowed_cpus())
    all_together = max(mine, task.cpus or _launchers_cpus(task.launcher.rank))
    return max(1, min(cores, cores * all_together // (mine * task.local_size)))


def _launchers_cpus(variable):
    """Processors of the process that started this rank: the nearest above that has not the rank's ``variable``; 0 where
    it cannot be asked."""
    pid = os.getppid()
    try:
        while pid > 1 and f'\0{variable}='.encode() in b'\0' + Path(f'/proc/{pid}/environ').read_bytes():
            pid = int(Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[1])
    except OSError:         # another user's, such as SLURM's
        pass
    try:
        return len(os.sched_getaffinity(pid)) if pid else 0
    except (OSError, AttributeError):
        return 0


def usable_cores(topology='/sys/devices/system/cpu'):
    """Physical cores this process may use: affinity, hyperthreads and the container's quota considered."""
    cores = set()
    for cpu in _allowed_cpus():
        siblings = Path(topology, f'cpu{cpu}', 'topology', 'thread_siblings_list')
        try:
            cores.add(siblings.read_text().strip())
        except OSError:
            cores.add(cpu)
    return max(1, min(len(cores), int(cgroup_cpus())))


def _allowed_cpus():
    if hasattr(os, 'sched_getaffinity'):
        return os.sched_getaffinity(0)
    return range(os.cpu_count() or 1)


def cgroup_cpus(root='/sys/fs/cgroup', own='/proc/self/cgroup'):
    """CPUs that the quotas of this process's cgroup and of those above it allow (v2 and v1).

    Returns a float of at least 1, or 65536 without a quota.
    """
    return max(1.0, min([65536.0, *(quota for folder in cgroup_folders('cpu', root, own) for quota in _quota(folder))]))


def cgroup_folders(controller, root='/sys/fs/cgroup', own='/proc/self/cgroup'):
    """Yield the folders of this process's cgroup and of those above it (v2, and v1 of a controller), there or not."""
    try:
        lines = Path(own).read_text().splitlines()
    except OSError:
        lines = []
    for line in [*lines, '0::/', f'0:{controller}:/']:      # a container sees its own group as the root
        _, controllers, group = line.split(':', 2)
        if controllers and controller not in controllers.split(','):
            continue
        top = Path(root, controllers)       # v1 keeps a tree for each set of controllers
        inner = top / group.strip('/')
        for folder in (inner, *inner.parents):
            yield folder
            if folder == top:
                break


def _quota(folder):
    """``[CPUs]`` that one cgroup folder allows, or ``[]``."""
    try:
        if (folder / 'cpu.max').exists():
            quota, period = (folder / 'cpu.max').read_text().split()
        else:
            quota = (folder / 'cpu.cfs_quota_us').read_text()
            period = (folder / 'cpu.cfs_period_us').read_text()
        return [int(quota) / int(period)] if int(quota) > 0 else []
    except (OSError, ValueError):       # absent, unreadable or 'max'
        return []
