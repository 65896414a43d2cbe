"""What pictures are named by: a network, the name of one, weights, or an exported file."""
import os

from resnest.errors import InputError
from resnest.gluon.inference.engines import exported_engine, onnx_engine
from resnest.gluon.inference.export.onnx_files import OnnxNet
from resnest.gluon.inference.optimized.exported import is_exported
from resnest.gluon.inference.optimized.network import load
from resnest.gluon.models.weights.choosing import is_file_of_weights
from resnest.gluon.models.weights.description import CLASSIFICATION
from resnest.reading import not_among, one_line

from .settling import Settled, settle

__all__ = ['check_precision', 'open_source']

PRECISIONS = 'float32', 'bfloat16', 'int8'


def check_precision(precision, calibration):
    """Raise InputError for an unknown precision, and for pictures to calibrate with that are missing or of no use."""
    if precision not in (None, *PRECISIONS):
        raise InputError(f'precision {not_among(precision, PRECISIONS)}')
    if precision == 'int8' and calibration is None:
        raise InputError("int8 needs some hundred pictures like those of its training: calibration='folder'")
    if precision != 'int8' and calibration is not None:
        raise InputError("calibration is for precision='int8' alone; leave it out")


def open_source(source, model, options, ctx):
    """``(network, engine, what is known of the weights)`` of what :class:`.Predictor` takes.

    The network is None for an exported file, the engine None for a network.
    """
    if hasattr(source, 'collect_params'):
        _leave_out('a network', model=model, options=options)
        spec = getattr(source, 'spec', None)
        if spec is None or getattr(source, 'fc', None) is None:
            raise InputError('the network to predict with must be a classifier with a spec, as get_model makes it')
        description = getattr(source, 'description', None)
        return source, None, Settled('the network', spec, source.fc.weight.shape[0], description)
    if not isinstance(source, (str, os.PathLike)):
        raise InputError('to predict with there must be a network, the name of a model or the path of weights, got '
                         f'{one_line(repr(source), 60)}')
    text = os.path.expanduser(source)
    if text.endswith('.onnx'):
        _leave_out('an exported file', options=options)
        exported = OnnxNet(text)
        known = settle(model, exported=exported)
        return None, onnx_engine(exported, known.spec), known
    if is_exported(text):
        _leave_out('an exported network', model=model, options=options)
        exported = load(text)
        told = exported.description
        if exported.several:
            raise InputError(f'{one_line(text)}: gives several outputs, as a backbone does; a classifier is wanted')
        if told is None:
            raise InputError(f'{one_line(text)}.json: does not tell what the network is of; export it again')
        if told.task != CLASSIFICATION:
            raise InputError(f'{one_line(text)}: a network for {one_line(told.task, 60)}, not for {CLASSIFICATION}; '
                             'give another one, or use the commands of that task')
        known = Settled(f'the weights in {one_line(text)}', told.spec, told.classes, told)
        return None, exported_engine(exported, known.spec), known
    is_file = is_file_of_weights(source)
    if not is_file:
        _leave_out('the name of a model', model=model)
    known = settle(model if is_file else text, text if is_file else None, options)
    return known.network(ctx), None, known


def _leave_out(what, **given):
    """Raise InputError for an argument that says what is known already."""
    for name, value in given.items():
        if value:
            raise InputError(f'{name} is for weights that do not tell it themselves, and {what} does; leave it out')
