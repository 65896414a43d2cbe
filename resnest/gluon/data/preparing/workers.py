"""Tasks shared out to forked processes, which never outlive their parent."""
import ctypes
import os
import signal
import sys
import traceback
from collections import deque
from multiprocessing import connection, get_context

from resnest.errors import InputError

__all__ = ['in_processes']

PR_SET_PDEATHSIG = 1        # prctl(2)


def in_processes(work, tasks, workers, advance):
    """Yield ``(task, work(task, count))`` for each task as it is finished, by that many forked processes.

    ``work`` reports progress by ``count(n)``; ``advance(n)`` is called here with what all of them have reported since.
    The processes inherit the caller's memory, so ``work`` may use large objects without a copy. They end when the
    caller stops, raises or is killed. An InputError in a process is raised here again; one that dies raises
    InputError that says so.
    """
    context = get_context('fork')
    counts = context.RawArray('q', max(1, min(workers, len(tasks))))
    waiting, idle, busy, counted = deque(tasks), [], {}, 0
    try:
        for number in range(len(counts)):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(work, theirs, counts, number, os.getpid()), daemon=True)
            process.start()
            theirs.close()
            idle.append((process, ours))
        while waiting or busy:
            while waiting and idle:
                process, pipe = idle.pop()
                pipe.send(waiting[0])
                busy[process] = pipe, waiting.popleft()
            handles = [handle for process, (pipe, _) in busy.items() for handle in (pipe, process.sentinel)]
            ready = connection.wait(handles, timeout=0.2)
            advance(sum(counts) - counted)
            counted = sum(counts)
            for process, (pipe, task) in list(busy.items()):
                if pipe in ready or process.sentinel in ready:
                    result = _receive(process, pipe)
                    del busy[process]
                    idle.append((process, pipe))
                    yield task, result
        advance(sum(counts) - counted)
    finally:
        for process, _ in [*idle, *((process, None) for process in busy)]:
            process.kill()
            process.join()


def _receive(process, pipe):
    try:
        kind, value = pipe.recv()
    except (EOFError, ConnectionError):
        process.join()
        code = process.exitcode
        reason = signal.Signals(-code).name if code < 0 else f'exit code {code}'
        raise InputError(f'a worker process died ({reason}); if memory ran out, use fewer --num-workers. '
                         f'What is finished is kept: run again') from None
    if kind == 'refused':
        raise InputError(value)
    if kind == 'defect':
        raise RuntimeError(f'in a worker process:\n{value}')
    return value


def _serve(work, pipe, counts, number, parent):
    signal.signal(signal.SIGINT, signal.SIG_IGN)        # Ctrl-C reaches the parent, which ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)

    def count(records):
        counts[number] += records

    while True:
        task = pipe.recv()
        try:
            message = 'done', work(task, count)
        except InputError as error:
            message = 'refused', str(error)
        except Exception:
            message = 'defect', traceback.format_exc()
        pipe.send(message)
