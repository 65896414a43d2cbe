"""Names for pictures: from paths, PIL images or arrays to classes and probabilities, in any precision, in batches."""
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, Optional, Union, overload

import mxnet as mx
import numpy as np

from resnest.errors import InputError
from resnest.gluon.checking import check_count
from resnest.gluon.data import (
    OnePicture,
    Pictures,
    PictureTransform,
    each_picture,
    is_one_picture,
    with_normalization,
)
from resnest.gluon.device import check_device, choose_device
from resnest.gluon.figures import require_figure
from resnest.gluon.inference.engines import gluon_engine
from resnest.reading import one_line

from .evaluation import softmax
from .explanations.drawing import MOST_PICTURES, draw_explanations
from .explanations.explaining import Explanation, check_request, explain
from .names import class_names
from .settling import check_crop
from .sources import check_precision, open_source

__all__ = ['Guess', 'Prediction', 'Predictor', 'format_table']

MOST_WORKERS = 1024
NOT_FINITE = "the network's output is not finite; these weights are of no use"


class Guess(NamedTuple):
    """One class of a picture: its number, its name, and its probability from 0 to 1."""
    label: int
    name: str
    probability: float


class Prediction(NamedTuple):
    """The likeliest classes of a picture, the likeliest first, and the path of the picture where it had one."""
    guesses: list[Guess]
    path: Optional[str] = None

    @property
    def label(self) -> int:
        """Number of the likeliest class."""
        return self.guesses[0].label

    @property
    def name(self) -> str:
        """Name of the likeliest class."""
        return self.guesses[0].name

    @property
    def probability(self) -> float:
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
    calibration : pictures
        For int8 alone, some hundred pictures like those that it was trained on: a folder, or a list as in a call.
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
        from the model's row. An ``.onnx`` file takes the former, the name of a model the latter, a network and an
        exported optimized one neither.

    ``names`` are those of the classes, ``transform`` is the :class:`resnest.gluon.data.PictureTransform`.

    Raises InputError for weights that are not there or do not fit, and for what contradicts them.
    """

    def __init__(self, source: Any = 'resnest50', precision: Optional[Literal['float32', 'bfloat16', 'int8']] = None,
                 calibration: Optional[Pictures] = None,
                 classes: Union[str, 'os.PathLike[str]', Sequence[str], None] = None,
                 crop_size: Optional[int] = None, crop_ratio: Optional[float] = None, batch_size: int = 16,
                 workers: int = 2, ctx: Any = None, model: Optional[str] = None,
                 options: Optional[dict[str, Any]] = None) -> None:
        check_count('the batch size', batch_size)
        check_count('workers', workers, 1, MOST_WORKERS)
        check_crop(crop_size, crop_ratio)
        check_precision(precision, calibration)
        self.batch_size, self.workers = batch_size, workers
        self.ctx = ctx if ctx is not None else choose_device(precision not in (None, 'float32'))
        check_device(self.ctx)
        self.network, self._engine, self.settled = open_source(source, model, options, self.ctx)
        spec = self.settled.spec
        self.names: list[str] = class_names(self.settled.classes, classes, self.settled.description)
        self.transform = PictureTransform(self.settled.crop(crop_size, crop_ratio), spec.mean, spec.std)
        if self.network is None:
            if precision is not None:
                raise InputError(f'{one_line(source)}: exported, and so in the precision that it has; leave it out')
        elif precision is None:
            self._engine = with_normalization(self.network)
            self._engine.hybridize(static_alloc=True)
        else:
            batches = None if calibration is None else (batch for _, batch in self._batches(calibration))
            self._engine = gluon_engine(self.network, precision, self.ctx, self.transform.crop.size, batch_size,
                                        batches and (mx.nd.array(batch, dtype='uint8') for batch in batches))

    def __repr__(self):
        return (f'Predictor({self.settled.what}: {self.settled.spec.name}, {len(self.names)} classes, '
                f'{self.transform!r})')

    @overload
    def __call__(self, pictures: OnePicture, top_k: int = ...) -> Prediction: ...

    @overload
    def __call__(self, pictures: Iterable[OnePicture], top_k: int = ...) -> list[Prediction]: ...

    def __call__(self, pictures, top_k=5):
        """The :class:`Prediction` of one picture, or a list of them for several.

        ``pictures`` is a path, a PIL image, or a uint8 array ``(H, W, 3)``; or an iterable of these, in which the path
        of a folder stands for all pictures in it. The path of a folder alone gives a list too; for type checkers, which
        cannot know a folder by its name, write ``[folder]``. ``top_k`` says how many classes each picture is given.

        Raises InputError for a picture that cannot be read, and where the network's output is not finite.
        """
        one = is_one_picture(pictures)
        found = list(self.each(pictures, top_k))
        return found[0] if one else found

    def each(self, pictures: Pictures, top_k: int = 5, problem: Optional[Callable[[InputError], object]] = None,
             progress: Optional[Callable[[int], object]] = None) -> Iterator[Prediction]:
        """Yield the predictions one by one, in the order of the pictures, of which no more than two batches are held.

        ``problem(error)`` is called for each picture that cannot be read, which is then left out; without it the error
        is raised. ``progress(count)`` is called after each batch.
        """
        check_count('top-k', top_k)
        for batch, pixels in self._batches(pictures, problem, progress):
            for picture, row in zip(batch, self._probabilities(pixels)):
                best = np.argsort(-row, kind='stable')[:top_k]
                path = str(picture) if isinstance(picture, (str, os.PathLike)) else None
                yield Prediction([Guess(int(label), self.names[label], float(row[label])) for label in best], path)

    def probabilities(self, pictures: Pictures) -> np.ndarray:
        """The probabilities of all classes, ``(N, classes)`` as float64 in NumPy; ``pictures`` as in a call."""
        rows = [self._probabilities(pixels) for _, pixels in self._batches(pictures)]
        return np.concatenate(rows) if rows else np.zeros((0, len(self.names)))

    def explain(self, pictures: Pictures, labels: Optional[Sequence[int]] = None,
                stage: Optional[int] = None) -> list[Explanation]:
        """What the network looked at in each picture: :func:`.explain`, of pictures as in a call."""
        return self._explained(pictures, labels, stage)[1]

    def draw(self, pictures: Pictures, path: Union[str, 'os.PathLike[str]']) -> int:
        """Draw the explanations of the first 8 pictures, and of no more, to a file; returns how many.

        Pictures are as in a call, the ending of the path is the format. Raises InputError where there is no picture,
        and for another ending.
        """
        require_figure(path, 'draw to')
        pictures = list(islice(each_picture(pictures), MOST_PICTURES))
        if not pictures:
            raise InputError('there is no picture to draw')
        pixels, found = self._explained(pictures)
        captions = [Path(each).name if isinstance(each, (str, os.PathLike)) else '' for each in pictures]
        draw_explanations(pixels, found, captions, self.names, path)
        return len(pictures)

    def _explained(self, pictures, labels=None, stage=None):
        if self.network is None:
            raise InputError('an exported network has no layers to look into; predict with the weights')
        size = self.transform.crop.size
        pixels = np.concatenate([np.zeros((0, size, size, 3), 'uint8'), *(part for _, part in self._batches(pictures))])
        check_request(labels, stage, len(pixels), len(self.names))
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

        pictures = each_picture(pictures)
        with ThreadPoolExecutor(self.workers) as pool:
            def begin():
                return [(picture, pool.submit(read, picture)) for picture in islice(pictures, self.batch_size)]

            ahead = begin()
            while ahead:
                part, now = [picture for picture, _ in ahead], [pixels.result() for _, pixels in ahead]
                ahead = begin()
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


def format_table(predictions: Iterable[Prediction]) -> str:
    """The predictions as lines of text: a path, then its classes with their probabilities."""
    lines = []
    for found in predictions:
        lines.append(found.path or 'picture')
        lines += [f'  {100 * guess.probability:6.2f} %  {guess.name}' for guess in found.guesses]
    return '\n'.join(lines)
