"""Ranks that find each other with neither horovodrun nor MPI: simulated launchers, pretended machines."""
import os
import socket
import sys
import threading
from types import SimpleNamespace

import pytest

from resnest.errors import InputError, SharedError, StartAgain
from resnest.gluon import distributed, rendezvous
from resnest.launchers import LAUNCHERS, Task

from ..conftest import needs_horovod
from ..processes import CLEAN
from .tasks import finish, job_number, kubernetes, mpirun, srun, start

pytestmark = needs_horovod

# Prints who it is, and a sum over the ranks: 1 + 2 + 4 + 8 where there is one job.
JOINED = """
import sys
from resnest.errors import run_command
def main():
    from resnest.gluon import distributed
    with distributed.joined() as job:
        total = int(job.total([2 ** job.rank], 'sum')[0])
        print('joined', job.rank, job.size, job.local_rank, job.local_size, total, flush=True)
        job.finish()
    return int(sys.argv[1]) if job.rank == 3 else 0
run_command(main)
"""


@pytest.mark.parametrize('variables, local', [
    (srun(2, 2, job_number('srun'), 'pmi2'), 2), (mpirun(4, job_number('mpirun')), 4)], ids=['srun', 'mpirun'])
def test_four_tasks_are_one_job(variables, local):
    """Also: exit codes get through."""
    found = finish(start(['-c', JOINED, 5], variables))
    for rank, (code, printed) in enumerate(found):
        assert f'joined {rank} 4 {rank % local} {local} 15' in printed.splitlines(), printed
        assert code == (5 if rank == 3 else 0)


LEAVING = """
import sys
from resnest.errors import InputError, run_command
def main():
    from resnest.gluon import distributed
    with distributed.joined() as job:
        if job.rank == int(sys.argv[1]):
            raise InputError('a record cannot be read')
        for step in range(100000):
            job.total([1], 'step')
run_command(main)
"""


@pytest.mark.slow
@pytest.mark.parametrize('rank', [0, 1])
def test_bad_input_of_one_rank_is_no_lost_rank(rank):
    """Or a scheduler would start again what ends in the same way each time."""
    found = finish(start(['-c', LEAVING, rank], srun(2, 1, job_number(f'leaving {rank}'))))
    assert [code for code, _ in found] == [2, 2], found
    assert 'error: a record cannot be read' in found[rank][1]
    assert f'error: rank {rank} has ended for an error, which its own message tells' in found[1 - rank][1]


class Alone:
    """Stands for a Horovod that joins nobody, as one built without MPI does under mpirun."""

    rank = local_rank = staticmethod(lambda: 0)
    size = local_size = staticmethod(lambda: 1)
    init = mpi_built = staticmethod(lambda: False)


@pytest.mark.parametrize('variables, message', [
    ({**next(mpirun(4, 1)), 'HOROVOD_CONTROLLER': 'mpi'}, 'HOROVOD_CONTROLLER=mpi, but Horovod was built without MPI'),
    ({'HOROVOD_RANK': 0, 'HOROVOD_SIZE': 4}, 'horovodrun started 4 tasks, but Horovod joins 1: unset '),
    ({**next(mpirun(4, 1)), 'HOROVOD_CONTROLLER': 'mpi', 'built': ''}, 'mpirun started 4 tasks, but Horovod joins 1')])
def test_tasks_that_are_not_joined_are_refused(lonely, variables, message):
    lonely.setitem(sys.modules, 'horovod', SimpleNamespace(mxnet=Alone))
    lonely.setitem(sys.modules, 'horovod.mxnet', Alone)
    lonely.setattr(Alone, 'mpi_built', lambda: 'built' in variables)
    for name, value in variables.items():
        lonely.setitem(os.environ, name, str(value))
    with pytest.raises(SharedError, match=message), distributed.joined():
        raise AssertionError('it trains alone')


def test_tasks_without_horovod_are_refused(lonely):
    lonely.setitem(sys.modules, 'horovod.mxnet', None)
    for name, value in next(srun(2, 2, 1)).items():
        lonely.setitem(os.environ, name, str(value))
    with pytest.raises(SharedError, match='srun started this process as one of 4, but Horovod cannot be imported'), \
            distributed.joined():
        raise AssertionError('it trains alone')


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


@pytest.fixture
def lonely(monkeypatch):
    """No variables, and short patience."""
    for name in CLEAN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('HOROVOD_START_TIMEOUT', '1')
    monkeypatch.setattr(rendezvous, 'PORT_TIMEOUT', 0.1)
    monkeypatch.setattr(rendezvous, 'PAUSE', 0.02)
    monkeypatch.setattr(os, 'environ', dict(os.environ))
    return monkeypatch


def task(rank, port, size=2, job='job', address='127.0.0.1', host='here'):
    return Task(LAUNCHERS[3], rank, size, 1, host, address, port, job, None)


def test_a_rank_that_does_not_come(lonely, port):
    with pytest.raises(StartAgain, match=f'^ranks 1, 2 of 3 did not come to port {port} of here within 1 s; .*TIMEOUT'):
        rendezvous.meet(task(0, port, 3))
    with pytest.raises(StartAgain, match=f'^rank 1 of 2 did not meet rank 0 at port {port} of 127.0.0.1 within 1 s; '):
        rendezvous.meet(task(1, port))


def test_what_cannot_meet_is_told(lonely, port):
    for wrong, message in [(task(2, port), 'rank 2 of 2: set RANK'), (task(0, 70000), 'MASTER_PORT must be'),
                           (task(0, port, address=None), 'set MASTER_ADDR to its host')]:
        with pytest.raises(InputError, match=message):
            rendezvous.meet(wrong)
    lonely.setitem(os.environ, 'HOROVOD_START_TIMEOUT', 'soon')
    with pytest.raises(InputError, match="HOROVOD_START_TIMEOUT must be whole seconds, got 'soon'"):
        rendezvous.meet(task(0, port))


def test_a_port_that_is_taken(lonely, port):
    def answer(server):
        with server.accept()[0] as connection:
            connection.recv(1000)
            connection.sendall(b'220 not HTTP\r\n')

    with socket.create_server(('127.0.0.1', port)) as server:
        with pytest.raises(InputError, match=f'^port {port}, .* cannot be had on here .Address already in use.; set '):
            rendezvous.meet(task(0, port))
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        with pytest.raises(InputError, match=f'^port {port} of 127.0.0.1 serves something else; set MASTER_PORT'):
            rendezvous.meet(task(1, port))
        thread.join()


def meet(found, *tasks):
    """Each of the tasks in a thread of its own, through what it is called after its checks."""
    def run(each):
        gather = rendezvous._serve if each.rank == 0 else rendezvous._visit
        try:
            found[each] = gather(each, f'token{len(found)}-{each.rank} {each.host}', 2)
        except InputError as error:
            found[each] = error
    threads = [threading.Thread(target=run, args=(each,)) for each in tasks]
    for thread in threads:
        thread.start()
    return threads


def test_another_job_and_a_rank_of_a_later_run_are_not_taken_in(lonely, port):
    first, later = {}, {}
    for thread in meet(first, task(0, port), task(1, port, host='there')):
        thread.join()
    plan = first[task(0, port)]
    assert plan == first[task(1, port, host='there')]
    assert [line.split()[1] for line in plan] == ['here', 'there']
    for thread in meet(later, task(1, port), task(1, port, job='another')):
        thread.join()
    assert isinstance(later[task(1, port)], StartAgain)       # it waits for a rank 0 of its own
    assert 'serves another job; set MASTER_PORT' in str(later[task(1, port, job='another')])


def test_machines_that_are_named_in_any_order():
    """Against a count by hand: ranks 0 to 4 on a, b, a, c, b."""
    slots = rendezvous._slots([*'abacb'])
    found = [(each.local_rank, each.local_size, each.cross_rank, each.cross_size) for each in slots]
    assert found == [(0, 2, 0, 3), (0, 2, 1, 3), (1, 2, 0, 2), (0, 1, 2, 3), (1, 2, 1, 2)]


def test_a_pod_of_kubernetes_has_one_rank():
    found = [rendezvous._slots([f'pod-{index}' for index in range(2)])[each['JOB_COMPLETION_INDEX']]
             for each in kubernetes(2, 29500)]
    assert [(each.rank, each.local_rank, each.local_size) for each in found] == [(0, 0, 1), (1, 0, 1)]


def test_a_machine_whose_name_is_its_own_secret(monkeypatch):
    """Debian has 127.0.1.1 for it; ranks of other machines would connect to themselves."""
    names = {'10.1.1.1': '10.1.1.1', 'me': '127.0.1.1', '127.0.0.1': '127.0.0.1'}
    monkeypatch.setattr(socket, 'gethostbyname', names.__getitem__)
    monkeypatch.setattr(socket, 'gethostname', lambda: 'me')
    monkeypatch.setattr(rendezvous, '_source', lambda address: address)
    with pytest.raises(InputError, match='^the name of this machine, me, stands for 127.0.1.1 here, .* /etc/hosts$'):
        rendezvous._interface('10.1.1.1')
    assert rendezvous._interface('127.0.0.1') == 'lo'
    names['me'] = '10.1.1.2'
    assert rendezvous._interface('10.1.1.1') is None        # which no interface here has
