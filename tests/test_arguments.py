"""Options' limits, and the one line about what is beyond them."""
import argparse
from pathlib import Path

import pytest

from resnest.arguments import Parser, number, plain_path, whole
from resnest.errors import InputError

PARSER = Parser(prog='x')
PARSER.add_argument('--count', '--number', '-n', type=whole(1, 99), default=7, help='how many')
PARSER.add_argument('--seed', type=whole(least=0))
PARSER.add_argument('--rate', type=number(above=0, most=1.5))
PARSER.add_argument('--share', type=number(least=0, below=1))
PARSER.add_argument('--file', type=plain_path)


@pytest.mark.parametrize('words, name, wanted', [
    (['-n', '99'], 'count', 99), (['--number', '+1'], 'count', 1), ([], 'count', 7), (['--seed', '0'], 'seed', 0),
    (['--rate', '1.5'], 'rate', 1.5), (['--rate', '1e-300'], 'rate', 1e-300), (['--share', '0'], 'share', 0),
    (['--file', 'a b/é'], 'file', Path('a b/é')), (['--file', '~/x'], 'file', Path.home() / 'x')])
def test_what_fits(words, name, wanted):
    assert getattr(PARSER.parse_args(words), name) == wanted


@pytest.mark.parametrize('words, wanted', [
    (['-n', '0'], '--count must be from 1 to 99, got 0'),
    (['--number', '100'], '--count must be from 1 to 99, got 100'),
    (['-n', '1.0'], '--count must be a whole number, got 1.0'), (['-n', ''], 'a whole number, got nothing'),
    (['-n', '1_0'], 'whole number'), (['-n', '٣'], 'whole number'), (['-n', '1' * 5000], 'whole number, got 1111'),
    (['--seed=-1'], '--seed must be at least 0, got -1'), (['--rate', '0'], '--rate must be above 0, got 0'),
    (['--rate', '2'], '--rate must be at most 1.5, got 2'), (['--rate', 'nan'], 'finite number, got nan'),
    (['--rate', '1e999'], 'finite number'), (['--rate', 'x\ny'], r'finite number, got x\ny'),
    (['--share', '1'], '--share must be below 1, got 1'), (['--share=-0.1'], 'at least 0'),
    (['--file', ''], 'without control characters, got nothing'), (['--file', 'a\nb'], r'got a\nb'),
    (['--file', 'a\0'], 'control'), (['--file', 'a\u2028b'], 'control'), (['--file', '~nobody-here/x'], 'user'),
    (['--seed'], '--seed: expected one argument; --help lists the options'), (['--what'], '--help'),
    (['--seed=--'], '--seed: expected one argument'),     (['a\nb'], r'a\nb')])
def test_what_does_not(words, wanted):
    with pytest.raises(InputError) as error:
        PARSER.parse_args(words)
    assert wanted in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 250


def test_help_shows_the_defaults_and_the_types_serve_any_parser(capsys):
    assert 'how many (default: 7)' in PARSER.format_help()
    parser = argparse.ArgumentParser()
    parser.add_argument('--count', type=whole(1))
    with pytest.raises(SystemExit):
        parser.parse_args(['--count', '0'])
    assert 'argument --count: must be at least 1, got 0' in capsys.readouterr().err
