"""COCO's annotations (https://cocodataset.org/#format-data) in flat arrays: 860,000 instances take about 400 MB.

As Python's objects they would take ten times as much, in each rank.
"""
from dataclasses import dataclass

import numpy as np

from .packed import Packed

__all__ = ['NO_SHAPE', 'POLYGONS', 'RUNS', 'Annotations']

NO_SHAPE, POLYGONS, RUNS = range(3)


@dataclass
class Annotations:
    """The pictures and instances of a file. Of the N pictures, in the order of their ids: ``picture_ids`` ``(N,)``,
    ``sizes`` ``(N, 2)``, height and width in pixels, and ``names``, encoded paths. Of the A instances, in the order of
    the file: ``ids``, ``pictures`` (places among the N), ``boxes`` ``(A, 4)`` float64, COCO's left, top, width,
    height, ``classes`` (places in ``categories``, which are ``(id, name)`` by id), ``crowd`` and ``areas``.
    """
    path: str
    picture_ids: np.ndarray
    sizes: np.ndarray
    names: Packed
    categories: list
    ids: np.ndarray
    pictures: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray
    forms: np.ndarray           # NO_SHAPE, POLYGONS or RUNS
    part_ends: np.ndarray       # of each instance among ``parts``: its polygons, or its run lengths
    parts: Packed

    def __post_init__(self):
        self._order = np.argsort(self.pictures, kind='stable')
        self._starts = np.searchsorted(self.pictures[self._order], np.arange(len(self.picture_ids) + 1))

    def of(self, picture):
        """The places of a picture's instances, in the order of the file."""
        return self._order[self._starts[picture]:self._starts[picture + 1]]

    def shape(self, place):
        """The polygons of an instance, a list of float64 ``(points, 2)``, or its run lengths, int64, or None."""
        start = self.part_ends[place - 1] if place else 0
        parts = [self.parts[part] for part in range(start, self.part_ends[place])]
        if self.forms[place] == RUNS:
            return parts[0].astype(np.int64)
        return [part.reshape(-1, 2) for part in parts] if self.forms[place] == POLYGONS else None
