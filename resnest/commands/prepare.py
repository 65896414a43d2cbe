"""Write ImageNet (ILSVRC 2012), or any folder of images, as shuffled RecordIO shards with a manifest.

Put ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz into --download-dir: they are
read in place, nothing is extracted. Stopped at any moment, the same command goes on.
"""
import sys
import time
from pathlib import Path

from resnest.arguments import LARGEST_SEED, Parser, number, plain_path, whole
from resnest.errors import InputError


def main(arguments=None):
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add('--download-dir', type=plain_path, default=Path('.'), help="folder of the official tars, or Kaggle's ILSVRC/")
    add('--image-folder', type=plain_path, metavar='DIR',
        help="instead: one folder per class, or train/ and val/ with such folders, or Kaggle's layout")
    add('--val-fraction', type=number(above=0, below=1), metavar='SHARE',
        help='hold out this share of each class for validation, by --seed and the names; for an --image-folder '
             'without val/')
    add('--target-dir', type=plain_path, help='the shards go into its rec/ (default: --download-dir)')
    add('--checksum', action='store_true', help='compare the official tars with their checksums first')
    add('--num-shards', type=whole(1, 99_999), help='shards of the training set (default: one per 10,000 images); '
                                                    'those of the validation set hold as many images')
    add('--num-workers', '--num-thread', '-j', type=whole(1, 1024), help='processes (default: one per core)')
    add('--seed', type=whole(0, LARGEST_SEED), default=0, help='of the order of the images')
    add('--resize', type=whole(1, 4096), metavar='SHORT_EDGE',
        help='re-encode as JPEG with this short edge in pixels (default: the original bytes)')
    add('--quality', type=whole(1, 100), metavar='Q', help='JPEG quality of --resize, 1 to 100 (default: 95)')
    add('--raw', action='store_true', help='also write the original files to train/<class>/ and val/<class>/')
    add('--with-rec', action='store_true', help='accepted; shards are always written')
    add('--check-images', action='store_true', help='decode every image; name the bad ones and stop')
    add('--skip-bad', action='store_true', help='decode every image; leave the bad ones out and count them')
    add('--check', action='store_true', help='only re-read finished shards and compare them with the manifest')
    options = parser.parse_args(arguments)
    if options.quality is not None and options.resize is None:
        raise InputError('--quality is the quality of --resize; give both')

    from resnest.gluon.data.preparing.imagenet import find_source
    from resnest.gluon.data.preparing.preparation import Options, check_prepared, prepare
    from resnest.threads import usable_cores

    start = time.perf_counter()
    target = options.target_dir or options.download_dir
    workers = usable_cores() if options.num_workers is None else options.num_workers
    if options.check:
        manifest = check_prepared(target, workers)
    else:
        chosen = Options(options.num_shards, options.resize, 95 if options.quality is None else options.quality,
                         options.raw, options.check_images, options.skip_bad)
        source = find_source(options.download_dir, options.image_folder, options.checksum, options.val_fraction,
                             options.seed)
        for note in source.notes:
            print(note, file=sys.stderr)
        manifest = prepare(source, target, chosen, options.seed, workers)
        if 'val' not in manifest['splits']:
            print(f'{target / "rec"}: no validation images; --val-fraction 0.1 would hold out a tenth', file=sys.stderr)
    seconds = time.perf_counter() - start
    shards = [shard for split in manifest['splits'].values() for shard in split['shards']]
    records = {split: sum(shard['records'] for shard in entry['shards']) for split, entry in manifest['splits'].items()}
    skipped = manifest.get('skipped')
    print(f'{target / "rec"}: {records.get("train", 0)} training and {records.get("val", 0)} validation images, '
          f'{len(manifest["classes"])} classes, {sum(shard["bytes"] for shard in shards) / 1e9:.3f} GB '
          f'in {len(shards)} shards' + (f', {len(skipped)} bad images left out' if skipped else ''))
    print(f'{"all as the manifest says" if options.check else "done"} in {seconds:.1f} s', file=sys.stderr)
