"""What a launcher's environment says of a distributed job: this process's rank, and how many ranks there are here.

Nothing here starts or joins a job (:mod:`resnest.gluon.distributed` does); it is known before mxnet is imported.
"""
import os

__all__ = ['VARIABLES', 'local_size', 'rank', 'started_by_launcher']

# By what they say, in the order in which they are believed: Horovod's own (horovodrun), Open MPI's, MPICH's and
# Slurm's (PMI), Intel MPI's, MVAPICH's.
RANK = ('HOROVOD_RANK', 'OMPI_COMM_WORLD_RANK', 'PMI_RANK')
LOCAL_SIZE = ('HOROVOD_LOCAL_SIZE', 'OMPI_COMM_WORLD_LOCAL_SIZE', 'MPI_LOCALNRANKS', 'MV2_COMM_WORLD_LOCAL_SIZE')
VARIABLES = (*RANK, *LOCAL_SIZE)


def rank():
    """The rank of this process as its launcher gave it, or None where no launcher started it."""
    return _first(RANK)


def started_by_launcher():
    """Whether a launcher started this process as one of a job."""
    return any(name in os.environ for name in RANK)


def local_size():
    """Ranks of the job on this machine; 1 without a launcher."""
    return max(1, _first(LOCAL_SIZE) or 1)


def _first(names):
    return next((int(os.environ[name]) for name in names if os.environ.get(name, '').isdigit()), None)
