"""COCO's keypoints (https://cocodataset.org/#format-data): annotations whose instances also have joints."""
import re
from array import array
from dataclasses import dataclass, field

import numpy as np

from resnest.errors import InputError
from resnest.reading import one_line

from .annotations import Reader, read_with
from .instances import Annotations

__all__ = ['COCO_JOINTS', 'Joints', 'Keypoints', 'read_keypoints']

MOST_JOINTS = 10_000
FAR = 1 << 20           # pixels: beyond, a joint is of no picture
SIGMA = 0.05            # of joints that nobody tells one of
LEFT = re.compile(r'left|(?<![^\W\d_])l(?![^\W\d_])')      # in a name of small letters
VISIBILITY = (0, 1, 2)  # not annotated, hidden, seen


@dataclass(frozen=True)
class Joints:
    """The joints of a category: ``names``, ``edges``, pairs of joints that a skeleton's lines connect, and ``sigmas``,
    the spread of people's annotations of each relative to the size of the object, which object keypoint similarity
    (OKS) is measured by (https://cocodataset.org/#keypoints-eval). Raises InputError for what no joints have."""
    names: tuple
    edges: tuple = ()
    sigmas: tuple = field(default=None)

    def __post_init__(self):
        names, edges, sigmas = self.names, self.edges, self.sigmas
        if not isinstance(names, (list, tuple)) or not 1 <= len(names) <= MOST_JOINTS or \
                not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            raise InputError(f'keypoints must be names, no two of them alike, got {one_line(names, 60)}')
        if sigmas is None:
            sigmas = COCO_JOINTS.sigmas if tuple(names) == COCO_NAMES else [SIGMA] * len(names)
        if not isinstance(sigmas, (list, tuple)) or len(sigmas) != len(names) or \
                not all(type(sigma) in (int, float) and 0 < sigma <= 10 for sigma in sigmas):
            raise InputError(f'sigmas must be a number above 0 and up to 10 for each of the {len(names)} keypoints, '
                             f'got {one_line(sigmas, 60)}')
        if not isinstance(edges, (list, tuple)) or not all(
                isinstance(edge, (list, tuple)) and len(edge) == 2 and
                all(type(end) is int and 0 <= end < len(names) for end in edge) for edge in edges):
            raise InputError(f'the skeleton must be pairs of the {len(names)} keypoints, got {one_line(edges, 60)}')
        for name, value in (('names', names), ('sigmas', sigmas), ('edges', map(tuple, edges))):
            object.__setattr__(self, name, tuple(value))

    @property
    def pairs(self):
        """The joints that change places in a mirror: those of one name but for 'left' and 'right', or for the letters
        'l' and 'r' where no others are beside them."""
        places = {name.lower(): place for place, name in enumerate(self.names)}
        others = {name: LEFT.sub(lambda left: 'right' if left[0] == 'left' else 'r', name) for name in places}
        return tuple((places[name], places[other]) for name, other in others.items()
                     if other != name and other in places)


COCO_NAMES = ('nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear', 'left_shoulder', 'right_shoulder', 'left_elbow',
              'right_elbow', 'left_wrist', 'right_wrist', 'left_hip', 'right_hip', 'left_knee', 'right_knee',
              'left_ankle', 'right_ankle')
# The sigmas are those of https://cocodataset.org/#keypoints-eval.
COCO_JOINTS = Joints(COCO_NAMES,
                     ((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8),
                      (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
                     (0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087,
                      0.087, 0.089, 0.089))


@dataclass
class Keypoints(Annotations):
    """:class:`.Annotations`, with the ``joints`` of their categories, and ``points``, float64 ``(A, J, 3)``: x, y and
    COCO's visibility of each: 0 for not annotated, 1 for hidden, 2 for seen; ``jointed`` ``(A,)`` tells whether the
    category of an instance has joints at all."""
    joints: Joints = None
    points: np.ndarray = None
    jointed: np.ndarray = None


def read_keypoints(path):
    """The :class:`Keypoints` of a JSON file, without masks.

    Instances of categories without keypoints have none, whatever they say, as have those of which none is annotated.
    The sigmas may stand beside the skeleton in the category (``sigmas``, which COCO's files have not); otherwise those
    of COCO's joints are COCO's, and those of any others 0.05. Raises InputError in one line, that names the file and
    the annotation, for what :func:`.annotations.read_annotations` refuses, for a file without keypoints, for categories
    of different ones, and for an instance with another number of values than three for each, or with values that no
    joint has.
    """
    return read_with(path, _Reader)


class _Reader(Reader):
    def __init__(self, path, with_shapes=False):
        super().__init__(path, with_shapes=False)
        self.joints, self.points, self.owners, self.jointed = None, array('d'), [], []

    def category(self, item):
        super().category(item)
        if item.get('keypoints') is None:
            return
        try:
            edges = item.get('skeleton') or []
            if not isinstance(edges, list):
                raise InputError(f'the skeleton must be a list, got {one_line(edges, 60)}')
            counted = [[end - 1 if type(end) is int else end for end in edge] if isinstance(edge, list) else edge
                       for edge in edges]       # COCO counts from 1
            joints = Joints(item['keypoints'], counted, item.get('sigmas'))
        except InputError as error:
            raise InputError(f"{self.path}: category {item['id']}: {error}") from None
        if self.joints not in (None, joints):
            raise InputError(f"{self.path}: category {item['id']} has other keypoints than the one before; give files "
                             f'of one kind each')
        self.joints = joints
        self.jointed.append(item['id'])

    def annotation(self, item):
        super().annotation(item)
        values = item.get('keypoints')
        if values is None or values == []:
            return
        where = f'{self.path}: annotation {self.ids[-1]}'
        if not isinstance(values, list) or len(values) % 3 or \
                not all(type(value) in (int, float) for value in values):
            raise InputError(f'{where}: keypoints must be numbers x, y, visibility of each, got {one_line(values, 60)}')
        if any(visibility not in VISIBILITY for visibility in values[2::3]):
            raise InputError(f'{where}: keypoints: a visibility must be 0, 1 or 2, got {one_line(values[2::3], 60)}')
        if not all(abs(value) <= FAR for value in values):
            raise InputError(f'{where}: keypoints: a joint that lies far outside of its picture; mend it')
        self.points.extend(values)
        self.owners.append((len(self.ids) - 1, len(values) // 3))

    def result(self):
        if self.joints is None:
            raise InputError(f"{self.path}: no category has keypoints; give a file such as person_keypoints_train2017"
                             f'.json')
        count, plain = len(self.joints.names), super().result()
        points = np.zeros((len(plain.ids), count, 3))
        jointed = np.isin([number for number, _ in plain.categories], self.jointed)[plain.classes]
        for place, given in self.owners:
            if given != count and jointed[place]:
                raise InputError(f'{self.path}: annotation {self.ids[place]}: {given} keypoints, but its category has '
                                 f'{count}; mend it')
        places, counts = np.array(self.owners, np.int64).reshape(-1, 2).T
        counted = np.array(self.points).reshape(-1, 3)[np.repeat(jointed[places], counts)]
        points[places[jointed[places]]] = counted.reshape(-1, count, 3)
        values = {name: getattr(plain, name) for name in Annotations.__dataclass_fields__}
        return Keypoints(**values, joints=self.joints, points=points, jointed=jointed)
