"""What the environments of launchers say."""
import pytest

from resnest import launchers
from resnest.launchers import current

from ..processes import CLEAN
from .tasks import kubernetes, mpirun, srun


@pytest.fixture
def started(monkeypatch):
    """A function that pretends that a launcher has started this process with some variables."""
    for name in CLEAN:
        monkeypatch.delenv(name, raising=False)

    def start(variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))
        return current()
    return start


@pytest.mark.parametrize('variables, name, size, local_size, address', [
    (list(srun(2, 2, 17)), 'srun', 4, 2, '127.0.0.1'), (list(srun(2, 2, 17, 'pmi2')), 'srun', 4, 2, '127.0.0.1'),
    (list(srun(1, 4, 17, 'pmix')), 'srun', 4, 4, '127.0.0.1'), (list(mpirun(4, 17)), 'mpirun', 4, 4, '127.0.0.1'),
    (list(kubernetes(4, 29500)), 'an indexed job of Kubernetes', 4, 1, 'localhost'),
    ([{'PMI_RANK': rank, 'PMI_SIZE': 2, 'MPI_LOCALNRANKS': 2} for rank in range(2)], 'mpiexec', 2, 2, '127.0.0.1'),
    ([{'PMI_RANK': rank, 'PMI_SIZE': 2} for rank in range(2)], 'a process manager with PMI', 2, 1, None),
    # started by another launcher inside the tasks of srun: it has the word
    ([{**outer, 'RANK': rank, 'WORLD_SIZE': 4, 'LOCAL_RANK': rank % 2, 'LOCAL_WORLD_SIZE': 2, 'MASTER_ADDR': 'a'}
      for rank, outer in enumerate(each for each in srun(2, 1, 17) for _ in range(2))], 'the environment', 4, 2, 'a'),
    ([{**outer, **inner} for outer, inner in zip(list(srun(1, 2, 17)) * 2, mpirun(4, 17))], 'mpirun', 4, 4,
     '127.0.0.1'),
])
def test_who_started_how_many(started, variables, name, size, local_size, address):
    ports = set()
    for rank, each in enumerate(variables):
        task = started(each)
        assert (task.launcher.name, task.rank, task.size) == (name, rank, size)
        assert (task.local_size, task.address) == (local_size, address)
        assert (launchers.rank(), launchers.started_by_launcher()) == (rank, True)
        ports.add(task.port)
    assert len(ports) == 1
    assert 20000 <= ports.pop() < 30000


@pytest.mark.parametrize('variables', [
    {}, {'SLURM_PROCID': 0, 'SLURM_NTASKS': 8, 'SLURM_JOB_ID': 3},      # a batch script, which is no step
    next(srun(1, 1, 17)), next(mpirun(1, 17)), {'WORLD_SIZE': 4}, {'RANK': 'x', 'WORLD_SIZE': 4},
    {'HOROVOD_RANK': 0, 'HOROVOD_SIZE': 1, 'SLURM_PROCID': 0, 'SLURM_STEP_NUM_TASKS': 2}])
def test_one_task_is_no_job(started, variables):
    assert started(variables) is None
    assert (launchers.rank(), launchers.started_by_launcher()) == (None, False)


@pytest.mark.parametrize('nodes, first', [
    ('node7', 'node7'), ('node[1-3,7]', 'node1'), ('rack[01-02]n[003,7]-ib,other', 'rack01n003-ib'), ('a,b[1-2]', 'a'),
    ('a[08]', 'a08')])
def test_the_first_node_has_rank_0(started, nodes, first):
    assert started({**next(srun(2, 2, 17)), 'SLURM_STEP_NODELIST': nodes}).address == first
    assert started({'MASTER_ADDR': 'chosen', 'MASTER_PORT': 7}).address == 'chosen'
    assert current().port == 7


@pytest.mark.parametrize('text, counts', [('4(x2),3', [4, 4, 3, 1]), ('2', [2, 1]), ('', [1]), ('junk', [1])])
def test_tasks_of_each_node(started, text, counts):
    for node, count in enumerate(counts):
        variables = {**next(srun(2, 2, 17)), 'SLURM_STEP_TASKS_PER_NODE': text, 'SLURM_NODEID': node}
        assert started(variables).local_size == count


def test_jobs_have_ports_of_their_own(started):
    ports = {started({**next(srun(1, 2, job)), 'SLURM_STEP_ID': step}).port for job in range(10) for step in range(2)}
    assert len(ports) > 17
    assert launchers.job_name() == 'srun 9.1'
