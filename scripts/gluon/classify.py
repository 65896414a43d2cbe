"""Name what is in pictures, and show where the network looked."""
import argparse
import json
import sys
import warnings
from pathlib import Path

from resnest.errors import InputError, run_command
from resnest.files import replace_file, require_writable


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('images', metavar='IMAGE', nargs='+', help='a picture of any format, or a folder of them')
    parser.add_argument('--model', default='resnest50',
                        help='network; python -m resnest models lists them (default: %(default)s)')
    parser.add_argument('--resume', help='parameter file (.params); the published weights unless given')
    parser.add_argument('--classes', help='class names: a file with a name a line, or the manifest.json of the shards; '
                        "ImageNet's for 1000 classes unless given, numbers for others")
    parser.add_argument('--top-k', type=int, default=5, help='classes to name (default: %(default)s)')
    parser.add_argument('--explain', type=Path, metavar='OUT.png', help='file (.png, .pdf, .svg, .jpg) for a '
                        'figure of what the network looked at (Grad-CAM) and how it weighted its splits, for the '
                        'first 8 pictures')
    parser.add_argument('--crop-size', '--input-size', type=int,
                        help="image side in pixels; the model's own unless given")
    parser.add_argument('--crop-ratio', type=float, help="crop / resized short edge; the model's own unless given")
    parser.add_argument('--batch-size', type=int, default=16, help='pictures at a time (default: %(default)s)')
    parser.add_argument('--num-workers', '-j', type=int, default=2, help='decoding threads (default: %(default)s)')
    parser.add_argument('--no-cuda', action='store_true', help='use the CPU even where there is a GPU')
    parser.add_argument('--json', type=Path, help='file to write the result to')
    options = parser.parse_args(arguments)
    for name in ('top_k', 'batch_size', 'num_workers'):
        if getattr(options, name) < 1:
            raise InputError(f'--{name.replace("_", "-")} must be at least 1, got {getattr(options, name)}')
    for option, path in (('--json', options.json), ('--explain', options.explain)):
        require_writable(path, option)

    for text in ('Image size', 'Glyph'):        # large pictures are read, and not every font has every letter
        warnings.filterwarnings('ignore', text)

    from tqdm import tqdm

    from resnest.gluon import get_model
    from resnest.gluon.data import Evaluation, find_pictures, preprocessing, with_normalization
    from resnest.gluon.device import choose_device
    from resnest.gluon.figures import require_figure
    from resnest.gluon.models import SMALLEST_IMAGE, count_classes
    from resnest.gluon.tasks.classification import class_names, classify, explain_pictures, format_table

    if options.crop_size is not None and options.crop_size < SMALLEST_IMAGE:
        raise InputError(f'--crop-size must be at least {SMALLEST_IMAGE}, got {options.crop_size}')
    if options.explain:
        require_figure(options.explain, '--explain')
    paths = find_pictures(options.images)
    classes = count_classes(options.resume) if options.resume else 1000
    names = class_names(classes, options.classes)
    device = choose_device(options.no_cuda)
    network = get_model(options.model, classes=classes, pretrained=options.resume or True, ctx=device)
    crop = Evaluation(*preprocessing(network.spec, options.crop_size, options.crop_ratio))
    net = with_normalization(network)
    net.hybridize(static_alloc=True)
    with tqdm(total=len(paths), unit='picture', disable=not sys.stderr.isatty()) as bar:
        results, problems = classify(net, paths, crop, names, device, options.top_k, options.batch_size,
                                     options.num_workers, bar.update)
    if results:
        print(format_table(results))
    if options.explain and results:
        shown = explain_pictures(net, [result['file'] for result in results], crop, names, device, options.explain)
        print(f'{options.explain}: what the network looked at in {shown} of {len(results)} pictures')
    if options.json:
        text = json.dumps({'model': options.model, 'pictures': results, 'unreadable': problems}, indent=1,
                          ensure_ascii=False) + '\n'
        replace_file(options.json, text.encode(errors='backslashreplace'))      # names of files can be any bytes
    if problems:
        more = f' (and {len(problems) - 1} more: {"; ".join(problems[1:4])})' if len(problems) > 1 else ''
        raise InputError(problems[0] + more)


if __name__ == '__main__':
    run_command(main)
