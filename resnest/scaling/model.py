"""How long a step takes on N ranks: bytes, a model of the time, and its fit to what was measured.

Horovod averages gradients by a ring all-reduce (Patarasuk and Yuan, 2009): each rank cuts its gradient into N parts,
sends one part to the next rank 2 (N - 1) times, and so sends 2 (N - 1) / N of the gradient. Seconds and bytes
throughout.
"""
import math
from dataclasses import dataclass

import numpy as np

__all__ = ['Link', 'crowding', 'exchanged_bytes', 'fit_link', 'forecast', 'ring_seconds', 'step_seconds']


@dataclass(frozen=True)
class Link:
    """Between neighbours of the ring: seconds before a message arrives, and bytes per second."""
    latency: float
    bandwidth: float

    @classmethod
    def of(cls, gbits, microseconds):
        """From Gbit/s and µs."""
        return cls(microseconds * 1e-6, gbits * 1e9 / 8)


def exchanged_bytes(parameters, ranks, fp16=False):
    """What each rank sends in a step, and receives: float32 gradients, or float16 with compression."""
    return 2 * (ranks - 1) / ranks * parameters * (2 if fp16 else 4)


def ring_seconds(payload, ranks, link):
    """Of the all-reduce of ``payload`` bytes on each rank."""
    return 2 * (ranks - 1) * (link.latency + payload / ranks / link.bandwidth)


def step_seconds(compute, exchange, hidden=0.0, input=0.0):
    """Of a step.

    ``compute`` is forward, backward and update on one rank; ``exchange`` that of the gradients, which goes on beside
    a share ``hidden`` of the computing; ``input`` the time in which the images of a step are decoded, ahead of it.
    """
    return max(compute + max(0.0, exchange - hidden * compute), input)


def crowding(ranks, threads, cores):
    """How many times longer all takes where the ranks of a machine have more threads than it has cores."""
    return max(1.0, ranks * threads / cores)


def fit_link(rows, cores=None):
    """The :class:`Link` that explains measured all-reduces best: least squares of relative errors, none below zero.

    ``rows`` are ``(ranks, payload, seconds)``, of at least two payloads or numbers of ranks. With ``cores`` the
    ranks share the cores of one machine, which do the sending too.
    """
    factors, seconds = [], []
    for ranks, payload, measured in rows:
        steps = 2 * (ranks - 1) * (crowding(ranks, 1, cores) if cores else 1)
        factors.append((steps, steps * payload / ranks))
        seconds.append(measured)
    scaled = np.array(factors) / np.array(seconds)[:, None]
    ones = np.ones(len(seconds))

    def solve(columns):
        units = scaled[:, columns].max(axis=0)
        found = np.zeros(2)
        found[columns] = np.linalg.lstsq(scaled[:, columns] / units, ones, rcond=None)[0] / units
        return found

    tried = [solve(columns) for columns in ([0, 1], [0], [1])]
    latency, inverse = min((found for found in tried if (found >= 0).all()),
                           key=lambda found: float(((scaled @ found - ones) ** 2).sum()))
    return Link(float(latency), 1 / inverse if inverse > 0 else math.inf)


def forecast(ranks, parameters, batch_size, compute, network, local=None, per_host=1, hidden=0.0, fp16=False,
             images_per_second=math.inf):
    """A row of a forecast: a dict with ``seconds`` (of a step), ``images_per_second`` (all ranks) and ``efficiency``.

    A ring that visits the ranks host by host crosses each host's network once, so the slower link sets its pace:
    ``network`` beyond ``per_host`` ranks, ``local`` within a host. ``images_per_second`` is what one rank's share
    of the cores can decode; ``efficiency`` is relative to as many ranks without exchange and waiting.
    """
    link = local if local and ranks <= per_host else network
    payload = parameters * (2 if fp16 else 4)
    exchange = ring_seconds(payload, ranks, link)
    seconds = step_seconds(compute, exchange, hidden, batch_size / images_per_second)
    return {'ranks': ranks, 'bytes': exchanged_bytes(parameters, ranks, fp16), 'exchange': exchange,
            'seconds': seconds, 'images_per_second': ranks * batch_size / seconds, 'efficiency': compute / seconds}
