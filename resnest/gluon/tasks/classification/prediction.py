"""Names for pictures."""
from concurrent.futures import ThreadPoolExecutor

import mxnet as mx
import numpy as np

from resnest.errors import InputError
from resnest.gluon.data import read_picture

from .evaluation import softmax

__all__ = ['classify', 'format_table', 'probabilities']


def classify(net, paths, transform, names, device, top_k=5, batch_size=32, workers=2, progress=None):
    """The likeliest classes of pictures.

    Parameters
    ----------
    net : callable
        From uint8 ``(N, size, size, 3)`` to logits ``(N, classes)``.
    paths : list of path
        Picture files; see :func:`resnest.gluon.data.find_pictures`.
    transform : callable
        From ``(image, None)`` to a uint8 array ``(size, size, 3)``, as :class:`resnest.gluon.data.Evaluation`.
    names : list of str
        One for each class.
    device : Context
    top_k : int
        Classes to name, all where there are fewer.
    batch_size, workers : int
        Pictures at a time, and threads that decode them.
    progress : callable
        Called with the number of pictures after each batch.

    Returns ``(results, problems)``: a dict ``{'file', 'top': [{'class', 'name', 'probability'}, …]}`` for each
    picture, and a line for each file that cannot be read. Raises InputError for numbers below 1, and where the
    network's output is not finite.
    """
    if top_k < 1 or batch_size < 1 or workers < 1:
        raise InputError('top-k, batch size and workers must be at least 1')
    results, problems = [], []
    with ThreadPoolExecutor(workers) as pool:
        for first in range(0, len(paths), batch_size):
            batch = paths[first:first + batch_size]
            read = list(pool.map(lambda path: _read(path, transform), batch))
            problems += [problem for _, problem in read if problem]
            readable = [(path, pixels) for path, (pixels, problem) in zip(batch, read) if not problem]
            if readable:
                files, pixels = zip(*readable)
                for file, row in zip(files, probabilities(net, np.stack(pixels), device)):
                    best = np.argsort(-row, kind='stable')[:top_k]
                    results.append({'file': str(file), 'top': [
                        {'class': int(label), 'name': names[label], 'probability': float(row[label])}
                        for label in best]})
            if progress:
                progress(len(batch))
    return results, problems


def probabilities(net, images, device):
    """Softmax of the logits, ``(N, classes)`` in NumPy, of uint8 images ``(N, size, size, 3)``.

    Raises InputError where they are not finite.
    """
    logits = net(mx.nd.array(images, ctx=device, dtype='uint8')).asnumpy()
    if not np.isfinite(logits).all():
        raise InputError("the network's output is not finite; these weights are of no use")
    return softmax(logits)


def _read(path, transform):
    try:
        return read_picture(path, transform), None
    except InputError as error:
        return None, str(error)


def format_table(results):
    """The results as lines of text: a file, then its classes with their probabilities."""
    lines = []
    for result in results:
        lines.append(result['file'])
        lines += [f"  {100 * entry['probability']:6.2f} %  {entry['name']}" for entry in result['top']]
    return '\n'.join(lines)
