"""The model of :mod:`.model` beside what was measured, and its forecast, as tables."""
import math

from .model import Link, crowding, fit_link, forecast, ring_seconds, step_seconds

__all__ = ['compare', 'forecast_rows', 'format_forecast', 'format_measured']

MEGABYTE = 2 ** 20


def compare(cases, cores):
    """Fit the model to measured cases of one thread per rank, and set its steps beside them.

    ``cases`` are those of :func:`resnest.gluon.speed.scaling_measurement.measure_cases`, with one of a single rank
    among them; the ranks share ``cores``. Returns a dict: ``cases``, each with ``images_per_second`` and, for one
    thread per rank, ``model_exchange`` and ``model_step``; ``cores``; ``latency`` (s) and ``bandwidth`` (bytes/s) of
    the link, None without several ranks.
    """
    rows = [(case['ranks'], payload, case[name]) for case in cases if case['ranks'] > 1
            for name, payload in (('round', 8), ('megabyte', MEGABYTE), ('exchange', 4 * case['parameters']))]
    link = fit_link(rows, cores) if rows else Link(0.0, math.inf)
    alone = next((case['compute'] for case in cases if (case['ranks'], case['threads']) == (1, 1)), None)
    for case in cases:
        case['images_per_second'] = case['ranks'] * case['batch_size'] / case['step']
        if case['threads'] == 1 and alone:
            crowd = crowding(case['ranks'], 1, cores)
            case['model_exchange'] = crowd * ring_seconds(4 * case['parameters'], case['ranks'], link)
            case['model_step'] = step_seconds(crowd * alone, case['model_exchange'])
    return {'cases': cases, 'cores': cores, 'latency': link.latency if rows else None,
            'bandwidth': link.bandwidth if rows else None}


def format_measured(found):
    """A Markdown table of what :func:`compare` returns, and the link."""
    lines = ['| ranks × threads | batch of a rank | images/s | steps/s | step (ms) | model (ms) | computing (ms) | '
             'exchange (ms) | model (ms) | CPU per step and rank (ms) |',
             '| --- ' + '| ---: ' * 9 + '|']
    for case in found['cases']:
        cells = [f"{case['ranks']} × {case['threads']}", str(case['batch_size']), f"{case['images_per_second']:.1f}",
                 f"{1 / case['step']:.2f}", *(_ms(case.get(name)) for name in (
                     'step', 'model_step', 'compute', 'exchange', 'model_exchange', 'cpu'))]
        lines.append(f"| {' | '.join(cells)} |")
    parameters = found['cases'][0]['parameters']
    lines += ['', f'{parameters:,} parameters, {4 * parameters / 1e6:.1f} MB of gradients; {found["cores"]} cores.']
    if found['latency'] is not None:
        lines.append(f"Fitted: latency {1e6 * found['latency']:.0f} µs, bandwidth {found['bandwidth'] / 1e9:.3g} GB/s "
                     f"({8 * found['bandwidth'] / 1e9:.3g} Gbit/s) of each link.")
    whole = next((case for case in found['cases'] if case['ranks'] == 1 and case['threads'] > 1), None)
    parts = whole and next((case for case in found['cases'] if case['ranks'] == whole['threads']), None)
    if parts:
        lines.append(f"{parts['ranks']} ranks of one thread reach "
                     f"{parts['images_per_second'] / whole['images_per_second']:.2f} of one rank of "
                     f"{whole['threads']} threads with the same global batch.")
    return '\n'.join(lines)


def forecast_rows(ranks, gbits, latency_us, per_host, local_gbits, local_latency_us, parameters, images,
                  compute_seconds, hidden, input_rate):
    """Rows of :func:`.model.forecast` with and without float16 compression."""
    local = Link.of(local_gbits, local_latency_us)
    return [{'gbits': speed, 'fp16': fp16,
             **forecast(count, parameters, images, compute_seconds, Link.of(speed, latency_us), local, per_host,
                        hidden, fp16, input_rate)}
            for speed in gbits for fp16 in (False, True) for count in ranks]


def format_forecast(rows):
    """A Markdown table of :func:`forecast_rows`."""
    lines = ['| Gbit/s | gradients | ranks | MB sent per step | exchange (ms) | step (ms) | images/s | efficiency |',
             '| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |']
    for row in rows:
        cells = [f"{row['gbits']:g}", 'float16' if row['fp16'] else 'float32', str(row['ranks']),
                 f"{row['bytes'] / 1e6:.0f}", _ms(row['exchange']), _ms(row['seconds']),
                 f"{row['images_per_second']:.0f}", f"{row['efficiency']:.0%}"]
        lines.append(f"| {' | '.join(cells)} |")
    return '\n'.join(lines)


def _ms(seconds):
    return '' if seconds is None else f'{1000 * seconds:.1f}' if seconds < 0.1 else f'{1000 * seconds:.0f}'
