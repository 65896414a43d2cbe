"""What a launcher's environment says of a distributed job: this process's rank, how many there are, where rank 0 is.

Nothing here starts or joins a job (:mod:`resnest.gluon.distributed` does); it is known before mxnet is imported.
"""
import os
import platform
import re
import zlib
from typing import NamedTuple, Optional

__all__ = ['LAUNCHERS', 'Task', 'VARIABLES', 'current', 'job_name', 'rank', 'started_by_launcher']


class Launcher(NamedTuple):
    """The names of the variables in which a launcher tells its tasks who they are; None where it does not."""
    name: str
    rank: str
    size: str
    local_rank: Optional[str] = None
    local_size: Optional[str] = None
    job: tuple = ()         # which together name the job, and differ between jobs on one machine
    mpi: bool = False       # whether MPI joins its tasks


# In the order in which they are believed. Whoever starts tasks inside another's task comes first: horovodrun or mpirun
# in a SLURM step, torchrun in a task of srun. A row counts where its rank and its size are both there: in a batch
# script, which is no step, SLURM sets the rank alone.
LAUNCHERS = (
    Launcher('horovodrun', 'HOROVOD_RANK', 'HOROVOD_SIZE', 'HOROVOD_LOCAL_RANK', 'HOROVOD_LOCAL_SIZE'),
    # Open MPI, MVAPICH
    Launcher('mpirun', 'OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK',
             'OMPI_COMM_WORLD_LOCAL_SIZE', ('PMIX_NAMESPACE', 'OMPI_MCA_ess_base_jobid'), True),
    Launcher('mpirun', 'MV2_COMM_WORLD_RANK', 'MV2_COMM_WORLD_SIZE', 'MV2_COMM_WORLD_LOCAL_RANK',
             'MV2_COMM_WORLD_LOCAL_SIZE', mpi=True),
    # Variables that somebody set: by hand, in a manifest of Kubernetes, by torchrun
    Launcher('the environment', 'RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'LOCAL_WORLD_SIZE', ('TORCHELASTIC_RUN_ID',)),
    Launcher('an indexed job of Kubernetes', 'JOB_COMPLETION_INDEX', 'WORLD_SIZE'),
    # Hydra, of MPICH and Intel MPI; srun, whatever its --mpi; other process managers with PMI
    Launcher('mpiexec', 'PMI_RANK', 'PMI_SIZE', 'MPI_LOCALRANKID', 'MPI_LOCALNRANKS', mpi=True),
    Launcher('srun', 'SLURM_PROCID', 'SLURM_STEP_NUM_TASKS', 'SLURM_LOCALID', None, ('SLURM_JOB_ID', 'SLURM_STEP_ID')),
    Launcher('a process manager with PMI', 'PMI_RANK', 'PMI_SIZE', mpi=True),
)
HYDRA = 'MPI_LOCALNRANKS'       # without it PMI's variables may be srun's, which has better ones
TASKS_ON_NODES = 'SLURM_STEP_TASKS_PER_NODE'
VARIABLES = (*{name for row in LAUNCHERS for name in row[1:5] if name}, TASKS_ON_NODES, 'SLURM_NODEID',
             'SLURM_STEP_NODELIST', 'SLURM_CPUS_ON_NODE', 'SLURMD_NODENAME', 'MASTER_ADDR', 'MASTER_PORT')


class Task(NamedTuple):
    """One of several tasks that a launcher has started, as its environment tells."""
    launcher: Launcher
    rank: int
    size: int
    local_size: int         # tasks on this machine; 1 where nothing says so
    host: str               # the name of this machine
    address: Optional[str]  # of the machine of rank 0, where it is known
    port: int               # there, for the ranks to find each other
    job: str                # what tells this job from others
    cpus: Optional[int]     # of this machine that all its tasks here have together, where that is known


def current():
    """The :class:`Task` that this process is, or None where no launcher has started several."""
    for row in LAUNCHERS:
        rank, size = _number(row.rank), _number(row.size)
        if rank is None or size is None or (row.name == 'mpiexec' and HYDRA not in os.environ):
            continue
        return _task(row, rank, size) if size > 1 else None
    return None


def rank():
    """The rank of this process as its launcher gave it, or None where no launcher started it."""
    task = current()
    return task and task.rank


def started_by_launcher():
    """Whether a launcher started this process as one of several."""
    return current() is not None


def job_name():
    """What tells the job of this process from others, for people; empty where nothing does."""
    task = current()
    return task.job if task else ' '.join(['SLURM', os.environ['SLURM_JOB_ID']]) if 'SLURM_JOB_ID' in os.environ else ''


def _task(row, rank, size):
    job = '.'.join(os.environ[name] for name in row.job if name in os.environ)
    on_node = row.local_size and _number(row.local_size)
    if row.name == 'srun':
        on_node = _tasks_on_node(os.environ.get(TASKS_ON_NODES, ''), _number('SLURM_NODEID'))
    address = os.environ.get('MASTER_ADDR') or ('127.0.0.1' if on_node == size else None)
    if not address and row.name == 'srun':
        address = _first_node(os.environ.get('SLURM_STEP_NODELIST', ''))
    # By default in the range that neither Linux nor Kubernetes gives to anybody else.
    port = _number('MASTER_PORT') or 20000 + zlib.crc32(job.encode()) % 10000
    return Task(row, rank, size, max(1, on_node or 1), os.environ.get('SLURMD_NODENAME') or platform.node(), address,
                port, f'{row.name} {job}'.strip(), _number('SLURM_CPUS_ON_NODE') if row.name == 'srun' else None)


def _number(name):
    text = os.environ.get(name, '')
    return int(text) if re.fullmatch('[0-9]{1,9}', text) else None


def _tasks_on_node(text, node):
    """The tasks on the node of this number, by SLURM's list for all nodes, such as ``4(x2),3``; None if not in it."""
    counts = []
    for count, times in re.findall(r'([0-9]{1,6})(?:\(x([0-9]{1,6})\))?', text):
        counts += [int(count)] * int(times or 1)
    return counts[node] if node is not None and node < len(counts) else None


def _first_node(text):
    """The first of SLURM's list of nodes: ``a01`` of ``a[01-03,7],b``; None of an empty one."""
    found = re.match(r'(?:[^,\[]|\[[^\]]*\])+', text)
    return found and re.sub(r'\[([^\],-]+)[^\]]*\]', r'\1', found[0])
