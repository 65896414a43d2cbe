"""Batches that are fetched before they are asked for."""
import threading
from types import SimpleNamespace

import pytest

from resnest.gluon.training.run.ahead import Ahead, Epochs

from ...processes import python


class Letters:
    """Batches of a letter each; every second one costs a record."""

    def __init__(self):
        self.batches, self.skipped, self.yielded = [[0], [1], [2], [3]], [], 0

    def __iter__(self):
        for number, letter in enumerate('abcd'):
            self.skipped += ['record'] * (number % 2)
            self.yielded += 1
            yield letter


def test_what_was_left_out_is_told_of_the_batches_that_were_taken():
    loader = Letters()
    source = Ahead(loader, 1, lambda batches: [(indices, letter.upper()) for indices, letter in batches])
    found = []
    for number in range(4):
        found.append(source.take())
        assert loader.yielded == number + 1
        if number % 3 != 2:
            source.fetch()
            assert loader.yielded == min(4, number + 2)
    assert found == [([([0], 'A')], 0), ([([1], 'B')], 1), ([([2], 'C')], 1), ([([3], 'D')], 2)]


def test_several_batches_for_a_step():
    source = Ahead(Letters(), 2, lambda batches: ''.join(letter for _, letter in batches))
    source.fetch()
    assert [source.take(), source.take()] == [('ab', 1), ('cd', 2)]
    assert source.waited >= 0


def test_batches_that_were_begun_beside_something_else():
    loader, threads = Letters(), []
    source = Ahead(loader, 2, lambda batches: threads.append(threading.get_ident()) or [each for _, each in batches])
    source.start()
    assert [source.take()[0], source.take()[0]] == [['a', 'b'], ['c', 'd']]
    assert threads == [threading.get_ident()] * 2       # only this one copies to the device
    assert loader.yielded == 4


def test_what_goes_wrong_there_is_raised_where_batches_are_taken():
    class Damaged(Letters):
        def __iter__(self):
            yield 'a'
            raise OSError('the disk has gone')

    source = Ahead(Damaged(), 2, list)
    source.start()
    with pytest.raises(OSError, match='the disk has gone'):
        source.take()


def test_an_epoch_that_was_begun_is_given_once_and_from_its_beginning_only():
    made = []
    task = SimpleNamespace(batches=lambda epoch, start: made.append((epoch, start)) or Letters())
    step = SimpleNamespace(prepare=lambda batches, epoch: (epoch, len(batches)))
    epochs = Epochs(task, SimpleNamespace(accumulate=2, num_epochs=3), step)
    epochs.begin(1)
    assert made == [(1, 0)]
    assert epochs.ahead(1, 0).take() == ((1, 2), 1)
    assert made == [(1, 0)]
    epochs.ahead(1, 0)
    epochs.begin(2)
    epochs.ahead(2, 1)      # a run that goes on within it
    epochs.begin(3)         # there is none
    assert made == [(1, 0), (1, 0), (2, 0), (2, 2)]


def test_what_was_begun_and_not_asked_for_is_ended():
    class Closed(Letters):
        closed = False

        def __iter__(self):
            try:
                yield from super().__iter__()
            finally:
                self.closed = True

    loaders = [Closed(), Closed()]
    made = iter(loaders)
    epochs = Epochs(SimpleNamespace(batches=lambda *_: next(made)), SimpleNamespace(accumulate=1, num_epochs=3), None)
    epochs.begin(1)
    epochs.ahead(2, 0)          # another one
    assert [loader.closed for loader in loaders] == [True, False]
    loaders.append(Closed())
    epochs = Epochs(SimpleNamespace(batches=lambda *_: loaders[2]), SimpleNamespace(accumulate=1, num_epochs=3), None)
    epochs.begin(1)
    epochs.close()
    assert loaders[2].closed


def test_a_run_that_ends_while_processes_make_its_next_epoch():
    """They heed no SIGTERM, and Python would wait for them at its end."""
    program = """
        import signal
        from types import SimpleNamespace
        from resnest.gluon.data import SampleLoader
        from resnest.gluon.training.run.ahead import Epochs
        from tests.data.test_processes import Told

        signal.alarm(60)        # which ends a wait too

        def run():
            task = SimpleNamespace(batches=lambda *_: SampleLoader(Told(6), [[each] for each in range(6)], list,
                                                                   (2, 'process')))
            epochs = Epochs(task, SimpleNamespace(accumulate=1, num_epochs=3), None)
            epochs.begin(1)
            return epochs

        epochs = run()
        epochs.close()
        print('over')
        """
    assert python(program) == 'over'
