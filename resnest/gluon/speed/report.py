"""The benchmark's results as a table and as the paper's picture of accuracy against latency (figure 1)."""
import platform
import re
from pathlib import Path

from resnest.errors import InputError
from resnest.gluon.figures import figure_file
from resnest.gluon.models import VARIANTS
from resnest.runtime import installed, usable_cores

from .peers import versions_in

__all__ = ['draw', 'drawable', 'format_machine', 'format_table', 'machine']

COLUMNS = ('model', 'px', 'M param', 'GMACs', 'mode', 'data', 'implementation', 'precision', 'operators', 'images/s',
           'ms median', 'ms p90', 'MB', 'x gluoncv', 'x our float32', 'x ours')
COLORS = {('ours', 'float32'): 'tab:blue', ('ours', 'bfloat16'): 'tab:green', ('ours', 'int8'): 'tab:red',
          ('gluoncv', 'float32'): 'tab:gray', ('onnxruntime', 'float32'): 'tab:orange',
          ('openvino', 'float32'): 'tab:purple', ('openvino', 'bfloat16'): 'tab:pink',
          ('openvino', 'int8'): 'tab:brown', ('pytorch', 'float32'): 'tab:olive', ('pytorch', 'bfloat16'): 'tab:cyan'}


def format_table(results):
    """The results as lines of text; ratios of images per second as median (least to most) over the rounds."""
    rows = [COLUMNS] + [
        (result['model'], str(result['image_size']), f"{result['parameters'] / 1e6:.2f}", f"{result['macs'] / 1e9:.2f}",
         result['mode'], result['data'], result['implementation'], result['precision'],
         'native' if result['native_operators'] else '', f"{result['images_per_second']:.2f}",
         f"{result['latency_ms_median']:.0f}", f"{result['latency_ms_p90']:.0f}",
         str(result['peak_memory_mb']), _spread(result.get('ratio_to_gluoncv')),
         _spread(result.get('ratio_to_our_float32')), _spread(result.get('ratio_to_ours'))) for result in results]
    # What is the same in every line goes without saying, unless it is a figure; so do operators of mxnet alone.
    shown = [index for index, name in enumerate(COLUMNS) if name not in ('mode', 'data', 'operators', 'x ours')
             or {row[index] for row in rows[1:]} - {rows[1][index] if name in ('mode', 'data') else ''}]
    widths = [max(len(row[index]) for row in rows) for index in shown]
    lines = ['  '.join(row[index].ljust(width) for index, width in zip(shown, widths)).rstrip() for row in rows]
    return '\n'.join(lines + [_parts(result) for result in results if result.get('parts')])


def _parts(result):
    """What the parts of a detector take, and their share of the whole."""
    parts, whole = result['parts'], sum(result['parts'].values())
    return f"{result['model']} {result['precision']}, ms: " + ', '.join(
        f'{name} {1e3 * seconds:.0f} ({100 * seconds / whole:.1f} %)' for name, seconds in parts.items())


def _spread(ratio):
    return '{median:.2f} ({least:.2f} to {most:.2f})'.format(**ratio) if ratio else ''


def drawable(results, path):
    """Those of the results, or of the plan for them, that :func:`draw` shows in ``path``.

    Raises InputError where none is of inference from memory of a model with a published accuracy.
    """
    shown = [result for result in results if result['mode'] == 'inference' and result['data'] == 'memory'
             and result['model'] in VARIANTS and VARIANTS[result['model']].top1
             and (result['implementation'], result['precision']) in COLORS]
    if not shown:
        raise InputError(f'{path}: nothing to draw: the picture needs --mode inference and a model with a published '
                         'accuracy')
    return shown


def draw(results, path):
    """Published top-1 against the latency per image, a line for each implementation and precision, as ``path``.

    Raises InputError where :func:`drawable` does.
    """
    shown = drawable(results, path)
    with figure_file(path, dpi=150, figsize=(9, 5.5)) as (_, axes):
        from matplotlib import ticker
        for (implementation, precision), color in COLORS.items():
            mine = sorted((result for result in shown
                           if (result['implementation'], result['precision']) == (implementation, precision)),
                          key=lambda result: VARIANTS[result['model']].top1)
            name = f'{implementation}, {precision}'
            for fast in (False, True):
                points = [(result['latency_ms_median'] / result['batch_size'], VARIANTS[result['model']].top1)
                          for result in mine if ('_fast_' in result['model']) == fast]
                if points:
                    axes.plot(*zip(*points), '^' if fast else 'o-', color=color, markersize=6,
                              label=name)
                    name = None         # one line of the legend for both
        axes.set_xscale('log')
        axes.xaxis.set_major_formatter(ticker.ScalarFormatter())
        axes.xaxis.set_minor_formatter(ticker.NullFormatter())
        axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        _label(axes, shown)
        batches = '/'.join(sorted({str(result['batch_size']) for result in shown}))
        own = all(result['image_size'] == VARIANTS[result['model']].crop_size for result in shown)
        sizes = 'each model at its own size' if own else f"{shown[0]['image_size']} px"
        axes.set_xlabel(f'milliseconds an image (batch {batches}, {usable_cores()} cores, {sizes})')
        axes.set_ylabel('published ImageNet top-1 of the float32 weights (%)')
        axes.grid(alpha=0.3, which='both')
        axes.legend(loc='lower right', fontsize=9)


def _label(axes, shown):
    """Each model's name once, at its fastest point."""
    fastest = {}
    for result in shown:
        latency = result['latency_ms_median'] / result['batch_size']
        fastest[result['model']] = min(latency, fastest.get(result['model'], latency))
    bottom, top = axes.get_ylim()
    step, lowest = (top - bottom) / 32, bottom
    for model, latency in sorted(fastest.items(), key=lambda item: VARIANTS[item[0]].top1):
        if '_fast_' in model:       # a column beside the points, which lie close together
            place, height = min(fastest.values()) / 1.5, max(VARIANTS[model].top1, lowest)
            lowest = height + step
        else:
            place, height = latency / 1.02, VARIANTS[model].top1 + 2.5 * step
        axes.annotate(model.replace('resnest50_', ''), (latency, VARIANTS[model].top1), (place, height), ha='right',
                      va='center', fontsize=8, arrowprops={'arrowstyle': '-', 'lw': 0.4, 'shrinkA': 0, 'shrinkB': 4,
                                                        'relpos': (1, 0.5)})
    axes.set(xlim=(min(fastest.values()) / 3.2, None), ylim=(bottom, top + 2.5 * step))


def machine(peers_python=None):
    """The processor and the versions behind the figures."""
    cpu = re.search(r'^model name\s*: (.*)$', Path('/proc/cpuinfo').read_text(), re.MULTILINE)
    return {'cpu': cpu[1] if cpu else platform.processor(), 'cores': usable_cores(),
            'python': platform.python_version(),
            **{name: installed(name) for name in ('mxnet', 'gluoncv', 'onnxruntime', 'numpy')},
            **versions_in(peers_python)}


def format_machine(found):
    """What :func:`machine` returns as one line of text: all contenders but those with default threads have one for each
    core."""
    versions = ', '.join(f'{name} {found[name]}' for name in found if name not in ('cpu', 'cores') and found[name])
    return f"{found['cpu']}; {found['cores']} threads; {versions}"
