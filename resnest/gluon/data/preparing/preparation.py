"""From a :class:`Source` to shards in a shuffled order, by several processes; a run that was stopped goes on.

What a shard holds follows from the seed, the options and the source alone, so the bytes do not depend on the
number of processes, nor on how often the run was stopped. A journal beside the shards notes each finished one;
the manifest replaces it at the end.
"""
import errno
import os
import sys
from contextlib import closing
from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path
from typing import Optional

import numpy as np
import PIL
from tqdm import tqdm

from resnest import __version__
from resnest.arguments import LARGEST_SEED
from resnest.errors import InputError
from resnest.gluon.streams import PREPARING, generator
from resnest.reading import one_line

from ..images.holding_out import sample_of
from ..shards.writer import check_shard, shard_name, shard_range, write_shard
from .journal import Journal, check_folder, finished_manifest
from .raw_folders import are_there, originals, raw_place, sync_images, write_image
from .reencoding import BadImage, check, shrink
from .space import free_bytes, show_size
from .workers import in_processes

__all__ = ['Options', 'prepare', 'check_prepared']

IMAGES_A_SHARD = 10_000
SPLIT_NUMBER = {'train': 0, 'val': 1}
ORDER_VERSION = 2       # of how the order follows from the seed: shards of two orders would not make one set
OVERHEAD = 64           # bytes of framing, header and index a record, at most
LAST = {'num_shards': 99_999, 'resize': 4096, 'quality': 100, 'workers': 1024}      # the largest that options may be


@dataclass(frozen=True)
class Options:
    """What decides the bytes of the shards, beside source and seed.

    ``num_shards`` are those of the training set (one per 10,000 images unless given; val has as many images in each);
    ``resize`` re-encodes to JPEGs of that short edge in pixels, of ``quality`` 1 to 100; ``raw`` writes folders of
    images too; ``check_images`` decodes each image; ``skip_bad`` leaves out those that cannot be decoded.
    """
    num_shards: Optional[int] = None
    resize: Optional[int] = None
    quality: int = 95
    raw: bool = False
    check_images: bool = False
    skip_bad: bool = False

    def __post_init__(self):
        for name, value in (('num_shards', self.num_shards), ('resize', self.resize), ('quality', self.quality)):
            if value is not None and not 1 <= value <= LAST[name]:
                raise InputError(f'--{name.replace("_", "-")} must be from 1 to {LAST[name]}, got {value}')


def prepare(source, target, options, seed=0, workers=1):
    """Write ``target/rec`` and return its manifest (a dict); goes on where an earlier run with the same source,
    seed and options was stopped. Raises InputError, after which ``target`` holds whole files only."""
    if not 1 <= workers <= LAST['workers'] or not 0 <= seed <= LARGEST_SEED:
        raise InputError(f'--num-workers must be from 1 to {LAST["workers"]} and --seed from 0 to {LARGEST_SEED}, got '
                         f'{workers} and {seed}')
    plan = _Plan(source, Path(target).expanduser(), options, seed)
    try:
        with Journal(plan.folder, plan.facts, source.modified, plan.shards, plan.raw_folders) as journal:
            if not options.skip_bad:
                journal.forget(lambda result: result['skipped'])
            tasks = [task for task in plan.tasks if not plan.is_finished(task, journal.finished)]
            plan.check_space(tasks)
            bad = _write_all(plan, tasks, workers, journal)
            if bad:
                raise InputError(f'{bad[0]}: one of {len(bad)} images that cannot be decoded; replace them in the '
                                 f'source, or leave them out with --skip-bad')
            return journal.publish(_manifest(plan, source, journal.finished))
    except OSError as error:
        raise plan.refusal(error) from None


def _write_all(plan, tasks, workers, journal):
    """Write shards and note them in the journal; lines about the bad images of those that were given up."""
    bad = []
    total = sum(len(plan.order(*task)) for task in tasks)
    with tqdm(total=total, desc='prepare', unit=' images', mininterval=0.5, disable=None) as bar, \
            closing(in_processes(plan.write, tasks, workers, bar.update, plan.shards.get)) as results:
        try:
            for _, result in results:
                whole = 'file' in result
                for item in result['skipped']:
                    line = '{file}: {member}: {reason}'.format(**item)
                    bar.write(f'{"left out" if whole else "bad image"}: {line}', file=sys.stderr)
                    if not whole:
                        bad.append(line)
                if whole:
                    journal.add(result)
        except KeyboardInterrupt:
            bar.write(f'{len(journal.finished)} of {len(plan.shards)} shards are finished; the same command goes on '
                      f'from there', file=sys.stderr)
            raise
    return bad


class _Plan:
    """Which image goes into which shard, and the work of writing one."""

    def __init__(self, source, target, options, seed):
        self.source, self.target, self.options = source, target, options
        self.folder = target / 'rec'
        if options.raw and source.kind == 'image folder':
            raise InputError('--raw writes a folder of images, which --image-folder is already; leave it out')
        self.raw_folders = [target / split for split in source.splits] if options.raw else []
        for samples in source.splits.values():
            if os.path.realpath(samples.path) in map(os.path.realpath, self.raw_folders):
                raise InputError(f'--raw would write into {samples.path}, which is read; choose another --target-dir')
            if not samples.packed and Path(os.path.realpath(samples.path)) in \
                    Path(os.path.realpath(self.folder)).parents:
                raise InputError(f'{self.folder}: would lie among the images of {samples.path}, as if it were a class; '
                                 f'choose another --target-dir')
        train = len(source.splits['train'])
        shards = options.num_shards or max(1, round(train / IMAGES_A_SHARD))
        if shards > train:
            raise InputError(f'--num-shards {shards}, but there are only {train} training images; use fewer')
        self.counts = {split: max(1, min(len(samples), round(shards * len(samples) / train)))
                       for split, samples in source.splits.items()}
        self.tasks = [(split, shard) for split, count in self.counts.items() for shard in range(count)]
        self.shards = {task: shard_name(*task, self.counts[task[0]]) for task in self.tasks}
        self.orders = {split: generator(PREPARING, seed, SPLIT_NUMBER[split]).permutation(len(samples))
                       for split, samples in source.splits.items()}
        chosen = {'val_fraction': source.val_fraction, **asdict(options), 'num_shards': self.counts,
                  'check_images': options.check_images or options.skip_bad}
        del chosen['skip_bad']          # what it left out is in the manifest
        if options.resize is None:
            del chosen['quality']
        files = {split: one_line(samples.path.name) for split, samples in source.splits.items()}
        self.facts = {'seed': seed, 'order': ORDER_VERSION, 'decoding': source.decoding, 'options': chosen, 'source': {
            'kind': source.kind, 'files': files,
            'images': {split: len(samples) for split, samples in source.splits.items()},
            'bytes': {split: samples.bytes() for split, samples in source.splits.items()},
            'index_sha256': {split: samples.digest() for split, samples in source.splits.items()}}}

    def order(self, split, shard):
        """Indices of a shard's images, in order."""
        return self.orders[split][slice(*shard_range(len(self.orders[split]), shard, self.counts[split]))]

    def originals(self, task, skipped):
        return originals(self.target, task[0], self.source, self.order(*task).tolist(), skipped)

    def is_finished(self, task, finished):
        """Whether a shard is there and, with ``--raw``, the originals of its images."""
        entry = finished.get(self.shards[task])
        return bool(entry) and (not self.options.raw or are_there(self.originals(task, entry['skipped'])))

    def needed(self, tasks):
        """Bytes that shards will take on the disk; an estimate where images are re-encoded."""
        total = sum(self.source.splits[split].bytes(order) + OVERHEAD * len(order)
                    for split, shard in tasks for order in [self.order(split, shard)])
        return total * (2 if self.options.raw else 1)

    def check_space(self, tasks):
        needed, free = self.needed(tasks), free_bytes(self.folder)
        if self.options.resize is None and needed > free:
            raise InputError(f'{self.folder}: {show_size(needed)} are needed, {show_size(free)} are free; make room '
                             f'and run again, or choose another --target-dir')

    def refusal(self, error, path=None):
        """The InputError for an OSError while writing."""
        name = one_line(error.filename or path or self.folder, 1000)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return InputError(f'{name}: {error.strerror}; what is finished is kept: run again')
        return InputError(f'{name}: {error.strerror}: all shards need about {show_size(self.needed(self.tasks))}, '
                          f'{show_size(free_bytes(self.folder))} are free; what is finished is kept: make room and run '
                          f'again')

    def write(self, task, count):
        """Write one shard; called in a worker process. Its manifest entry, and what was left out."""
        path, skipped = self.folder / self.shards[task], []
        try:
            entry = write_shard(path, self.records(task, skipped, count))
            if self.options.raw:        # before the journal says that the shard is finished
                sync_images(self.originals(task, skipped))
        except _Bad:
            return {'skipped': skipped}
        except OSError as error:
            raise self.refusal(error, path) from None
        return {**entry, 'skipped': skipped}

    def records(self, task, skipped, count):
        """Yield (id, label, encoded image); what cannot be decoded goes into ``skipped``."""
        options, samples, shard = self.options, self.source.splits[task[0]], self.shards[task]
        for index in self.order(*task).tolist():
            image = original = samples.read(index)
            try:
                if options.resize:
                    image = shrink(original, options.resize, options.quality, self.source.decoding)
                elif options.check_images or options.skip_bad:
                    check(original)
            except BadImage as error:
                skipped.append({'shard': shard, 'file': one_line(samples.path.name),
                                'member': one_line(samples.name(index)), 'reason': one_line(error.reason)})
            else:
                if options.raw:
                    name = self.source.classes[samples.labels[index]]
                    write_image(self.target, raw_place(task[0], name, samples.name(index)), index, original)
                if options.skip_bad or not skipped:
                    yield index, samples.labels[index], image
            count(1)
        if skipped and not options.skip_bad:
            raise _Bad


class _Bad(Exception):
    """A shard holds images that cannot be decoded."""


def _manifest(plan, source, finished):
    splits, skipped = {}, []
    for split, count in plan.counts.items():
        results = [finished[plan.shards[split, shard]] for shard in range(count)]
        shards = [{key: result[key] for key in ('file', 'records', 'bytes', 'sha256')} for result in results]
        splits[split] = {'records': sum(entry['records'] for entry in shards), 'shards': shards}
        skipped += [item for result in results for item in result['skipped']]
    empty = [split for split, entry in splits.items() if not entry['records']]
    if empty:
        raise InputError(f'{source.splits[empty[0]].path}: no image of it can be decoded')
    sample = {'sample': sample_of(source.splits['train'])} if source.val_fraction else {}
    return {'classes': source.classes, 'words': source.words, 'splits': splits, 'skipped': skipped, **plan.facts,
            **sample, 'versions': {'resnest': __version__, 'numpy': np.__version__, 'pillow': PIL.__version__}}


def check_prepared(target, workers=1):
    """Re-read the shards of ``target/rec`` and return their manifest; raises InputError that names what differs."""
    folder = Path(target).expanduser() / 'rec'
    manifest = finished_manifest(folder)
    entries = [entry for split in manifest['splits'].values() for entry in split['shards']]
    differences = check_folder(folder, {entry['file'] for entry in entries})
    with tqdm(total=sum(entry['records'] for entry in entries), desc='check', unit=' images', disable=None) as bar:
        for _, found in in_processes(lambda entry, count: check_shard(folder, entry, count), entries, workers,
                                     bar.update, itemgetter('file')):
            differences += found
    if differences:
        raise InputError('; '.join(sorted(differences)) + '. Delete what is named and prepare again with the same '
                         'options: only that is written anew')
    return manifest
