"""Images per second of ResNeSt next to gluoncv's, or of the input pipeline next to mxnet's and of preparing (data)."""
import argparse
import json
from pathlib import Path

from resnest.errors import run_command
from resnest.files import replace_file


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('what', nargs='?', default='network', choices=['network', 'data'], help='what to time')
    parser.add_argument('--model', nargs='+', default=['resnest50'],
                        help='networks; python -m resnest models lists them')
    parser.add_argument('--batch-size', type=int, default=16, help='images a batch')
    parser.add_argument('--image-size', type=int, default=224, help='image side in pixels')
    parser.add_argument('--mode', nargs='+', default=['inference', 'training'], choices=['inference', 'training'],
                        help='what to time; a training step is forward, backward and update')
    parser.add_argument('--rounds', type=int, default=3, help='fresh processes of each contender')
    parser.add_argument('--rec-train', help='data: a folder of shards, a .rec file or a pattern; '
                                            'synthetic ones unless given')
    parser.add_argument('--num-workers', '-j', type=int, nargs='+', default=[2], help='data: decoding workers')
    parser.add_argument('--prepare-images', type=int, default=2000,
                        help='data: time preparing of 1, 2 and 4 times as many synthetic images; 0: do not')
    parser.add_argument('--steps', type=int, default=8, help='timed batches in each process')
    parser.add_argument('--json', type=Path, help='file to write the results to')
    options = parser.parse_args(arguments)

    from tqdm import tqdm

    from resnest.gluon.data.throughput import format_data, measure_data
    from resnest.gluon.inference.benchmark import compare, format_table, machine

    with tqdm(unit='process', desc='timing') as bar:
        if options.what == 'data':
            results = measure_data(options.rec_train, options.image_size, options.batch_size, options.num_workers,
                                   options.rounds, options.prepare_images, bar.update)
        else:
            results = compare(options.model, options.batch_size, options.image_size, options.mode, options.rounds,
                              options.steps, bar.update)
    print(format_data(results) if options.what == 'data' else format_table(results))
    if options.json:
        replace_file(options.json, json.dumps({'results': results, 'machine': machine()}, indent=1))


if __name__ == '__main__':
    run_command(main)
