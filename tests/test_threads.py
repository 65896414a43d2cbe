"""Threads: what OpenMP really runs, cores, quotas, Horovod's local ranks."""
import os
import subprocess
import sys
import types

import pytest

from resnest import threads

from .conftest import ROOT, assert_refused, command
from .processes import CLEAN, python, write

TWO_RANKS = {'HOROVOD_RANK': '0', 'HOROVOD_SIZE': '2'}
OMP_THREADS = """
    import ctypes, os, warnings
    warnings.simplefilter('error', UserWarning)
    import resnest._import_hook     # what the .pth file does in any process of the environment
    import {}, resnest.gluon
    print(ctypes.CDLL('libgomp.so.1').omp_get_max_threads(), os.environ.get('OMP_NUM_THREADS'))
    """


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason='one CPU')
@pytest.mark.parametrize('first, environ, expected', [
    ('mxnet', {}, None), ('resnest.gluon', {}, None), ('mxnet', {'OMP_NUM_THREADS': ''}, None),
    ('mxnet', {'OMP_NUM_THREADS': '3'}, 3), ('mxnet', {**TWO_RANKS, 'HOROVOD_LOCAL_SIZE': '2'}, 'half'),
    ('resnest.gluon', {**TWO_RANKS, 'HOROVOD_LOCAL_SIZE': '999'}, 1),
])
def test_openmp_really_runs_that_many_threads(first, environ, expected):
    """Asks the OpenMP runtime that mxnet uses; either may be imported first."""
    cores = threads.usable_cores()
    expected = {None: cores, 'half': max(1, cores // 2)}.get(expected, expected)
    assert python(OMP_THREADS.format(first), **environ) == f'{expected} {expected}'


@pytest.fixture
def machine(monkeypatch):
    """Eight free cores, and an environment in which nobody has set anything."""
    for name in CLEAN:      # set, then removed, so that what set_threads sets is undone as well
        monkeypatch.setenv(name, '')
        monkeypatch.delenv(name)
    monkeypatch.setattr(threads, 'usable_cores', lambda: 8)
    monkeypatch.setattr(threads, '_allowed_cpus', lambda: set(range(8)))
    monkeypatch.delitem(sys.modules, 'mxnet', raising=False)
    return monkeypatch


def test_a_child_process_does_not_take_the_parents_choice_for_the_users(machine):
    assert threads.set_threads() == 8
    for name, value in {**TWO_RANKS, 'HOROVOD_LOCAL_SIZE': '4'}.items():
        machine.setenv(name, value)
    assert threads.set_threads() == 2
    assert os.environ['OMP_NUM_THREADS'] == '2'
    machine.setenv('OMP_NUM_THREADS', '5')
    assert threads.set_threads() == 5
    assert os.environ['OMP_NUM_THREADS'] == '5'


def test_mxnet_imported_first_warns_and_says_what_to_do(machine):
    machine.setitem(sys.modules, 'mxnet', types.ModuleType('mxnet'))
    with pytest.warns(UserWarning, match='runs 4 threads instead of 8: .* OMP_NUM_THREADS=8'):
        assert threads.set_threads() == 4
    assert 'OMP_NUM_THREADS' not in os.environ


def test_no_warning_where_mxnets_own_choice_is_right(machine, recwarn):
    machine.setitem(sys.modules, 'mxnet', types.ModuleType('mxnet'))
    machine.setattr(threads, 'usable_cores', lambda: 4)      # four cores with two hyperthreads each
    assert threads.set_threads() == 4
    machine.setenv('OMP_NUM_THREADS', '7')
    assert threads.set_threads() == 7
    assert not recwarn.list


@pytest.mark.parametrize('given', ['4', '0', 'all\nof them'])
def test_several_threads_of_the_engine_are_refused_before_mxnet(given):
    result = command(sys.executable, '-m', 'resnest', 'models', MXNET_CPU_WORKER_NTHREADS=given, PYTHONPATH=str(ROOT))
    assert_refused(result, f'MXNET_CPU_WORKER_NTHREADS={given!r}', 'unset it')


@pytest.mark.parametrize('given', ['1', ' ', None])
def test_one_thread_of_the_engine_is_what_it_has_anyway(machine, given):
    machine.delenv('MXNET_CPU_WORKER_NTHREADS', raising=False)
    if given:
        machine.setenv('MXNET_CPU_WORKER_NTHREADS', given)
    threads.require_one_engine_thread()


def test_hyperthreads_one_core_count_once(tmp_path, monkeypatch):
    for cpu in range(8):
        write(tmp_path / f'cpu{cpu}/topology/thread_siblings_list', f'{cpu % 4},{cpu % 4 + 4}\n')
    monkeypatch.setattr(threads, 'cgroup_cpus', lambda: 65536.0)
    for allowed, cores in [(range(8), 4), ((0, 4), 1), ((0, 1, 4), 2), ((3,), 1), ((8, 9), 2)]:
        monkeypatch.setattr(threads, '_allowed_cpus', lambda allowed=allowed: allowed)
        assert threads.usable_cores(tmp_path) == cores
    monkeypatch.setattr(threads, '_allowed_cpus', lambda: range(8))
    monkeypatch.setattr(threads, 'cgroup_cpus', lambda: 2.5)
    assert threads.usable_cores(tmp_path) == 2


@pytest.mark.parametrize('files, own, cpus', [
    ({'cpu.max': '250000 100000'}, '0::/', 2.5),
    ({'cpu.max': 'max 100000'}, '0::/', 65536),
    ({'cpu.max': '50000 100000'}, '0::/', 1),
    ({'cpu.max': 'max 100000', 'a/cpu.max': '300000 100000', 'a/b/cpu.max': '800000 100000'}, '0::/a/b', 3),
    ({'cpu,cpuacct/cpu.cfs_quota_us': '-1', 'cpu,cpuacct/cpu.cfs_period_us': '100000',
      'cpu,cpuacct/a/cpu.cfs_quota_us': '200000', 'cpu,cpuacct/a/cpu.cfs_period_us': '100000'},
     '5:memory:/x\n4:cpu,cpuacct:/a\n0::/', 2),
    ({'cpu/cpu.cfs_quota_us': '400000', 'cpu/cpu.cfs_period_us': '100000'}, '4:cpu,cpuacct:/docker/123', 4),
    ({}, '', 65536),
])
def test_quota_of_the_container(tmp_path, files, own, cpus):
    for name, text in files.items():
        write(tmp_path / 'sys' / name, text + '\n')
    write(tmp_path / 'cgroup', own)
    assert threads.cgroup_cpus(tmp_path / 'sys', tmp_path / 'cgroup') == cpus


@pytest.mark.parametrize('mine, launchers_own, slurm, ranks, wanted', [
    (96, 96, None, 8, 12), (12, 96, None, 8, 12),               # unbound; bound to its part by mpirun
    (48, 96, None, 8, 12), (16, 16, None, 4, 4),                # bound to a socket of four ranks; a container's cpuset
    (12, 96, 96, 8, 12), (16, 96, 16, 4, 4), (2, 2, 16, 4, 2),  # SLURM: bound; its job's CPUs, unbound; two CPUs each
    (8, 0, None, 2, 4), (3, 96, None, 8, 3), (4, 4, None, 9, 1)])
def test_a_mask_of_a_rank_s_own_is_not_divided_again(machine, mine, launchers_own, slurm, ranks, wanted):
    machine.setattr(threads, '_allowed_cpus', lambda: set(range(mine)))
    machine.setattr(threads, 'usable_cores', lambda: mine)
    machine.setattr(threads, '_launchers_cpus', lambda variable: launchers_own)
    variables = {**TWO_RANKS, 'HOROVOD_LOCAL_SIZE': ranks} if slurm is None else {
        'SLURM_PROCID': 0, 'SLURM_STEP_NUM_TASKS': ranks, 'SLURM_STEP_TASKS_PER_NODE': ranks, 'SLURM_NODEID': 0,
        'SLURM_CPUS_ON_NODE': slurm}
    for name, value in variables.items():
        machine.setenv(name, str(value))
    assert threads.set_threads() == wanted


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason='one CPU')
def test_the_launcher_is_found_above_a_shell_of_the_rank(machine):
    """This process starts a shell that is bound to one CPU, and the shell a rank."""
    code = 'from resnest.threads import _launchers_cpus; print(_launchers_cpus("HOROVOD_RANK")); exit(0)'
    words = ['sh', '-c', f"'{sys.executable}' -c '{code}'; true"]
    result = subprocess.run(words, env={**os.environ, **TWO_RANKS}, capture_output=True, text=True, check=True,
                            preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}))
    assert int(result.stdout) == len(os.sched_getaffinity(0))
