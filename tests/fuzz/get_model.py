"""``get_model`` with other names, overrides and types; what it makes must be able to run."""
import mxnet as mx

from resnest.gluon.models import VARIANTS, get_model, list_models
from resnest.gluon.models.signatures import NetworkOptions

from .mutations import VALUES

KEYS = [*NetworkOptions.__annotations__, 'name', 'pretrained', 'root', 'ctx', 'features_only', 'out_indices', 'sha1',
        'top1', 'parameters', 'spec', 'kwargs', 'self', 'a\nb', '']
SMALL = [0, 1, 2, 3, 4, 5, 8, 16, 24, 40, 64, 96, 0.5, 0.1, (1, 1, 1, 1), [2, 1, 1, 1], (1, 1), (0, 3), [4], 'bicubic',
         True, mx.gluon.nn.BatchNorm, mx.gluon.nn.LayerNorm, mx.gluon.nn.Dense, object, len, {'epsilon': 1}, {'x': 1},
         {1: 1}, {'in_channels': 3}, mx.cpu(), [mx.cpu()], b'x', object(), {1, 2}, '/dev/zero', '/', '~nobody/x',
         'a' * 5000]


def case(rng, folder):
    def value():
        return SMALL[rng.integers(len(SMALL))] if rng.random() < 0.7 else VALUES[rng.integers(len(VALUES))]

    settings = {'name': 'resnest14' if rng.random() < 0.9 else list_models()[rng.integers(len(VARIANTS))]}
    for _ in range(rng.integers(1, 4)):
        settings[KEYS[rng.integers(len(KEYS))]] = value()
    if settings.get('pretrained') is True:
        settings['root'] = settings.get('root', str(folder))
    if 'self' in settings:
        settings['self_'] = settings.pop('self')
    net = get_model(**settings)
    if rng.random() < 0.3:
        output = net(mx.sym.var('data'))
        output = mx.sym.Group(list(output)) if isinstance(output, tuple) else output
        _, shapes, _ = output.infer_shape(data=(1, net.in_channels, 32, 40))
        assert shapes[0][0] == 1
