"""Files of a detector's weights: Gluon's, or with Detectron2's names, as safetensors or as a pickle of arrays."""
import pickle
from pathlib import Path

import mxnet as mx

from resnest.errors import InputError
from resnest.files import replace_file, save_arrays
from resnest.gluon.models.weights.description import METADATA, require_free, to_text, write_description
from resnest.gluon.models.weights.tensor_files import safetensors_bytes
from resnest.reading import one_line

from .detectron2_files import to_detectron2

__all__ = ['FORMATS', 'write_file']

FORMATS = ('params', 'safetensors', 'pkl')
PROTOCOL = 4        # of pickles; what Python 3.4 and later read


def write_file(path, arrays, net, description, kind='params'):
    """Write the arrays ``{name of net: float32 array}``, whole or not at all; ``kind`` is one of :data:`FORMATS`.

    The ``description`` goes into the file beside a ``.params`` file, or among the texts of a safetensors file. A pickle
    is what Detectron2's checkpointer takes. Raises InputError for a detector that Detectron2 has no names for, and
    where what lies in the description's place is somebody's own.
    """
    path = Path(path)
    if kind == 'params':
        require_free(path)
        save_arrays(path, {name: mx.nd.array(array, dtype='float32') for name, array in arrays.items()})
        write_description(path, description)
        return
    if net.spec.convention != 'detectron2':
        raise InputError(f'{one_line(path)}: {net.spec.name} has no names in Detectron2; convert it to .params')
    renamed = to_detectron2(arrays, net)
    if kind == 'pkl':
        replace_file(path, pickle.dumps({'model': renamed, '__author__': 'ResNeSt for MXNet Gluon'}, PROTOCOL))
    else:
        replace_file(path, safetensors_bytes(renamed, **{METADATA: to_text(description)}))
