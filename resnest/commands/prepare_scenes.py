"""Draw scenes of several scanned digits, with boxes, masks and keypoints in COCO's layout, and as maps."""
from pathlib import Path

from resnest.arguments import LARGEST_SEED, Parser, plain_path, whole
from resnest.errors import InputError
from resnest.files import require_writable_folder


def main(arguments=None):
    parser = Parser(description=__doc__)
    parser.add_argument('--target-dir', type=plain_path, default=Path('scenes'),
                        help='folder of train/, val/, annotations/ and maps/, which must not be there')
    parser.add_argument('--train', type=whole(1, 10 ** 6), default=400, help='training scenes')
    parser.add_argument('--val', type=whole(1, 10 ** 6), default=60, help='validation scenes, of other digits')
    parser.add_argument('--seed', type=whole(0, LARGEST_SEED), default=0, help='of everything that is drawn')
    options = parser.parse_args(arguments)
    if options.target_dir.exists():
        raise InputError(f'{options.target_dir}: is there already; delete it, or choose another --target-dir')
    require_writable_folder(options.target_dir, '--target-dir')
    try:
        import numpy as np
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise InputError(f'the digits come with scikit-learn: pip install scikit-learn ({error})') from None

    from resnest.gluon.data.preparing.digit_scenes import write_scenes

    digits = load_digits()
    order = np.random.default_rng(options.seed).permutation(len(digits.target))
    parts = {'train': order[:1500], 'val': order[1500:]}        # those of prepare-digits
    drawn = write_scenes(options.target_dir, {split: digits.images[part] for split, part in parts.items()},
                         {split: digits.target[part] for split, part in parts.items()},
                         {'train': options.train, 'val': options.val}, options.seed)
    print(f"{options.target_dir}: {options.train} training scenes with {drawn['train']} digits, {options.val} "
          f"validation scenes with {drawn['val']}")
