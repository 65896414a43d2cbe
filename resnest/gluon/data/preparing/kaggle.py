"""ILSVRC 2012 as Kaggle packs it: train/<wnid>/, and a flat val/ whose labels a table tells."""
import csv
import io
import os
from pathlib import Path

from resnest.errors import InputError
from resnest.reading import one_line, read_text

from ..images.class_folders import class_names, images_below, list_classes
from ..images.samples import Samples, Source

__all__ = ['find_kaggle', 'kaggle_source']

SOLUTION = 'LOC_val_solution.csv'
SYNSETS = 'LOC_synset_mapping.txt'


def find_kaggle(root):
    """The folder ``CLS-LOC`` of Kaggle's layout at or below ``root``, None where it is another layout."""
    candidates = [root / 'ILSVRC/Data/CLS-LOC', root / 'Data/CLS-LOC', root / 'CLS-LOC', root]
    return next((path for path in candidates
                 if path.is_dir() and 'CLS-LOC' in (path.name, os.path.basename(os.path.realpath(path)))), None)


def kaggle_source(root):
    """The :class:`Source` of ``ILSVRC/Data/CLS-LOC`` at or below ``root``, with ``LOC_val_solution.csv`` beside
    ``ILSVRC/``. Raises InputError for a split without its labels, and for images and labels that do not fit."""
    data = find_kaggle(root)
    train, val = data / 'train', data / 'val'
    if not train.is_dir():
        raise InputError(f'{train}: missing; unpack the archive of Kaggle again')
    classes = class_names(train)
    labels = {name: label for label, name in enumerate(classes)}
    splits = {'train': list_classes(train, labels)}
    if val.is_dir():
        splits['val'] = _list_val(root, data, labels)
    return Source('Kaggle', classes, splits, _read_words(_beside(root, data, SYNSETS), classes),
                  max(samples.modified for samples in splits.values()))


def _list_val(root, data, labels):
    val, solution = data / 'val', _beside(root, data, SOLUTION)
    if not solution:
        raise InputError(f'{val}: its labels are in {SOLUTION}, which is missing; put it from Kaggle into {root}')
    truth, samples = _read_solution(solution), Samples(val)
    for path in images_below(val, samples.foreign):
        wnid = truth.pop(path.stem, None)
        if wnid not in labels:
            what = f'its class {one_line(wnid, 40)} is not in train' if wnid else f'no line in {solution}'
            raise InputError(f'{one_line(path, 1000)}: {what}; unpack the archive of Kaggle again')
        samples.add_file(path, labels[wnid])
    if truth:
        raise InputError(f'{val}: {one_line(next(iter(truth)))} is missing ({len(truth)} images of {solution.name} '
                         f'are); unpack the archive of Kaggle again')
    return samples


def _beside(root, data, name):
    """A file of the archive's root: beside ILSVRC/, or anywhere on the way down; links lead on two ways."""
    folders = [data, *list(Path(os.path.abspath(data)).parents)[:3], *list(data.resolve().parents)[:3], root]
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _read_words(synsets, classes):
    """The readable names of the classes, out of lines ``WNID words``; none without that file."""
    if not synsets:
        return []
    lines = (line.split(maxsplit=1) for line in read_text(synsets).splitlines())
    words = {line[0]: line[1] for line in lines if len(line) == 2}
    return [words.get(name, '') for name in classes]


def _read_solution(path):
    """Image name → WNID, out of ``ImageId,PredictionString``; the string starts with the WNID."""
    lines = io.StringIO(read_text(path), newline='')
    try:
        return {row['ImageId']: row['PredictionString'].split()[0] for row in csv.DictReader(lines)}
    except (KeyError, IndexError, AttributeError, csv.Error):
        raise InputError(f'{path}: not the table ImageId,PredictionString; download it from Kaggle again') from None
