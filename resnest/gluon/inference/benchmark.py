"""Speed side by side: each contender in fresh processes, in turn, and ratios between them (table 2 of the paper)."""
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from pathlib import Path

from resnest.errors import InputError, MissingPackage
from resnest.runtime import installed, usable_cores

from ..models import complexity, get_model
from ..models.resnet import SMALLEST_IMAGE
from ..nn import native

__all__ = ['compare', 'format_table', 'machine']

CONTENDER = Path(__file__).with_name('contender.py')
# (implementation, threads): None leaves mxnet, or this package, its default.
CONTENDERS = (('ours', None), ('ours, native', None), ('gluoncv', None),
              ('ours', 'all'), ('ours, native', 'all'), ('gluoncv', 'all'))


def compare(models, batch_size=16, image_size=224, modes=('inference',), rounds=3, steps=8, progress=None):
    """Time every model in every mode, ours and gluoncv's, at default and at equal numbers of threads.

    Ours runs a second time with the native operators where they are compiled. Each round runs
    every contender once in a fresh process; a contender's figures are medians over the rounds.

    Parameters
    ----------
    models : list of str
    batch_size : int
    image_size : int
        Side in pixels.
    modes : sequence of 'inference' and 'training'
        A training step is forward, backward and update, with DropBlock on for ours and none for gluoncv's.
    rounds, steps : int
        Fresh processes a contender, and timed batches in each.
    progress : callable
        Called after each process.

    Returns a list of dicts, one a contender. Raises InputError for sizes that no network takes, MissingPackage
    without gluoncv.
    """
    if batch_size < 1 or rounds < 1 or steps < 1:
        raise InputError('batch size, rounds and steps must be at least 1')
    if image_size < SMALLEST_IMAGE:
        raise InputError(f'the image size must be at least {SMALLEST_IMAGE} px, got {image_size}')
    if installed('gluoncv') is None:
        raise MissingPackage("gluoncv, to compare with, is not installed: pip install 'resnest[transfer]'")
    results = []
    counted = {model: complexity(get_model(model), image_size) for model in models}    # unknown names first
    for model, (parameters, macs) in counted.items():
        for mode in modes:
            contenders = [pair for pair in CONTENDERS if _takes_part(pair[0], model)]
            runs = {pair: [] for pair in contenders}
            for _ in range(rounds):
                for implementation, threads in contenders:
                    settings = {'implementation': implementation, 'model': model, 'batch_size': batch_size,
                                'image_size': image_size, 'training': mode == 'training', 'warmup': 2, 'steps': steps}
                    runs[implementation, threads].append(_run(settings, threads))
                    if progress:
                        progress()
            for (implementation, threads), found in runs.items():
                results.append({'model': model, 'implementation': implementation, 'precision': 'float32', 'mode': mode,
                                'threads': threads or 'default', 'batch_size': batch_size, 'image_size': image_size,
                                'parameters': parameters, 'macs': macs, **_figures(found, batch_size)})
    return results


def _takes_part(implementation, model):
    if implementation == 'gluoncv':     # which has the four larger networks only
        return '_fast_' not in model and model not in ('resnest14', 'resnest26')
    return implementation == 'ours' or native.available()


def _run(settings, threads):
    environment = {key: value for key, value in os.environ.items()
                   if key not in ('OMP_NUM_THREADS', 'RESNEST_NUM_THREADS')}
    if threads == 'all':
        environment['OMP_NUM_THREADS'] = str(usable_cores())
    done = subprocess.run([sys.executable, '-I', '-W', 'ignore', str(CONTENDER), json.dumps(settings)],
                          env=environment, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ['no message'])[-1]
        raise InputError(f"{settings['implementation']} {settings['model']} failed: {said}")
    return json.loads(done.stdout.splitlines()[-1])


def _figures(runs, batch_size):
    rates = [batch_size / statistics.median(run['seconds']) for run in runs]
    seconds = sorted(second for run in runs for second in run['seconds'])
    return {'images_per_second': statistics.median(rates), 'images_per_second_rounds': rates,
            'latency_ms_median': 1e3 * statistics.median(seconds),
            'latency_ms_p90': 1e3 * seconds[min(len(seconds) - 1, int(0.9 * len(seconds)))],
            'peak_memory_mb': max(run['peak_memory_mb'] for run in runs)}


def ratio(ours, theirs):
    """``(median, least, most)`` of the ratio of images per second, round by round."""
    ratios = [a / b for a, b in zip(ours['images_per_second_rounds'], theirs['images_per_second_rounds'])]
    return statistics.median(ratios), min(ratios), max(ratios)


def format_table(results):
    """The results as lines of text, with the ratio to gluoncv's network at the same threads."""
    rows = [('model', 'mode', 'threads', 'implementation', 'images/s', 'ms median', 'ms p90', 'MB', 'ratio to gluoncv')]
    for result in results:
        same = [other for other in results if other['implementation'] == 'gluoncv' and
                all(other[key] == result[key] for key in ('model', 'mode', 'threads'))]
        text = ''
        if result['implementation'] != 'gluoncv' and same:
            text = '{:.2f} ({:.2f} to {:.2f})'.format(*ratio(result, same[0]))
        rows.append((result['model'], result['mode'], str(result['threads']), result['implementation'],
                     f"{result['images_per_second']:.2f}", f"{result['latency_ms_median']:.0f}",
                     f"{result['latency_ms_p90']:.0f}", str(result['peak_memory_mb']), text))
    widths = [max(map(len, column)) for column in zip(*rows)]
    return '\n'.join('  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def machine():
    """The processor and the versions behind the figures."""
    cpu = re.search(r'^model name\s*: (.*)$', Path('/proc/cpuinfo').read_text(), re.MULTILINE)
    return {'cpu': cpu[1] if cpu else platform.processor(), 'cores': usable_cores(),
            'python': platform.python_version(), **{name: installed(name) for name in ('mxnet', 'gluoncv', 'numpy')}}
