"""Forecast what many GPUs gain by a model of a training step; --measure compares it with ranks of this machine."""
import argparse
import json

from resnest.arguments import Parser, number, plain_path, plain_text, whole
from resnest.files import replace_file, require_writable

FORECAST = ('ranks', 'gbits', 'latency_us', 'per_host', 'local_gbits', 'local_latency_us', 'parameters', 'images',
            'compute_seconds', 'hidden', 'input_rate')
RATE, LATENCY = number(1e-6, 1e9), number(0, 1e9)


def main(arguments=None):
    parser = Parser(description=__doc__)
    here = parser.add_argument_group('measured here', 'with --measure alone')
    here.add_argument('--measure', type=whole(1, 1024), nargs='+', metavar='N',
                      help='numbers of ranks to time, one thread each, such as 1 2 4')
    here.add_argument('--model', type=plain_text, default='resnest14',
                      help='network; resnest models lists them')
    here.add_argument('--image-size', type=whole(1, 1 << 14), default=64, help='image side in pixels')
    here.add_argument('--batch-size', type=whole(1, 1 << 16), default=16, help='images of a step on each rank')
    here.add_argument('--steps', type=whole(1), default=5, help='steps that are timed together')
    here.add_argument('--rounds', type=whole(1), default=3, help='fresh processes of each number of ranks')
    here.add_argument('--result', type=plain_path, help=argparse.SUPPRESS)
    gpus = parser.add_argument_group('forecast', "the reader's own inputs")
    gpus.add_argument('--ranks', type=whole(1, 10 ** 6), nargs='+', default=[8, 16, 32, 64], metavar='N',
                      help='ranks, one on each GPU')
    gpus.add_argument('--gbits', type=RATE, nargs='+', default=[10, 100], help="Gbit/s of a machine's network")
    gpus.add_argument('--latency-us', type=LATENCY, default=30, help='microseconds of a message between machines')
    gpus.add_argument('--per-host', type=whole(1, 10 ** 6), default=8, help='GPUs of a machine')
    gpus.add_argument('--local-gbits', type=RATE, default=80, help='Gbit/s between GPUs of a machine')
    gpus.add_argument('--local-latency-us', type=LATENCY, default=10, help='microseconds of a message between them')
    gpus.add_argument('--parameters', type=number(1, 1e15), default=27_483_240, help='learnable values of the network')
    gpus.add_argument('--images', type=whole(1, 10 ** 9), default=128, help='images of a step on each GPU')
    gpus.add_argument('--compute-seconds', type=RATE, default=0.4, help='of a step on one GPU alone')
    gpus.add_argument('--hidden', type=number(0, 1), default=0.0,
                      help='share of the computing beside which gradients are exchanged; 0 is the worst case')
    gpus.add_argument('--input-rate', type=RATE, default=float('inf'), help='images/s that are decoded for one GPU')
    parser.add_argument('--json', type=plain_path, help='file to write the results to')
    options = parser.parse_args(arguments)
    require_writable(options.json, '--json')
    if options.result:
        from resnest.gluon.speed.scaling_measurement import measure_in_job
        return measure_in_job(options.model, options.batch_size, options.image_size, options.steps, options.result)

    from resnest.scaling.report import compare, forecast_rows, format_forecast, format_measured

    results = {}
    if options.measure:
        import sys

        from tqdm import tqdm

        from resnest.gluon.speed.scaling_measurement import measure_cases
        from resnest.threads import usable_cores

        cores = usable_cores()
        cases = [(count, 1, options.batch_size) for count in options.measure]
        cases += [(1, cores, options.batch_size * cores)] if cores > 1 else []
        command = [sys.executable, '-m', 'resnest', 'scaling', '--model', options.model, '--image-size',
                   options.image_size, '--steps', options.steps]
        with tqdm(total=len(cases) * options.rounds, unit='process', desc='timing', disable=None) as bar:
            results['measured'] = compare(measure_cases(command, cases, options.rounds, bar.update), cores)
        print(format_measured(results['measured']), end='\n\n')
    results['forecast'] = forecast_rows(**{name: getattr(options, name) for name in FORECAST})
    print(format_forecast(results['forecast']))
    if options.json:
        replace_file(options.json, json.dumps(results, indent=1))
