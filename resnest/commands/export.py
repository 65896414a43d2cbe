"""Write a network for other programs: as ONNX, or as mxnet's symbol and parameters in any precision; checked first."""
from pathlib import Path

from resnest.arguments import Parser, add_weights, path_text, plain_path, whole
from resnest.errors import InputError
from resnest.files import require_writable

STRIDE = 32     # of the backbone's last map, which a pose network doubles


def main(arguments=None):
    parser = Parser(description=__doc__)
    add_weights(parser, 'resnest50', '.params file to export', 'radix=0')
    parser.add_argument('--format', default='onnx', choices=['onnx', 'symbol'],
                        help='onnx, or symbol: OUTPUT-symbol.json and OUTPUT-0000.params')
    parser.add_argument('--output', type=plain_path, help='file to write; MODEL.onnx or MODEL unless given')
    parser.add_argument('--precision', default='float32', choices=['float32', 'bfloat16', 'int8'],
                        help='what the network computes in; ONNX takes float32 only')
    parser.add_argument('--rec-dir', type=path_text,
                        help='int8, bfloat16: shards whose training images calibrate it and are compared')
    parser.add_argument('--calibration', type=path_text, metavar='DIR',
                        help='folder or shards of images instead of --rec-dir')
    parser.add_argument('--calibration-images', type=whole(1), default=128, metavar='N',
                        help='how many of them, evenly taken')
    parser.add_argument('--calibration-mode', default='naive', choices=['naive', 'entropy'], help='int8: ranges to the '
                        'extremes of these images, or to what suits their distribution best')
    parser.add_argument('--no-native', action='store_true',
                        help='without the native operators, so that the files load without this package')
    parser.add_argument('--no-winograd', action='store_true', help="float32: without Winograd's algorithm, whose "
                        'rounding is ten times as large, and weights of 3x3 convolutions four times')
    parser.add_argument('--num-classes', type=whole(1, 10 ** 6), help='classes; those of the weights unless given')
    parser.add_argument('--image-size', '--crop-size', type=whole(1, 1 << 14),
                        help="image side in pixels to check with; the weights' or the model's own unless given")
    options = parser.parse_args(arguments)
    if options.format == 'onnx' and options.precision != 'float32':
        raise InputError(f'--format onnx writes float32 only, {options.precision} runs on mxnet: use --format symbol')
    require_writable(options.output, '--output')

    from resnest.gluon.data import Evaluation, preprocessing
    from resnest.gluon.inference.calibration_images import calibration_batches, calibration_records
    from resnest.gluon.inference.export.onnx_files import export_onnx
    from resnest.gluon.inference.export.symbol_files import export_symbol
    from resnest.gluon.models import SMALLEST_IMAGE

    if options.image_size is not None and options.image_size < SMALLEST_IMAGE:
        raise InputError(f'--image-size must be at least {SMALLEST_IMAGE}, got {options.image_size}')
    model, spec, make = _chosen(options)
    output = options.output or Path(model + ('.onnx' if options.format == 'onnx' else ''))
    require_writable(output, '--output')
    images = None
    whole_pictures = not hasattr(spec, 'crop_ratio')     # of another task's network, a few at a time
    size = options.image_size or getattr(spec, 'crop_size', None) or max(spec.height, spec.width)
    if hasattr(spec, 'joints') and size % STRIDE:
        raise InputError(f'--image-size must be a multiple of {STRIDE} for this network, got {size}')
    crop = Evaluation(size, 1, getattr(spec, 'interpolation', 'bilinear')) if whole_pictures else \
        Evaluation(*preprocessing(spec, size))
    if options.precision != 'float32':
        records, source = calibration_records(options.calibration, options.rec_dir, needed=options.precision == 'int8')
        images = records and calibration_batches(records, crop, options.calibration_images,
                                                 1 if whole_pictures else 32)
        print(f'comparing with float32 on images of {source}' if images else 'no images to compare with float32')
    network = make()
    if options.format == 'onnx':
        difference = export_onnx(network, output, size)
        print(f"{output}: ONNX, opset 13, any batch, height and width; onnxruntime's logits are within "
              f'{difference:.1e} of the largest')
    else:
        made = export_symbol(network, output, size, options.precision, images,
                             native=False if options.no_native else None, calibration_mode=options.calibration_mode,
                             winograd=not options.no_winograd)
        how = (f"resnest.gluon.inference.load('{output}')" if made.native else
               f"mxnet.gluon.SymbolBlock.imports('{output}-symbol.json', ['data'], '{output}-0000.params')")
        print(f'{made.describe()}\nload it with {how}')


def _chosen(options):
    """The name of the network that is asked for, its row, and what makes it, of whatever task."""
    from importlib import import_module

    from resnest.gluon.catalogue import get_model, task_of
    values = {**(options.model_options or {}), **({'classes': options.num_classes} if options.num_classes else {})}
    if (task := task_of(options.model, options.resume)) in ('segmentation', 'pose'):
        know = import_module(f'resnest.gluon.tasks.{task}.describing').know
        known = know(options.model, options.resume, values)
        return known.model, known.spec, lambda: get_model(known.model, known.pretrained, **known.options)
    from resnest.gluon.models.weights.choosing import DEFAULT_MODEL, choose
    choice = choose(options.model, options.resume or True, values, DEFAULT_MODEL)
    return choice.model, choice.spec, lambda: get_model(choice.model, choice.pretrained,
                                                        **{**choice.values, 'classes': choice.classes})
