"""How the ranks of a job find each other where neither horovodrun nor MPI joins them: at a small server of rank 0.

It is Horovod's own server for Gloo's rendezvous (https://horovod.readthedocs.io/en/stable/gloo.html), at an address
and a port that all ranks know from their launcher (:mod:`resnest.launchers`). Before Gloo uses it, the ranks meet
there: each tells its machine, and rank 0 answers with a plan of all. The plan names each process by a token of its own.
So a rank that was started again does not take the plan of the run before, whose rank 0 is still ending, for its own.
"""
import contextlib
import http.client
import os
import secrets
import socket
import threading
import time

from resnest.errors import InputError, StartAgain

__all__ = ['leave', 'meet', 'serves', 'who_left']

START_TIMEOUT = 600     # seconds, unless HOROVOD_START_TIMEOUT has others; nodes and containers start at their own time
PORT_TIMEOUT = 20       # in which the rank 0 of a run before, on the same port, should have ended
PAUSE = 0.2
LARGEST = 1 << 24       # bytes of an answer

_server = None          # that of rank 0, in its process


def meet(task):
    """Wait for all ranks of the job of ``task``, a :class:`resnest.launchers.Task`, and set Horovod's variables.

    Rank 0 serves Gloo's rendezvous from then on, until its process ends. Raises InputError where nothing says where
    rank 0 is, and where its port is another's; StartAgain where a rank does not come within ``HOROVOD_START_TIMEOUT``
    seconds.
    """
    if task.rank >= task.size:
        raise InputError(f'{task.launcher.name} says rank {task.rank} of {task.size}: set {task.launcher.rank} to 0 to '
                         f'{task.size - 1}, and {task.launcher.size} to the number of ranks')
    if task.address is None:
        raise InputError(f'{task.launcher.name} started {task.size} tasks on several machines, and nothing says where '
                         f'rank 0 is: set MASTER_ADDR to its host on all of them, or start them by horovodrun')
    if not 0 < task.port < 65536:
        raise InputError(f'MASTER_PORT must be from 1 to 65535, got {task.port}')
    entry, timeout = f'{secrets.token_hex(8)} {task.host}', _timeout()
    gather = _serve if task.rank == 0 else _visit
    slots = _slots([line.partition(' ')[2] for line in gather(task, entry, timeout)])
    own = slots[task.rank]
    variables = {'GLOO_RENDEZVOUS_ADDR': '127.0.0.1' if task.rank == 0 else socket.gethostbyname(task.address),
                 'GLOO_RENDEZVOUS_PORT': task.port, 'CONTROLLER': 'gloo', 'CPU_OPERATIONS': 'gloo',
                 'HOSTNAME': own.hostname, 'RANK': own.rank, 'SIZE': own.size, 'LOCAL_RANK': own.local_rank,
                 'LOCAL_SIZE': own.local_size, 'CROSS_RANK': own.cross_rank, 'CROSS_SIZE': own.cross_size}
    os.environ.update({f'HOROVOD_{name}': str(value) for name, value in variables.items()})
    try:
        interface = _interface('127.0.0.1' if own.local_size == own.size else task.address)
    except InputError:
        time.sleep(1 if serves() else 0)        # the others may not have the plan yet
        raise
    if interface:
        os.environ.setdefault('HOROVOD_GLOO_IFACE', interface)


def _timeout():
    text = os.environ.get('HOROVOD_START_TIMEOUT') or str(START_TIMEOUT)
    if not text.isdigit():
        raise InputError(f'HOROVOD_START_TIMEOUT must be whole seconds, got {text!r}')
    return int(text)


def _serve(task, entry, timeout):
    """On rank 0: serve, and return all ranks' entries as soon as all have come."""
    from horovod.runner.http.http_server import RendezvousHandler, RendezvousHTTPServer

    global _server
    alone = task.address.startswith('127.')
    deadline = time.monotonic() + PORT_TIMEOUT
    while True:
        try:
            server = RendezvousHTTPServer(('127.0.0.1' if alone else '', task.port), RendezvousHandler, 0)
            break
        except OSError as error:
            if time.monotonic() > deadline:
                raise InputError(f'port {task.port}, at which the ranks are to meet, cannot be had on {task.host} '
                                 f'({error.strerror}); set MASTER_PORT to a free one on all ranks') from None
            time.sleep(PAUSE)
    _server = server
    server.daemon_threads = True
    server.cache['meeting'] = {'job': _name(task)}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    keys, deadline = [str(rank) for rank in range(1, task.size)], time.monotonic() + timeout
    while True:
        with server.cache_lock:
            told = dict(server.cache['meeting'])
        missing = [key for key in keys if key not in told]
        if not missing:
            break
        if time.monotonic() > deadline:
            server.shutdown()
            server.server_close()
            names = f'rank{"s" * (len(missing) > 1)} {", ".join(missing[:8])}{" and others" * (len(missing) > 8)}'
            _server = None
            raise StartAgain(f'{names} of {task.size} did not come to port {task.port} of {task.host} within {timeout} '
                             f's; look at their messages and machines, or raise HOROVOD_START_TIMEOUT')
        time.sleep(PAUSE)
    plan = [entry, *(told[key].decode(errors='replace') for key in keys)]
    server.init(_slots([line.partition(' ')[2] for line in plan]))      # which forgets all that was told
    with server.cache_lock:
        server.cache['meeting'] = {'job': _name(task), 'plan': '\n'.join(plan).encode()}
    return plan


def _visit(task, entry, timeout):
    """On another rank: tell rank 0 who is here until its plan has this very process; returns all ranks' entries."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            job = _ask(task, 'GET', 'job')
            if job is not None and job != _name(task):
                raise InputError(f'port {task.port} of {task.address} serves another job; set MASTER_PORT to a free '
                                 f'one on all ranks')
            if job is not None:
                _ask(task, 'PUT', task.rank, entry.encode())
                plan = (_ask(task, 'GET', 'plan') or b'').decode(errors='replace').split('\n')
                if len(plan) == task.size and plan[task.rank] == entry:
                    return plan
        except OSError:         # it is not there yet, or no more
            pass
        except http.client.HTTPException:
            raise InputError(f'port {task.port} of {task.address} serves something else; set MASTER_PORT to a free '
                             f'one on all ranks') from None
        time.sleep(PAUSE)
    raise StartAgain(f'rank {task.rank} of {task.size} did not meet rank 0 at port {task.port} of {task.address} '
                     f'within {timeout} s; MASTER_ADDR and MASTER_PORT say where it is, HOROVOD_START_TIMEOUT how '
                     f'long to wait')


def leave(rank):
    """Tell the other ranks, for :func:`who_left`, that this one ends for an error with which it would end again."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        _ask_horovods('PUT', str(rank).encode())


def who_left():
    """The rank that has told by :func:`leave` that it ends, or None."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        found = _ask_horovods('GET')
        if found and found.isdigit():
            return int(found)
    return None


def serves():
    """Whether what the ranks tell each other ends with this process."""
    return _server is not None


def _ask(task, method, key, body=None):
    return _request(task.address, task.port, method, f'/meeting/{key}', body)


def _ask_horovods(method, body=None):
    address, port = (os.environ.get(f'HOROVOD_GLOO_RENDEZVOUS_{name}', '') for name in ('ADDR', 'PORT'))
    return _request(address, int(port), method, '/left/first', body) if address and port.isdigit() else None


def _request(address, port, method, path, body=None):
    connection = http.client.HTTPConnection(address, port, timeout=10)       # which knows of no proxy
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.read(LARGEST) if answer.status == 200 else None
    finally:
        connection.close()


def _name(task):
    return f'{task.job}, {task.size} ranks'.encode()


def _slots(hosts):
    """Horovod's description of each rank, from the machines of all in the order of ranks."""
    from horovod.runner.common.util.hosts import SlotInfo

    local = [hosts[:rank].count(host) for rank, host in enumerate(hosts)]
    return [SlotInfo(host, rank, local[rank], local[:rank].count(local[rank]), len(hosts), hosts.count(host),
                     local.count(local[rank])) for rank, host in enumerate(hosts)]


def _interface(address):
    """The network interface of the way to rank 0; None where there is none to be found.

    Gloo in Horovod 0.28.1 takes it for some of its connections, and for others what this machine's name stands for.
    Raises InputError where that is for this machine alone, as 127.0.1.1 in Debian's /etc/hosts is.
    """
    import psutil  # which Horovod needs as well
    own = _source(socket.gethostbyname(address))
    name, called = socket.gethostname(), '127.0.0.1'
    if not address.startswith('127.'):
        with contextlib.suppress(OSError):
            called = socket.gethostbyname(name)
    if called.startswith('127.') and not address.startswith('127.'):
        raise InputError(f'the name of this machine, {name}, stands for {called} here, where other machines do not '
                         f'find it: have it stand for an address of the network, in /etc/hosts')
    return next((interface for interface, addresses in psutil.net_if_addrs().items()
                 if any(each.address == own for each in addresses)), None)


def _source(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:      # nothing is sent
        probe.connect((address, 9))
        return probe.getsockname()[0]
