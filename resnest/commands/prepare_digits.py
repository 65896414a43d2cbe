"""Write scikit-learn's 1,797 scanned handwritten digits as RecordIO shards: 1,500 to train on, 297 to verify on."""
import io
from pathlib import Path, PurePosixPath

from resnest.arguments import LARGEST_SEED, Parser, plain_path, whole
from resnest.errors import InputError


def main(arguments=None):
    parser = Parser(description=__doc__)
    parser.add_argument('--target-dir', type=plain_path, default=Path('digits'),
                        help='folder; the shards go into its rec/')
    parser.add_argument('--num-shards', type=whole(1, 297), default=2, help='shards of each split')
    parser.add_argument('--seed', type=whole(0, LARGEST_SEED), default=0, help='of the split and the order')
    parser.add_argument('--raw', action='store_true', help='also write the pictures to train/<digit>/ and val/<digit>/')
    options = parser.parse_args(arguments)
    try:
        import numpy as np
        from PIL import Image
        from sklearn import __version__ as version
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise InputError(f'the digits come with scikit-learn: pip install scikit-learn ({error})') from None

    from resnest.gluon.data import write_shards
    from resnest.gluon.data.preparing.raw_folders import write_image

    def png(pixels):
        buffer = io.BytesIO()
        Image.fromarray((pixels * (255 / 16)).round().astype('uint8')).save(buffer, 'png')     # values are 0 to 16
        return buffer.getvalue()

    digits = load_digits()
    order = np.random.default_rng(options.seed).permutation(len(digits.target))
    samples = [(png(digits.images[i]), int(digits.target[i])) for i in order]
    folder = options.target_dir / 'rec'
    for number, (picture, digit) in enumerate(samples if options.raw else ()):
        place = PurePosixPath('train' if number < 1500 else 'val', str(digit), f'{number:04d}.png')
        write_image(options.target_dir, place, number, picture)
    write_shards(folder, {'train': samples[:1500], 'val': samples[1500:]}, [str(digit) for digit in range(10)],
                 options.num_shards, seed=options.seed, source=f'scikit-learn {version}, load_digits')
    print(f'{folder}: 1500 training and {len(samples) - 1500} validation images, 10 classes')
