"""Find the objects in pictures: a table of names, scores and boxes, and pictures that show them."""
import warnings

from resnest.arguments import Parser, add_weights, number, plain_path, whole
from resnest.files import finish_pictures, require_writable


def main(arguments=None):
    parser = Parser(description=__doc__)
    parser.add_argument('images', metavar='IMAGE', nargs='+', help='a picture of any format, or a folder of them')
    add_weights(parser, 'faster_rcnn_fpn_resnest50',
                'file of weights (.params, or as Detectron2 has them: .pth, .pkl, .safetensors)')
    parser.add_argument('--least-score', type=number(0, most=1), default=0.5, help='of the objects that are '
                        "shown; below the model's own, mostly 0.05, with --model-options least_score=0.01")
    parser.add_argument('--short-side', type=whole(1, 1 << 14), metavar='PIXELS', help='short side of the pictures, as '
                        "the network sees them; the weights' own unless given")
    parser.add_argument('--figure', type=plain_path, metavar='OUT.png', help='file (.png, .jpg, .pdf) for the first 8 '
                        'pictures side by side, with what is in them')
    parser.add_argument('--pictures', type=plain_path, metavar='DIR', help='folder for a PNG of each picture, with '
                        'what is in it')
    parser.add_argument('--precision', default='float32', choices=['float32', 'bfloat16', 'int8'],
                        help='what the network computes in; int8 is calibrated with the first 8 pictures')
    parser.add_argument('--batch-size', type=whole(1), default=1, help='pictures at a time')
    parser.add_argument('--no-cuda', action='store_true', help='use the CPU even where there is a GPU')
    parser.add_argument('--json', type=plain_path, help='file to write the result to')
    options = parser.parse_args(arguments)
    for option, path in (('--json', options.json), ('--figure', options.figure)):
        require_writable(path, option)

    warnings.filterwarnings('ignore', 'Image size')         # large pictures are read

    from resnest.gluon.tasks.detection import detect_pictures

    results, problems = detect_pictures(
        options.images, options.model, options.resume, options.model_options, options.precision, options.least_score,
        options.figure, options.pictures, options.batch_size, options.no_cuda, print, True,
        options.short_side)
    finish_pictures(options.json, {'pictures': results}, problems)
