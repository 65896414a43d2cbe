"""Images per second of ResNeSt next to other frameworks', or of preparing and reading images (data)."""
import json
import sys

from resnest.arguments import Parser, number, path_text, plain_path, plain_text, whole
from resnest.errors import InputError
from resnest.files import replace_file, require_writable


def main(arguments=None):
    parser = Parser(description=__doc__)
    parser.add_argument('what', nargs='?', default='network', choices=['network', 'data'],
                        help='what to time')
    timing = parser.add_argument_group('timing')
    timing.add_argument('--batch-size', type=whole(1, 1 << 16), default=16, help='images in a batch')
    timing.add_argument('--image-size', type=whole(1, 1 << 14),
                        help="image side in pixels; each model's own unless given, 224 for data")
    timing.add_argument('--rounds', type=whole(1), default=3, help='fresh processes of each')
    network = parser.add_argument_group('network')
    network.add_argument('--model', type=plain_text, nargs='+', default=['resnest50'],
                         help='networks; resnest models lists them')
    network.add_argument('--all', action='store_true', help='every network')
    network.add_argument('--precision', nargs='+', default=['float32'], choices=['float32', 'bfloat16', 'int8'],
                         help='what our network computes in')
    network.add_argument('--mode', nargs='+', default=['inference'], choices=['inference', 'training'],
                         help='what to time; a training step is forward, backward and update')
    network.add_argument('--implementation', nargs='+', metavar='NAME',
                         choices=['ours', 'gluoncv', 'onnxruntime', 'openvino', 'pytorch'],
                         help='what takes part, of %(choices)s; all that are installed unless given')
    network.add_argument('--peers-python', type=path_text,
                         help='Python of the environment with openvino, nncf, torch and timm; this one unless given')
    network.add_argument('--steps', type=whole(1), default=8, help='timed batches in each process')
    network.add_argument('--seconds', type=number(above=0), default=10,
                         help='no more batches in a process after that, but two')
    network.add_argument('--rec-dir', type=path_text, help='shards: time inference on decoded images as well')
    network.add_argument('--picture', type=plain_path,
                         help='file for the picture of accuracy against latency (.png, .svg)')
    data = parser.add_argument_group('data')
    data.add_argument('--rec-train', type=path_text,
                      help='a folder of shards, a .rec file or a pattern; synthetic ones unless given')
    data.add_argument('--num-workers', '-j', type=whole(0, 1024), nargs='+', default=[2], help='decoding workers')
    data.add_argument('--prepare-images', type=whole(0, 10 ** 9), default=2000, metavar='N',
                      help='time preparing of 1, 2 and 4 times as many synthetic images; 0: do not')
    parser.add_argument('--json', type=plain_path, help='file to write the results to')
    options = parser.parse_args(arguments)
    require_writable(options.json, '--json')
    require_writable(options.picture, '--picture')
    if options.picture and options.what == 'data':
        raise InputError('--picture shows networks: leave it out with data')

    from tqdm import tqdm

    from resnest.gluon import list_models
    from resnest.gluon.figures import require_figure
    from resnest.gluon.speed.benchmark import compare, plan
    from resnest.gluon.speed.pipelines import format_data, measure_data
    from resnest.gluon.speed.report import draw, drawable, format_machine, format_table, machine

    if options.picture:
        require_figure(options.picture, '--picture')

    def keep(results):
        if options.json:
            found = {'results': results, 'machine': machine(options.peers_python)}
            replace_file(options.json, json.dumps(found, indent=1))

    if options.what == 'data':
        with tqdm(unit='process', desc='timing', disable=None) as bar:
            results = measure_data(options.rec_train, options.image_size or 224, options.batch_size,
                                   options.num_workers, options.rounds, options.prepare_images, bar.update)
        print(format_data(results))
        keep(results)
    else:
        contenders = plan(list_models() if options.all else options.model, options.precision, options.mode,
                          options.implementation, options.batch_size, options.image_size, options.rec_dir,
                          options.peers_python, lambda line: print(line, file=sys.stderr))
        if options.picture:
            drawable(contenders, options.picture)       # refused before the work
        with tqdm(total=len(contenders) * options.rounds, unit='process', desc='timing', disable=None) as bar:
            results = compare(contenders, options.rounds, options.steps, options.seconds, bar.update, keep,
                              lambda line: bar.write(line, file=sys.stderr))
        print(format_table(results), format_machine(machine(options.peers_python)), sep='\n\n')
        if options.picture:
            draw(results, options.picture)
