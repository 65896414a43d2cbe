"""Pictures of all kinds, and what a network says of them by hand."""
import mxnet as mx
import numpy as np
import pytest
from PIL import Image

from resnest.gluon.data import Evaluation
from resnest.gluon.data.images.transforms import MEAN, STD

NAMES = ['zero', 'one', 'two', 'three', 'four', 'five']


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    """Seven pictures, of which two are none; the second is turned by EXIF, the third has an alpha channel."""
    folder = tmp_path_factory.mktemp('photos')
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (5, 9, 11, 3), dtype=np.uint8).repeat(6, axis=1).repeat(6, axis=2)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels[0]).save(folder / '0.png')
    Image.fromarray(np.rot90(pixels[1])).save(folder / '1 turned.png', exif=exif)
    Image.fromarray(np.dstack([pixels[2], np.full((54, 66), 255, np.uint8)])).save(folder / '2 alpha.png')
    Image.fromarray(pixels[3]).convert('CMYK').save(folder / '3 cmyk.tif')
    Image.fromarray(pixels[4]).convert('L').save(folder / '4 grey.png')
    (folder / '5 text.jpg').write_text('not a picture')
    whole = (folder / '4 grey.png').read_bytes()
    (folder / '6 cut.png').write_bytes(whole[:len(whole) // 2])
    pixels[4] = np.asarray(Image.fromarray(pixels[4]).convert('L'))[..., None]
    return folder, pixels


def by_hand(net, pixels):
    """Probabilities of uint8 pictures, the normalization and the softmax in NumPy."""
    x = np.stack([Evaluation(32, 1)(Image.fromarray(each)) for each in pixels])
    x = ((x / 255 - MEAN) / STD).transpose(0, 3, 1, 2)
    powers = np.exp(net(mx.nd.array(x)).asnumpy().astype('float64'))
    return powers / powers.sum(axis=1, keepdims=True)
