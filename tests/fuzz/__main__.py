"""Run cases at the doors, each door in processes of its own; a finding is told with the words that repeat it."""
import argparse
import contextlib
import importlib
import io
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from pathlib import Path

import numpy as np

from resnest.errors import InputError, MissingPackage

HERE = Path(__file__).parent
DOORS = sorted(path.stem for path in HERE.glob('*.py') if path.stem not in ('__init__', '__main__', 'mutations'))
MEMORY = 3 << 30        # bytes that a case may have on top of what is there when it starts
SECONDS = 60            # that a case may take


def main():
    parser = argparse.ArgumentParser(prog='python -m tests.fuzz', description=__doc__)
    parser.add_argument('--cases', type=int, default=300, help='of each door (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=1, help='(default: %(default)s)')
    parser.add_argument('--door', nargs='+', choices=DOORS, default=DOORS, help='all unless given')
    parser.add_argument('--case', type=int, help='this one alone, in this process, with its traceback')
    options = parser.parse_args()
    if options.case is not None:
        return run_case(importlib.import_module(f'tests.fuzz.{options.door[0]}'), options.seed, options.case, True)
    findings = []
    for door in options.door:
        start = time.perf_counter()
        found = run_door(door, options.seed, options.cases)
        print(f'{door}: {options.cases} cases, {len(found)} findings, {time.perf_counter() - start:.0f} s', flush=True)
        findings += found
    for door, case, what in findings:
        print(f'\npython -m tests.fuzz --seed {options.seed} --door {door} --case {case}\n  {what}')
    return int(bool(findings))


def run_door(door, seed, cases):
    """Findings ``(door, case, what)``: a process runs case after case, and another one goes on where it ended."""
    found, first = [], 0
    while first < cases:
        mine, theirs = multiprocessing.get_context('spawn').Pipe(False)
        process = multiprocessing.get_context('spawn').Process(target=serve, args=(door, seed, first, cases, theirs))
        process.start()
        theirs.close()
        case = None
        while first < cases:
            if not mine.poll(SECONDS if case is not None else 300):
                found.append((door, first, f'hangs for more than {SECONDS} s'))
                process.kill()
                break
            try:
                case, what = mine.recv()
            except EOFError:
                process.join()
                found.append((door, first, f'ended the process: exit code {process.exitcode}'))
                break
            if what == 'begun':
                continue
            first = case + 1
            if what:
                found.append((door, case, what))
        else:
            first -= 1
        first += 1
        process.join()
    return found


def serve(door, seed, first, cases, pipe):
    """Run the cases from ``first`` on and tell of each."""
    os.setpgrp()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    warnings.simplefilter('ignore')
    module = importlib.import_module(f'tests.fuzz.{door}')
    for case in range(first, cases):
        pipe.send((case, 'begun'))
        pipe.send((case, run_case(module, seed, case)))
    os._exit(0)


def run_case(module, seed, case, loud=False):
    """What is wrong with a case, or None."""
    rng = np.random.default_rng((seed, zlib.crc32(module.__name__.encode()), case, 1))
    folder = Path(tempfile.mkdtemp(prefix='fuzz-'))
    before = Path.cwd()
    page = resource.getpagesize()
    used = int(Path('/proc/self/statm').read_text().split()[0]) * page
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    printed = io.StringIO()
    try:
        with contextlib.nullcontext() if loud else contextlib.redirect_stdout(printed), \
                contextlib.nullcontext() if loud else contextlib.redirect_stderr(printed):
            module.case(rng, folder)
    except (InputError, MissingPackage) as error:
        if loud:
            print(f'refused: {error}')
        lines = str(error).splitlines() or ['']
        return None if len(lines) <= 2 and lines[0] and len(str(error)) < 2000 else f'a message of {lines!r:.300}'
    except BaseException as error:
        if loud:
            traceback.print_exc()
        return f'{type(error).__name__}: {error}'[:400]
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_AS)[1]))
        os.chdir(before)
        shutil.rmtree(folder, ignore_errors=True)
    return None


if __name__ == '__main__':
    # Under its full name: a spawned process does not find what is defined in a module run by ``-m``.
    sys.exit(importlib.import_module('tests.fuzz.__main__').main())
