"""Names for pictures: from paths, PIL images or arrays to classes and probabilities, in any precision, in batches."""
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Optional

import mxnet as mx
import numpy as np

from resnest.errors import InputError
from resnest.gluon.data import PictureTransform, find_pictures, preprocessing, with_normalization
from resnest.gluon.data.images.transforms import Evaluation
from resnest.gluon.device import choose_device
from resnest.gluon.models import SMALLEST_IMAGE
from resnest.reading import one_line

from .engines import gluon_engine, open_source
from .evaluation import softmax
from .explanations.drawing import MOST_PICTURES, draw_explanations
from .explanations.explaining import explain
from .names import class_names

__all__ = ['Guess', 'Prediction', 'Predictor', 'format_table']

NOT_FINITE = "the network's output is not finite; these weights are of no use"


class Guess(NamedTuple):
    """One class of a picture: its number, its name, and its probability from 0 to 1."""
    label: int
    name: str
    probability: float


class Prediction(NamedTuple):
    """The likeliest classes of a picture, the likeliest first, and the path of the picture where it had one."""
    guesses: list
    path: Optional[str] = None

    @property
    def label(self):
        """Number of the likeliest class."""
        return self.guesses[0].label

    @property
    def name(self):
        """Name of the likeliest class."""
        return self.guesses[0].name

    @property
    def probability(self):
        """Probability of the likeliest class, from 0 to 1."""
        return self.guesses[0].probability


class Predictor:
    """Names pictures by trained weights: ``Predictor('runs/x/best.params')('cat.jpg').name``.

    Parameters
    ----------
    source : str, path or HybridBlock
        Weights that are described, as training writes them (``best.params`` with its ``best.json``); the name of a
        model, for its published weights; an exported ``.onnx`` file; the prefix of an exported optimized network; or a
        network with its parameters, which has a ``spec``.
    precision : {None, 'float32', 'bfloat16', 'int8'}
        None takes the network as it is, which starts at once; the others optimize it for this CPU
        (:func:`resnest.gluon.inference.optimize`), which takes seconds and pays for more than a few pictures.
    calibration : list of pictures
        For int8, some hundred pictures like those that it was trained on; see ``pictures`` of :meth:`__call__`.
    classes : path or list of str
        Names of the classes, where the weights do not tell them: see :func:`.names.class_names`.
    crop_size, crop_ratio
        Pixels, and crop / resized short edge; what the weights want unless given.
    batch_size, workers : int
        Pictures at a time, and threads that decode them.
    ctx : Context
        The device; a GPU where there is one unless given.
    model, options
        For bare weights, which do not tell it themselves: the model's name, and the fields in which the network differs
        from the model's row.

    ``names`` are those of the classes, ``transform`` is the :class:`resnest.gluon.data.PictureTransform`.

    Raises InputError for weights that are not there or do not fit, and for what contradicts them.
    """

    def __init__(self, source='resnest50', precision=None, calibration=None, classes=None, crop_size=None,
                 crop_ratio=None, batch_size=16, workers=2, ctx=None, model=None, options=None):
        if batch_size < 1 or workers < 1:
            raise InputError('batch size and workers must be at least 1')
        if crop_size is not None and crop_size < SMALLEST_IMAGE:
            raise InputError(f'--crop-size must be at least {SMALLEST_IMAGE}, got {crop_size}')
        self.batch_size, self.workers = batch_size, workers
        self.ctx = ctx if ctx is not None else choose_device(precision not in (None, 'float32'))
        self.network, self._engine, self.settled = open_source(source, model, options, self.ctx)
        spec = self.settled.spec
        self.names = list(classes) if isinstance(classes, (list, tuple)) else \
            class_names(self.settled.classes, classes, self.settled.description)
        if len(self.names) != self.settled.classes:
            raise InputError(f'{len(self.names)} names, but the network has {self.settled.classes} classes')
        self.transform = PictureTransform(Evaluation(*preprocessing(spec, crop_size, crop_ratio)), spec.mean, spec.std)
        if self.network is None:
            if precision is not None:
                raise InputError(f'{one_line(source)}: exported, and so in the precision that it has; leave it out')
        elif precision is None:
            self._engine = with_normalization(self.network)
            self._engine.hybridize(static_alloc=True)
        else:
            batches = None if calibration is None else (batch for _, batch in self._batches(_listed(calibration)))
            self._engine = gluon_engine(self.network, precision, self.ctx, self.transform.crop.size, batch_size,
                                        batches and (mx.nd.array(batch, dtype='uint8') for batch in batches))

    def __repr__(self):
        return (f'Predictor({self.settled.what}: {self.settled.spec.name}, {len(self.names)} classes, '
                f'{self.transform!r})')

    def __call__(self, pictures, top_k=5):
        """The :class:`Prediction` of one picture, or a list of them for several.

        ``pictures`` is a path, a PIL image, or a uint8 array ``(H, W, 3)``; or a list of these, or the path of a
        folder, which stands for all pictures in it. ``top_k`` says how many classes each is given.

        Raises InputError for a picture that cannot be read, and where the network's output is not finite.
        """
        found = list(self.each(pictures, top_k))
        return found[0] if _is_one(pictures) else found

    def each(self, pictures, top_k=5, problem=None, progress=None):
        """Yield the predictions one by one, in the order of the pictures.

        ``problem(error)`` is called for each picture that cannot be read, which is then left out; without it the error
        is raised. ``progress(count)`` is called after each batch.
        """
        if top_k < 1:
            raise InputError(f'top-k must be at least 1, got {top_k}')
        for batch, pixels in self._batches(_listed(pictures), problem, progress):
            for picture, row in zip(batch, self._probabilities(pixels)):
                best = np.argsort(-row, kind='stable')[:top_k]
                path = str(picture) if isinstance(picture, (str, os.PathLike)) else None
                yield Prediction([Guess(int(label), self.names[label], float(row[label])) for label in best], path)

    def probabilities(self, pictures):
        """The probabilities of all classes, ``(N, classes)`` as float64 in NumPy; ``pictures`` as in a call."""
        rows = [self._probabilities(pixels) for _, pixels in self._batches(_listed(pictures))]
        return np.concatenate(rows) if rows else np.zeros((0, len(self.names)))

    def explain(self, pictures, labels=None, stage=None):
        """What the network looked at in each picture: :func:`.explain`, of pictures as in a call."""
        return self._explained(_listed(pictures), labels, stage)[1]

    def draw(self, pictures, path):
        """Draw the explanations of the first pictures (8 at most) to a file; returns how many. See :meth:`explain`."""
        pictures = _listed(pictures)[:MOST_PICTURES]
        pixels, found = self._explained(pictures)
        captions = [Path(each).name if isinstance(each, (str, os.PathLike)) else '' for each in pictures]
        draw_explanations(pixels, found, captions, self.names, path)
        return len(pictures)

    def _explained(self, pictures, labels=None, stage=None):
        if self.network is None:
            raise InputError('an exported network has no layers to look into; predict with the weights')
        batches = list(self._batches(pictures))
        pixels = np.concatenate([pixels for _, pixels in batches])
        *normalize, network = with_normalization(self.network)
        found = []
        for first in range(0, len(pixels), self.batch_size):
            x = mx.nd.array(pixels[first:first + self.batch_size], ctx=self.ctx, dtype='uint8')
            for block in normalize:
                x = block(x)
            found += explain(network, x, None if labels is None else labels[first:first + self.batch_size], stage)
        return pixels, found

    def _probabilities(self, pixels):
        logits = self._engine(mx.nd.array(pixels, ctx=self.ctx, dtype='uint8')).asnumpy()
        if not np.isfinite(logits).all():
            raise InputError(NOT_FINITE)
        return softmax(logits)

    def _batches(self, pictures, problem=None, progress=None):
        """Yield the pictures of a batch that can be read, and their pixels uint8 ``(n, size, size, 3)``.

        The next batch is decoded while a batch is worked on.
        """
        def read(picture):
            try:
                return self.transform.pixels(picture)
            except InputError as error:
                return error

        with ThreadPoolExecutor(self.workers) as pool:
            parts = [pictures[first:first + self.batch_size] for first in range(0, len(pictures), self.batch_size)]
            ahead = [pool.submit(read, picture) for picture in parts[0]] if parts else []
            for number, part in enumerate(parts):
                now = [each.result() for each in ahead]
                ahead = [pool.submit(read, picture) for each in parts[number + 1:number + 2] for picture in each]
                for error in (each for each in now if isinstance(each, InputError)):
                    if problem is None:
                        raise error
                    problem(error)
                good = [(picture, pixels) for picture, pixels in zip(part, now) if not isinstance(pixels, InputError)]
                if good:
                    chosen, pixels = zip(*good)
                    yield list(chosen), np.stack(pixels)
                if progress:
                    progress(len(part))


def _is_one(pictures):
    return isinstance(pictures, (str, os.PathLike)) and not os.path.isdir(os.path.expanduser(pictures)) or \
        not isinstance(pictures, (str, os.PathLike, list, tuple))


def _listed(pictures):
    """The pictures that are meant, one by one."""
    if _is_one(pictures):
        return [pictures]
    return find_pictures([pictures]) if isinstance(pictures, (str, os.PathLike)) else list(pictures)


def format_table(predictions):
    """The predictions as lines of text: a path, then its classes with their probabilities."""
    lines = []
    for found in predictions:
        lines.append(found.path or 'picture')
        lines += [f'  {100 * guess.probability:6.2f} %  {guess.name}' for guess in found.guesses]
    return '\n'.join(lines)
