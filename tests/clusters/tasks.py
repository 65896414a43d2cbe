"""Tasks of a job, started here with the variables that a launcher would give them on pretended machines."""
import os
import subprocess
import sys
import time
import zlib

from ..conftest import ROOT
from ..processes import CLEAN


def srun(nodes, each, job, mpi='none'):
    """The variables of each task of ``srun --mpi=…`` on so many nodes of ``each`` tasks; rank 0 is on this machine."""
    for rank in range(nodes * each):
        node, local = divmod(rank, each)
        found = {'SLURM_JOB_ID': job, 'SLURM_STEP_ID': 0, 'SLURM_PROCID': rank, 'SLURM_LOCALID': local,
                 'SLURM_NODEID': node, 'SLURM_STEP_NUM_TASKS': nodes * each, 'SLURM_NTASKS': nodes * each,
                 'SLURM_STEP_TASKS_PER_NODE': f'{each}(x{nodes})' if nodes > 1 else each,
                 'SLURM_STEP_NODELIST': '127.0.0.1,pretended[2-9]', 'SLURMD_NODENAME': f'pretended{node + 1}'}
        if mpi == 'pmi2':
            found.update(PMI_RANK=rank, PMI_SIZE=nodes * each, PMI_JOBID=f'{job}.0', PMI_FD=3)
        if mpi == 'pmix':
            found.update(PMIX_RANK=rank, PMIX_NAMESPACE=f'slurm.pmix.{job}.0')
        yield found


def mpirun(size, job):
    """The variables of each task of Open MPI's ``mpirun`` on this machine."""
    for rank in range(size):
        yield {'OMPI_COMM_WORLD_RANK': rank, 'OMPI_COMM_WORLD_SIZE': size, 'OMPI_COMM_WORLD_LOCAL_RANK': rank,
               'OMPI_COMM_WORLD_LOCAL_SIZE': size, 'OMPI_COMM_WORLD_NODE_RANK': rank, 'PMIX_RANK': rank,
               'PMIX_NAMESPACE': f'prterun-{job}@1'}


def kubernetes(size, port):
    """The variables of each pod of the job of docs/clusters.md, one rank in each."""
    for rank in range(size):
        yield {'JOB_COMPLETION_INDEX': rank, 'WORLD_SIZE': size, 'MASTER_ADDR': 'localhost', 'MASTER_PORT': port}


def start(words, variables, **settings):
    """Start ``words`` once for each of ``variables``; returns the processes."""
    env = {key: value for key, value in os.environ.items() if key not in CLEAN}
    env.update(PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1')
    return [subprocess.Popen([sys.executable, '-W', 'ignore', *map(str, words)], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, **settings,
                             env={**env, **{key: str(value) for key, value in each.items()}}) for each in variables]


def finish(processes, timeout=120):
    """``[(exit code, output)]`` of started processes; all are killed after ``timeout`` seconds."""
    end = time.monotonic() + timeout
    try:
        printed = [each.communicate(timeout=max(1, end - time.monotonic()))[0] for each in processes]
    finally:
        for each in processes:
            each.kill()
    return [(each.returncode, text) for each, text in zip(processes, printed)]


def job_number(name):
    """A number for a job, and so a port of its own, for tests that run at the same time."""
    return zlib.crc32(f'{name} {os.getpid()}'.encode()) % 10 ** 6
