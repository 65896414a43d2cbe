"""Time and memory of preparing, and how both grow with the number of images.

Archives in the official layout are made in a temporary folder, one after another; each is prepared by a process of its
own (``python -m resnest.gluon.speed.preparing SETTINGS``), which does what ``resnest prepare`` does.
"""
import json
import re
import resource
import sys
import tempfile
import time
from pathlib import Path

from resnest.errors import InputError
from resnest.gluon.data.preparing.imagenet import find_source
from resnest.gluon.data.preparing.preparation import Options, prepare

from .fresh_process import run_fresh
from .synthetic import write_archive

__all__ = ['GROWTH', 'format_preparing', 'measure_preparing']

CLASSES = 10
GROWTH = (1, 2, 4)          # times the number of images


def measure_preparing(images=1000, workers=(2,), rounds=3, keep=None, progress=None):
    """Prepare synthetic archives of 1, 2 and 4 times ``images`` training images (500 × 375 px) with each number of
    ``workers``; returns a list of dicts. The shards of the smallest stay in the folder ``keep`` where one is given.

    ``seconds`` is the least of the rounds, indexing included, the start of Python not; ``cpu_seconds`` that of main
    process and workers together, which other load on the machine disturbs less; ``peak_megabytes`` the largest resident
    memory (10^6 bytes) that any process of the command had, what it shares with others included.
    """
    if images < CLASSES:
        raise InputError(f'--prepare-images must be 0 or at least {CLASSES}, one image per class; got {images}')
    results = []
    for times in GROWTH:
        with tempfile.TemporaryDirectory(prefix='preparing-') as folder:
            write_archive(Path(folder), times * images, CLASSES)
            for count in workers:
                found = []
                for number in range(rounds):
                    last = keep and times == 1 and count == workers[-1] and number == rounds - 1
                    found.append(_run(folder, keep if last else f'{folder}/{count}-{number}', count))
                    if progress:
                        progress()
                if len({tuple(row['sha256']) for row in found}) != 1:
                    raise RuntimeError(f'preparing {times * images} images twice gave different shards')
                seconds = [row['seconds'] for row in found]
                row = {'what': 'preparing', 'workers': count, 'images': found[0]['images'],
                       'bytes': found[0]['bytes'], 'seconds': min(seconds), 'seconds_rounds': seconds,
                       'cpu_seconds': min(row['cpu_seconds'] for row in found),
                       'peak_megabytes': max(row['peak_megabytes'] for row in found)}
                results.append({**row, 'images_per_second': row['images'] / row['seconds']})
    return results


def _run(source, target, workers):
    printed = run_fresh('preparing', '-m', 'resnest.gluon.speed.preparing',
                        json.dumps({'source': str(source), 'target': str(target), 'workers': workers}))
    return json.loads(printed.splitlines()[-1])


def format_preparing(results):
    """The results as lines of text, with the growth from the fewest images with the same number of workers."""
    lines = [f'{"preparing":<11}{"workers":<9}{"seconds":>7}{"CPU s":>7}{"images/s":>10}{"peak MB":>9}  growth']
    for result in results:
        least = min((other for other in results if other['workers'] == result['workers']),
                    key=lambda other: other['images'])
        growth = '' if least is result else ', '.join(
            f'{name} {result[key] / least[key]:.2f} x' for name, key in
            (('images', 'images'), ('time', 'seconds'), ('CPU', 'cpu_seconds'), ('memory', 'peak_megabytes')))
        lines.append(f"{result['images']:<11}{result['workers']:<9}{result['seconds']:>7.2f}"
                     f"{result['cpu_seconds']:>7.2f}{result['images_per_second']:>10.0f}"
                     f"{result['peak_megabytes']:>9.0f}  {growth}".rstrip())
    return '\n'.join(lines)


def peak_memory():
    """The largest resident memory in bytes that this process, or one that it has waited for, has had.

    The process's own is read from /proc: getrusage also counts the time before exec, as another program.
    """
    own = re.search(r'VmHWM:\s+(\d+) kB', Path('/proc/self/status').read_text())
    return 1024 * max(int(own[1]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def cpu_time():
    """Seconds of CPU that this process and those that it has waited for have used."""
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, (resource.RUSAGE_SELF,
                                                                                  resource.RUSAGE_CHILDREN)))


def main(settings):
    """Prepare one archive; prints what it took."""
    start, used = time.perf_counter(), cpu_time()
    manifest = prepare(find_source(settings['source']), settings['target'], Options(), 0, settings['workers'])
    seconds, used = time.perf_counter() - start, cpu_time() - used
    shards = [shard for split in manifest['splits'].values() for shard in split['shards']]
    print(json.dumps({'seconds': seconds, 'cpu_seconds': used, 'images': sum(shard['records'] for shard in shards),
                      'bytes': sum(shard['bytes'] for shard in shards), 'sha256': [shard['sha256'] for shard in shards],
                      'peak_megabytes': peak_memory() / 1e6}))


if __name__ == '__main__':
    main(json.loads(sys.argv[1]))
