"""What others call the parameters of a network: gluoncv those of its ResNeXts, PyTorch those of all."""
import re

__all__ = ['from_gluoncv', 'pytorch_name']

# gluoncv numbers the layers of a ResNeXt. In its stages, ``features.4`` to ``features.7``, each block has a body.
STEM = {'features.0': 'conv1', 'features.1': 'bn1', 'output': 'fc'}
BLOCK = {'body.0': 'conv1', 'body.1': 'bn1', 'body.3': 'conv2', 'body.4': 'bn2', 'body.6': 'conv3', 'body.7': 'bn3',
         'se.0': 'se.fc1', 'se.2': 'se.fc2'}
STAGE = re.compile(r'features\.([4-7])\.(\d+)\.(.+)')
# The layers in a block with selective kernels, as timm calls them.
SELECTIVE = {'conv1': 'conv1.conv', 'bn1': 'conv1.bn', 'conv2.paths.0.0': 'conv2.paths.0.conv',
             'conv2.paths.0.1': 'conv2.paths.0.bn', 'conv2.paths.1.0': 'conv2.paths.1.conv',
             'conv2.paths.1.1': 'conv2.paths.1.bn', 'conv2.fc1': 'conv2.attn.fc_reduce', 'conv2.bn1': 'conv2.attn.bn',
             'conv2.fc2': 'conv2.attn.fc_select', 'conv3': 'conv3.conv', 'bn3': 'conv3.bn'}
OWNER = re.compile(r'(layer\d\.\d+)\.(.+)')


def from_gluoncv(arrays):
    """``{name: array}`` of a ResNeXt of gluoncv under our names; others as they are."""
    if 'features.4.0.body.0.weight' not in arrays:
        return arrays
    return {_from_gluoncv(name): array for name, array in arrays.items()}


def _from_gluoncv(name):
    owner, _, last = name.rpartition('.')
    if in_stage := STAGE.fullmatch(owner):
        stage, block, layer = in_stage.groups()
        return f'layer{int(stage) - 3}.{block}.{BLOCK.get(layer, layer)}.{last}'
    return f'{STEM.get(owner, owner)}.{last}'


def pytorch_name(name, attention='split'):
    """``layer1.0.conv2.bn.gamma`` → ``layer1.0.conv2.bn0.weight``, in a network whose blocks have that attention."""
    owner, _, last = name.rpartition('.')
    in_block = OWNER.fullmatch(owner) if attention == 'sk' else None
    if in_block:
        owner = f'{in_block[1]}.{SELECTIVE.get(in_block[2], in_block[2])}'
    elif owner.endswith('.conv2.bn'):
        owner += '0'
    last = {'gamma': 'weight', 'beta': 'bias'}.get(last, last)
    return f'{owner}.{last}'
