"""For which convolutions of a graph Winograd's F(4×4, 3×3) pays (Lavin and Gray, 2016,
https://arxiv.org/abs/1509.09308), on a CPU with the native operators."""
import math

__all__ = ['PANEL', 'dilation_of', 'suits', 'tiles_of']

PANEL = 16      # channels side by side in the operators' weights
FEWEST = 32     # input channels of a group; below, the transformations take longer than the products
SHARE = 0.5     # of the products that are left at most, where tiles of 4 × 4 lie over the edges of a small map
WINDOW = {'kernel': '(3, 3)', 'stride': '(1, 1)', 'layout': 'NCHW'}
DILATIONS = {f'({side}, {side})': side for side in range(1, 10)}


def dilation_of(layer):
    """The dilation of a convolution that keeps the map's size, None for others."""
    dilation = DILATIONS.get(layer.attrs.get('dilate', '(1, 1)'))
    return dilation if dilation and layer.attrs.get('pad') == f'({dilation}, {dilation})' else None


def suits(layer, weight, sides, fewest=FEWEST):
    """Whether the node ``layer`` is a convolution that the operators can compute, and faster than oneDNN does.

    ``weight`` is the shape of its weight, and ``sides`` are its map's height and width, empty where they are not known.
    """
    dilation = dilation_of(layer) if layer.op == 'Convolution' else None
    if dilation is None or any(layer.attrs.get(name, value) != value for name, value in WINDOW.items()):
        return False
    outer, inner = weight[0] // int(layer.attrs.get('num_group', 1)), weight[1]
    if inner < fewest or inner % PANEL or outer % PANEL:
        return False
    return not sides or 36 * tiles_of(sides, dilation) <= SHARE * 9 * math.prod(sides)


def tiles_of(sides, dilation):
    """How many tiles of 4 × 4 lie over a map, of whose rows and columns every ``dilation``th is taken at a time."""
    return dilation ** 2 * math.prod(((side + dilation - 1) // dilation + 3) // 4 for side in sides)
