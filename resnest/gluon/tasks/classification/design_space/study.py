"""A study of design spaces: networks of each are trained alike, and the distributions of their errors are set side by
side (Radosavovic et al., 2020, https://arxiv.org/abs/2003.13678, section 3.1)."""
import json
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path

import numpy as np

from resnest.errors import InputError, MissingPackage
from resnest.files import replace_file
from resnest.gluon.streams import BOOTSTRAP, generator
from resnest.reading import one_line

from ..ablation.rows import Row, train_rows
from .networks import MODEL, Networks
from .pictures import draw_distributions, draw_parameters
from .spaces import SPACES

__all__ = ['band', 'best_range', 'distribution', 'summary', 'rows_of', 'train_spaces']

RESAMPLINGS = 1000
SHARE = 95          # per cent of the resamplings that lie in a band
PART = 0.25         # of the networks, of which the best one is looked at in each resampling


def rows_of(name, networks, values):
    """A row of an ablation for each network of the space ``name``, with the options ``values`` of the recipe besides.

    Raises InputError where those have a model, or other fields of it: the networks differ in these.
    """
    for field in ('model', 'model_options', 'resume_params'):
        if values.get(field) is not None:
            raise InputError(f'--{field.replace("_", "-")}: the space has the networks; leave it out')
    digits = len(str(len(networks) - 1))
    return [Row(f'{name} {index:0{max(3, digits)}}', {**values, 'model': MODEL, 'model_options': networks.options(index)})
            for index in range(len(networks))]


def distribution(errors):
    """``(values, shares)``: the errors in ascending order, and the share of the networks whose error is at most that."""
    values = np.sort(np.asarray(errors, float))
    return values, np.arange(1, len(values) + 1) / len(values)


def band(errors, random):
    """Limits ``(low, high)`` of the distribution at its values: of the shares of resamplings, the middle 95 %."""
    values = np.sort(np.asarray(errors, float))
    drawn = np.sort(random.choice(values, (RESAMPLINGS, len(values))), axis=1)
    shares = np.stack([np.searchsorted(each, values, side='right') for each in drawn]) / len(values)
    return np.percentile(shares, ((100 - SHARE) / 2, (100 + SHARE) / 2), axis=0)


def best_range(errors, parameter, random):
    """``(low, middle, high)`` of a parameter of the best network: the median and the middle 95 % of resamplings.

    Each takes a quarter of the networks, with replacement, and of them the one of the least error (section 3.1).
    """
    errors, parameter = np.asarray(errors, float), np.asarray(parameter)
    drawn = random.integers(len(errors), size=(RESAMPLINGS, max(1, round(PART * len(errors)))))
    best = parameter[drawn[np.arange(RESAMPLINGS), errors[drawn].argmin(axis=1)]]
    return tuple(np.percentile(best, ((100 - SHARE) / 2, 50, (100 + SHARE) / 2)))


def train_spaces(spaces, values, out, command, say, settings):
    """Train the networks of spaces, ``{name: Networks}``, those that are not finished, and set the spaces side by side.

    ``values`` are the recipe's for all, ``settings`` (``seed``, ``size`` and ``classes`` among them) what the sampling
    was asked for, which goes into the files. Writes into ``out`` what :func:`..ablation.rows.train_rows` does for each
    network, and after each ``design_space.json``, ``distributions.png`` and ``parameters.png``. Returns its exit code.
    """
    rows = {name: rows_of(name, networks, values) for name, networks in spaces.items()}

    def write(_, out, say):
        found = summary(spaces, rows, settings)
        replace_file(Path(out, 'design_space.json'), json.dumps(found, indent=1) + '\n')
        try:
            draw_distributions(found['spaces'], Path(out, 'distributions.png'))
            draw_parameters(found['spaces'], Path(out, 'parameters.png'))
        except MissingPackage as error:
            say(f'note: no pictures: {one_line(error)}')

    everything = [row for each in zip_longest(*rows.values()) for row in each if row]
    return train_rows(everything, everything, out, command, say, write)


def summary(spaces, rows, settings):
    """What is known of each space, ready for JSON: its networks, the distribution of their errors, and the best ones."""
    found = {}
    for name, networks in spaces.items():
        costs = networks.multiply_adds(settings['size'], settings['classes'])
        listed = [{'name': row.name, **{each: getattr(networks, each)[index].tolist() for each in Networks.PARAMETERS},
                   'multiply_adds': int(costs[index]), 'error': None if row.top1 is None else 100 - row.top1,
                   'failure': row.failure} for index, row in enumerate(rows[name])]
        trained = [each for each in listed if each['error'] is not None]
        found[name] = {'space': asdict(SPACES[name]), 'networks': listed}
        if trained:
            found[name].update(_figures(trained, settings['seed'], [*SPACES].index(name)))
    return {'settings': settings, 'spaces': found}


def _figures(trained, seed, number):
    errors = [each['error'] for each in trained]
    values, shares = distribution(errors)
    low, high = band(errors, generator(BOOTSTRAP, seed, number))
    best = {}
    for name in Networks.PARAMETERS:
        columns = np.array([each[name] for each in trained])
        best[name] = [best_range(errors, column, generator(BOOTSTRAP, seed, number)) for column in columns.T]
    return {'distribution': {'error': values.tolist(), 'share': shares.tolist(), 'low': low.tolist(),
                             'high': high.tolist()},
            'least': min(errors), 'mean': float(np.mean(errors)), 'best': best}
