"""Panoptic quality (Kirillov et al., 2019, https://arxiv.org/abs/1801.00868, section 4.1), with crowds and unlabelled
pixels as COCO counts them (https://cocodataset.org/#panoptic-eval)."""
import numpy as np

from resnest.errors import InputError

__all__ = ['panoptic_quality', 'segment_counts']

IOU, TRUE, FALSE, MISSED = range(4)


def segment_counts(truth, segments, found, found_segments, categories):
    """What counts of a picture: float64 ``(categories, 4)``, the sum of the IoUs of segments that match, how many those
    are, how many more were found, and how many were not found. Such counts may be added, over pictures and over ranks.

    Parameters
    ----------
    truth, found : int arrays
        ``(H, W)``: the number of each pixel's segment, 0 for none.
    segments : tuple of arrays
        Of the truth: numbers, categories, and whether each is a crowd, ``(S,)`` each.
    found_segments : pair of sequences
        Of what was found: numbers and categories.
    categories : list of int
        All of them.

    Segments of one category match where their IoU is above 0.5; pixels that have no segment in the truth are left out
    of it. What was found and lies more than half on such pixels and on crowds of its category does not count. Raises
    InputError for maps of different sizes, and for a segment of no category.
    """
    if truth.shape != found.shape:
        raise InputError(f'segments of {found.shape} pixels cannot be compared with those of {truth.shape}')
    place = {number: row for row, number in enumerate(categories)}
    numbers, rows, areas = _numbered(truth)
    others, columns, found_areas = _numbered(found)
    common = np.bincount(rows * len(others) + columns, minlength=len(numbers) * len(others))
    common = common.reshape(len(numbers), len(others))
    kinds, crowd = _facts(numbers, segments[0], (segments[1], segments[2]), place)
    given, _ = _facts(others, found_segments[0], (found_segments[1], np.zeros(len(found_segments[0]), bool)), place)
    nothing = common[numbers == 0].sum(0)
    union = areas[:, None] + found_areas - common - nothing
    alike = (kinds[:, None] == given) & (given >= 0)
    matches = alike & ~crowd[:, None] & (2 * common > union)
    passed = nothing + (common * (alike & crowd[:, None])).sum(0)
    counts = np.zeros((len(categories), 4))
    row, column = np.nonzero(matches)
    np.add.at(counts, (kinds[row], IOU), common[row, column] / union[row, column])
    np.add.at(counts, (kinds[row], TRUE), 1)
    np.add.at(counts, (given[(given >= 0) & ~matches.any(0) & (2 * passed <= found_areas)], FALSE), 1)
    np.add.at(counts, (kinds[(kinds >= 0) & ~crowd & ~matches.any(1)], MISSED), 1)
    return counts


def _numbered(ids):
    """The numbers in a map, where each pixel's stands among them ``(H W,)``, and the pixels of each."""
    numbers, inverse = np.unique(ids, return_inverse=True)
    inverse = inverse.ravel()
    return numbers, inverse, np.bincount(inverse, minlength=len(numbers))


def _facts(numbers, listed, facts, place):
    """The row of the category of each of ``numbers``, -1 for one that is not listed, and whether it is a crowd."""
    known = {}
    for number, category, crowd in zip(listed, *facts):
        if int(category) not in place:
            raise InputError(f'segment {number} is of category {category}, which is not listed')
        known[int(number)] = place[int(category)], bool(crowd)
    found = [known.get(number, (-1, False)) if number else (-1, False) for number in numbers.tolist()]
    return np.array([row for row, _ in found]), np.array([crowd for _, crowd in found])


def panoptic_quality(counts, things):
    """The figures, in per cent, of what :func:`segment_counts` counts; ``things`` says of each category whether it is
    one.

    A dict of ``pq``, ``sq`` (of what matches) and ``rq`` (how much matches), the same of things and of stuff alone
    (``pq_things``, …), each the mean over the categories that there are, None for none; and ``classes``, the PQ of
    each.
    """
    iou, true, false, missed = np.asarray(counts, np.float64).T
    there = true + false + missed > 0
    rq = np.divide(true, true + (false + missed) / 2, out=np.zeros_like(true), where=there)
    sq = np.divide(iou, true, out=np.zeros_like(iou), where=true > 0)
    figures, things = {}, np.asarray(things, bool)
    for name, chosen in (('', there), ('_things', there & things), ('_stuff', there & ~things)):
        for figure, values in (('pq', sq * rq), ('sq', sq), ('rq', rq)):
            figures[figure + name] = 100 * float(values[chosen].mean()) if chosen.any() else None
    return {**figures, 'classes': [100 * float(value) if known else None for value, known in zip(sq * rq, there)]}
