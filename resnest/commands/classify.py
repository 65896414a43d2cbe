"""Name what is in pictures, and show where the network looked."""
import warnings

from resnest.arguments import Parser, add_weights, number, path_text, plain_path, whole
from resnest.files import finish_pictures, require_writable


def main(arguments=None):
    parser = Parser(description=__doc__)
    parser.add_argument('images', metavar='IMAGE', nargs='+', help='a picture of any format, or a folder of them')
    add_weights(parser, 'resnest50', 'parameter file (.params), or exported one (.onnx)', 'radix=0')
    parser.add_argument('--classes', type=path_text, help='class names: a file with a name on each line, or the '
                        "manifest.json of the shards; ImageNet's for 1000 classes unless given, numbers for others")
    parser.add_argument('--top-k', type=whole(1), default=5, help='classes to name')
    parser.add_argument('--explain', type=plain_path, metavar='OUT.png', help='file (.png, .pdf, .svg, .jpg) for a '
                        'figure of what the network looked at (Grad-CAM) and how it weighted its splits, for the '
                        'first 8 pictures')
    parser.add_argument('--crop-size', '--input-size', type=whole(1, 1 << 14),
                        help="image side in pixels; the weights' or the model's own unless given")
    parser.add_argument('--crop-ratio', type=number(above=0, most=1),
                        help="crop / resized short edge; the weights' or the model's own unless given")
    parser.add_argument('--batch-size', type=whole(1), default=16, help='pictures at a time')
    parser.add_argument('--num-workers', '-j', type=whole(1, 1024), default=2, help='decoding threads')
    parser.add_argument('--no-cuda', action='store_true', help='use the CPU even where there is a GPU')
    parser.add_argument('--json', type=plain_path, help='file to write the result to')
    options = parser.parse_args(arguments)
    for option, path in (('--json', options.json), ('--explain', options.explain)):
        require_writable(path, option)

    for text in ('Image size', 'Glyph'):        # large pictures are read, and not every font has every letter
        warnings.filterwarnings('ignore', text)

    from resnest.gluon.models.weights.choosing import DEFAULT_MODEL, choose
    from resnest.gluon.tasks.classification import classify_pictures

    results, problems = classify_pictures(
        options.images, model=options.model, weights=options.resume, classes=options.classes, top_k=options.top_k,
        figure=options.explain, crop_size=options.crop_size, crop_ratio=options.crop_ratio,
        batch_size=options.batch_size, workers=options.num_workers, no_cuda=options.no_cuda, say=print, progress=True,
        model_options=options.model_options)
    found = {'pictures': results}
    if options.json:
        found = {'model': choose(options.model, options.resume, default=DEFAULT_MODEL).model, **found}
    finish_pictures(options.json, found, problems)
