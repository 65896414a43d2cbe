"""Speed side by side: each contender in fresh processes, in turn, and ratios between them (table 2 of the paper)."""
import json
import os
import statistics
import tempfile
from pathlib import Path

from resnest.errors import InputError
from resnest.gluon.catalogue import get_model
from resnest.gluon.data import RecordSet
from resnest.gluon.inference.optimized.precision import require_cpu
from resnest.gluon.models import complexity
from resnest.gluon.models.resnet import SMALLEST_IMAGE
from resnest.gluon.nn import native
from resnest.gluon.tasks.detection import DETECTION
from resnest.gluon.training.recipe import require_bfloat16
from resnest.runtime import installed, usable_cores

from .detectors import GLUONCV_DETECTORS, work
from .foreign import TIMM
from .fresh_process import run_fresh
from .peers import FOREIGN, OTHERS, lacking, require, versions_in

__all__ = ['IMPLEMENTATIONS', 'compare', 'plan', 'ratio']

CONTENDER = Path(__file__).with_name('contender.py')
IMPLEMENTATIONS = ('ours', *OTHERS)
GLUONCV_MODELS = tuple(name for depth in (50, 101, 200, 269)
                       for name in (f'resnest{depth}', f'deeplab_resnest{depth}_ade'))
GLUONCV_DEFAULT = 'gluoncv, default threads'
BASELINES = {'ratio_to_gluoncv': 'gluoncv', 'ratio_to_our_float32': 'ours'}     # in float32


def plan(models, precisions=('float32',), modes=('inference',), implementations=None, batch_size=16, image_size=None,
         rec_dir=None, peers_python=None, say=None):
    """The contenders, as a list of their settings.

    Ours runs in every precision, optimized; gluoncv's network, and onnxruntime on our exported file, in float32.
    OpenVINO runs on that file in every precision, in int8 what nncf makes of it; PyTorch runs timm's network of the
    same architecture, compiled, in float32 and bfloat16; both on images from memory alone. gluoncv's runs with as many
    threads as ours, and with mxnet's default. A training step is forward, backward and update, with DropBlock on for
    ours and off for the others; ours is in float32, and where they are compiled a second time with native operators,
    with these in bfloat16 too where that is asked for. A segmentation network is timed with its auxiliary head in
    training alone. A detector is timed from a picture to its boxes, with its parts where the batch is one picture; it
    has no exported files.

    Parameters
    ----------
    models : list of str
    precisions : sequence of 'float32', 'bfloat16', 'int8'
    modes : sequence of 'inference', 'training'
    implementations : sequence of str
        Of :data:`IMPLEMENTATIONS`; those that are installed unless given.
    batch_size : int
    image_size : int
        Side in pixels; each model's own crop size unless given.
    rec_dir : str
        Shards: inference is timed a second time on batches that are decoded from them.
    peers_python : str
        The Python of the environment with OpenVINO and PyTorch; this one unless given.
    say : callable
        Called with a line where this CPU is not one for ours to train on in bfloat16, which is left out then.

    Raises InputError for an unknown model or precision, sizes that no network takes, shards that are not there, where
    such training is all that was asked for, and where nothing is left to time; MissingPackage for an implementation
    that is asked for and not installed.
    """
    if batch_size < 1:
        raise InputError(f'the batch size must be at least 1, got {batch_size}')
    if image_size is not None and image_size < SMALLEST_IMAGE:
        raise InputError(f'the image size must be at least {SMALLEST_IMAGE} px, got {image_size}')
    for precision in precisions:
        require_cpu(precision)
    versions = {**{name: installed(name) for name in OTHERS if name not in FOREIGN}, **versions_in(peers_python)}
    if implementations:
        require(implementations, precisions, versions, peers_python)
    else:
        implementations = IMPLEMENTATIONS
    if rec_dir:
        RecordSet(rec_dir, 'val')
    contenders = []
    for model in models:
        net = get_model(model)
        maps, boxes, spec = hasattr(net, 'prediction'), hasattr(net, 'box_heads'), net.spec
        if rec_dir and (maps or boxes):
            raise InputError(f'{model} is not for shards of classified images: leave out the folder of shards')
        if boxes and 'training' in modes:
            raise InputError(f'{model}: of detectors inference alone is timed; leave out training')
        size = image_size or (spec.short_side if boxes else spec.crop_size)
        parameters, macs = work(net, size) if boxes else complexity(net.prediction if maps else net, size)
        for mode in modes:
            for data in (None, rec_dir) if rec_dir and mode == 'inference' else (None,):
                contenders += [
                    {'model': model, 'implementation': implementation, 'precision': precision, 'mode': mode,
                     'data': 'records' if data else 'memory', 'rec_dir': data, 'threads': threads,
                     'batch_size': batch_size, 'image_size': size, 'crop_ratio': getattr(spec, 'crop_ratio', None),
                     'parameters': parameters, 'macs': macs, 'maps': maps, 'boxes': boxes, 'python': peers_python}
                    for implementation, precision, threads in _implementations(model, mode, precisions)
                    if implementation.partition(',')[0] in implementations
                    and not lacking(implementation.partition(',')[0], precision, versions)
                    and not (data and implementation in FOREIGN)]
    ours = [each for each in contenders if (each['implementation'], each['precision'], each['mode']) ==
            ('ours, native', 'bfloat16', 'training')]
    try:
        if ours:
            require_bfloat16('--precision')
    except InputError:
        if {*precisions, *modes} == {'bfloat16', 'training'}:
            raise
        contenders = [each for each in contenders if each not in ours]
        if say:
            say('notice: without our training in bfloat16: this CPU has neither AVX512-BF16 nor AMX')
    if not contenders:
        raise InputError(f"nothing to time: {', '.join(implementations)} cannot take part with {', '.join(models)} in "
                         f"{', '.join(precisions)} ({', '.join(modes)})")
    return contenders


def _implementations(model, mode, precisions):
    """``(implementation, precision, threads)`` of the contenders of one model."""
    cores = usable_cores()
    for precision in precisions if mode == 'inference' else ('float32',):
        yield 'ours', precision, cores
    if mode == 'training' and native.available():
        for precision in ('float32', *(each for each in precisions if each == 'bfloat16')):
            yield 'ours, native', precision, cores
    if model in GLUONCV_MODELS or model in GLUONCV_DETECTORS:
        yield 'gluoncv', 'float32', cores
        yield GLUONCV_DEFAULT, 'float32', 'default'
    if mode == 'inference' and model not in DETECTION:
        yield 'onnxruntime', 'float32', cores
        for precision in precisions:
            yield 'openvino', precision, cores
    if model in TIMM:
        for precision in precisions:
            if precision != 'int8':
                yield 'pytorch', precision, cores


def compare(contenders, rounds=3, steps=8, seconds=10, progress=None, keep=None, say=None):
    """Time the contenders of :func:`plan`; returns a list of dicts, one for each contender.

    A model's contenders run in turn, ``rounds`` times, each time in a fresh process that takes two batches to warm up
    (one where that alone takes a quarter of ``seconds``) and then ``steps`` timed ones (at least two; no more after
    ``seconds``). The figures are medians over the rounds, and a ratio comes with its least and most over the rounds,
    each of which compares two neighbours.

    Raises InputError, which names the contender, where one fails. ``say`` is called with one line before each process,
    ``progress`` after each that is timed, ``keep`` with the results so far after each model.
    """
    if rounds < 1 or steps < 1:
        raise InputError('rounds and steps must be at least 1')
    results = []
    for model in dict.fromkeys(settings['model'] for settings in contenders):
        mine = [settings for settings in contenders if settings['model'] == model]
        runs = [[] for _ in mine]
        with tempfile.TemporaryDirectory(prefix='resnest-benchmark-') as folder:
            files = {}
            for number in range(rounds):
                for settings, found in zip(mine, runs):
                    prepared = _prepared(settings, files, folder, say)
                    if say:
                        say(f"round {number + 1} of {rounds}: {settings['mode']}, {_named(settings)}")
                    found.append(_run({**settings, 'files': prepared, 'warmup': 2, 'steps': steps, 'seconds': seconds}))
                    if progress:
                        progress()
        keys = [key for key in contenders[0] if key not in ('rec_dir', 'crop_ratio', 'maps', 'boxes', 'python')]
        measured = [{**{key: settings[key] for key in keys}, **_figures(found, settings['batch_size'])}
                    for settings, found in zip(mine, runs)]
        results += [{**result, **_ratios(result, measured)} for result in measured]
        if keep:
            keep(results)
    return results


def _named(settings):
    return f"{settings['implementation']} {settings['model']} {settings['precision']}"


def _prepared(settings, files, folder, say):
    """The exported files of a contender, made when they are first asked for; None where it needs none."""
    implementation, precision = settings['implementation'], settings['precision']
    if settings['mode'] == 'training' or settings['boxes'] or implementation.startswith(('gluoncv', 'pytorch')):
        return None
    steps = [(implementation, precision)]
    if implementation == 'openvino':        # from the file that onnxruntime runs
        steps[:-1 if precision == 'int8' else None] = [('onnxruntime', 'float32')]
    source = None
    for key in steps:
        if key not in files:
            making = {**settings, 'implementation': key[0], 'precision': key[1], 'prepare': True, 'source': source,
                      'files': str(Path(folder, '-'.join(key)))}
            if say:
                say(f'making {_named(making)}')
            _run(making)
            files[key] = making['files']
        source = files[key]
    return source


def _run(settings):
    """What a fresh process prints about a contender."""
    environment = {key: value for key, value in os.environ.items()
                   if key not in ('OMP_NUM_THREADS', 'RESNEST_NUM_THREADS')}
    if settings['threads'] != 'default':
        environment['OMP_NUM_THREADS'] = str(settings['threads'])
    foreign = settings['implementation'] in FOREIGN
    python = settings['python'] if foreign else None
    if python:
        environment.pop('PYTHONPATH', None)     # of this environment
    printed = run_fresh(f'{_named(settings)} failed', CONTENDER, json.dumps({**settings, 'foreign': foreign}),
                        env=environment, python=python)
    return json.loads(printed.splitlines()[-1]) if not settings.get('prepare') else None


def _figures(runs, batch_size):
    rates = [batch_size / statistics.median(run['seconds']) for run in runs]
    seconds = sorted(second for run in runs for second in run['seconds'])
    return {'images_per_second': statistics.median(rates), 'images_per_second_rounds': rates,
            'latency_ms_median': 1e3 * statistics.median(seconds),
            'latency_ms_p90': 1e3 * seconds[min(len(seconds) - 1, int(0.9 * len(seconds)))],
            'peak_memory_mb': max(run['peak_memory_mb'] for run in runs),
            'native_operators': runs[0]['native_operators'],
            **({'parts': {name: statistics.median(run['parts'][name] for run in runs) for name in runs[0]['parts']}}
               if runs[0].get('parts') else {})}


def _ratios(result, measured):
    """To gluoncv's network with the same threads, to ours in float32, and for those of other frameworks to our fastest
    way in the same precision, where they were measured on the same."""
    wanted = [(name, implementation, 'float32') for name, implementation in BASELINES.items()]
    if result['implementation'] in FOREIGN:
        # The later one stays.
        wanted += [('ratio_to_ours', name, result['precision']) for name in ('ours', 'ours, native')]
    ratios = {}
    for name, implementation, precision in wanted:
        other = next((one for one in measured if one['implementation'] == implementation and
                      one['precision'] == precision and
                      all(one[key] == result[key] for key in ('mode', 'data', 'image_size'))), None)
        if other and other is not result:
            ratios[name] = dict(zip(('median', 'least', 'most'), ratio(result, other)))
    return ratios


def ratio(ours, theirs):
    """``(median, least, most)`` of the ratio of images per second, round by round."""
    ratios = [a / b for a, b in zip(ours['images_per_second_rounds'], theirs['images_per_second_rounds'])]
    return statistics.median(ratios), min(ratios), max(ratios)
