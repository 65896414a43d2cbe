"""Tell what is where in pictures: shares of the classes, a figure with their colours, and maps."""
import warnings

from resnest.arguments import Parser, add_weights, plain_path
from resnest.files import finish_pictures, require_writable


def main(arguments=None):
    parser = Parser(description=__doc__)
    parser.add_argument('images', metavar='IMAGE', nargs='+', help='a picture of any format, or a folder of them')
    add_weights(parser, 'deeplab_resnest50_ade',
                'parameter file (.params), .onnx file, or the prefix of exported optimized files')
    parser.add_argument('--figure', type=plain_path, metavar='OUT.png', help='file (.png, .pdf, .svg, .jpg) for a '
                        'figure of the first 8 pictures, each beside its classes in colours')
    parser.add_argument('--maps', type=plain_path, metavar='DIR', help='folder for a map of each picture: a PNG of the '
                        "labels, with the classes' colours as its palette")
    parser.add_argument('--multi-scale', action='store_true', help='six scales and mirror images, in sliding crops')
    parser.add_argument('--no-cuda', action='store_true', help='use the CPU even where there is a GPU')
    parser.add_argument('--json', type=plain_path, help='file to write the result to')
    options = parser.parse_args(arguments)
    for option, path in (('--json', options.json), ('--figure', options.figure)):
        require_writable(path, option)

    for text in ('Image size', 'Glyph'):        # large pictures are read, and not every font has every letter
        warnings.filterwarnings('ignore', text)

    from resnest.gluon.tasks.segmentation import segment_pictures

    results, problems = segment_pictures(
        options.images, options.model, options.resume, options.model_options, options.figure, options.maps,
        options.multi_scale, options.no_cuda, print, True)
    finish_pictures(options.json, {'pictures': results}, problems)
