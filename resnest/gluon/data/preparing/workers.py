"""Tasks shared out to forked processes, which never outlive their parent."""
import os
import signal
import traceback
from collections import deque
from multiprocessing import connection, get_context

from resnest.errors import InputError
from resnest.untrusted import end_with_parent

__all__ = ['in_processes']


def in_processes(work, tasks, workers, advance, told=str):
    """Yield ``(task, work(task, count))`` for each task as it is finished, by that many forked processes.

    ``work`` reports progress by ``count(n)``; ``advance(n)`` is called here with what all of them have reported since.
    The processes inherit the caller's memory, so ``work`` may use large objects without a copy. They end when the
    caller stops, raises or is killed. An InputError in a process is raised here again. InputError, too, where a
    process dies or runs out of memory, with ``told(task)`` for what it was at, and where none can be started.
    """
    context = get_context('fork')
    counts = context.RawArray('q', max(1, min(workers, len(tasks))))
    waiting, idle, busy, counted = deque(tasks), [], {}, 0
    try:
        for number in range(len(counts)):
            try:
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(work, theirs, counts, number, os.getpid(), told),
                                          daemon=True)
                process.start()
            except OSError as error:
                raise InputError(f'worker process {number + 1} of {len(counts)} cannot be started ({error.strerror}); '
                                 f'use fewer --num-workers') from None
            theirs.close()
            idle.append((process, ours))
        while waiting or busy:
            while waiting and idle:
                process, pipe = idle.pop()
                try:
                    pipe.send(waiting[0])
                except ConnectionError:
                    raise _dead(process, told(waiting[0])) from None
                busy[process] = pipe, waiting.popleft()
            handles = [handle for process, (pipe, _) in busy.items() for handle in (pipe, process.sentinel)]
            ready = connection.wait(handles, timeout=0.2)
            advance(sum(counts) - counted)
            counted = sum(counts)
            for process, (pipe, task) in list(busy.items()):
                if pipe in ready or process.sentinel in ready:
                    result = _receive(process, pipe, told(task))
                    del busy[process]
                    idle.append((process, pipe))
                    yield task, result
        advance(sum(counts) - counted)
    finally:
        for process, _ in [*idle, *((process, None) for process in busy)]:
            process.kill()
            process.join()


def _receive(process, pipe, task):
    try:
        kind, value = pipe.recv()
    except (EOFError, ConnectionError):
        raise _dead(process, task) from None
    if kind == 'refused':
        raise InputError(value)
    if kind == 'defect':
        raise RuntimeError(f'in a worker process:\n{value}')
    return value


def _dead(process, task):
    process.join()
    code = process.exitcode
    reason = signal.Signals(-code).name if code < 0 else f'exit code {code}'
    return InputError(f'a worker process died ({reason}) at {task} (process {process.pid}); if memory ran '
                      f'out, use fewer --num-workers. What is finished is kept: run again')


def _serve(work, pipe, counts, number, parent, told):
    signal.signal(signal.SIGINT, signal.SIG_IGN)        # Ctrl-C reaches the parent, which ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent(parent)

    def count(records):
        counts[number] += records

    while True:
        task = pipe.recv()
        try:
            message = 'done', work(task, count)
        except InputError as error:
            message = 'refused', str(error)
        except MemoryError:
            message = 'refused', f'memory ran out at {told(task)}; use fewer --num-workers'
        except Exception:
            message = 'defect', traceback.format_exc()
        pipe.send(message)
