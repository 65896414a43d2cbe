"""Batches that are fetched before they are asked for."""
from resnest.gluon.training.run.ahead import Ahead


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
