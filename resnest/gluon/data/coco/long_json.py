"""JSON files of hundreds of megabytes, item by item: only the text is in memory as a whole."""
import json
import re

from resnest.errors import InputError
from resnest.reading import one_line, read_text

__all__ = ['read_lists']

LARGEST = 4 << 30       # bytes
SPACE = re.compile(r'[ \t\n\r]*')


def read_lists(path, take):
    """Hand the items of lists in a JSON object to functions, one by one in the order of the file.

    ``take`` maps the names of the lists to what is called with each item; what else the object holds is passed over.
    Returns the names of the lists that are there. Raises InputError that names the file for what is no JSON object, for
    a list that is something else or that stands there twice, and for the words NaN and Infinity; whole numbers and
    nesting are bounded by what Python's own decoder takes, and a number that is too large comes as infinity.
    """
    text = read_text(path, LARGEST)
    decoder, found = json.JSONDecoder(parse_constant=_refuse), set()

    def member(place):
        name, place = decoder.raw_decode(text, place)
        place = _after(text, place)
        if not isinstance(name, str) or text[place] != ':':
            raise ValueError(f'no name of a member before character {place}')
        place = _after(text, place + 1)
        if name not in take:
            return decoder.raw_decode(text, place)[1]
        if name in found or text[place] != '[':
            raise ValueError(f'{name} stands there twice' if name in found else f'{name} is no list')
        found.add(name)

        def item(place):
            value, place = decoder.raw_decode(text, place)
            take[name](value)
            return place
        return _each(text, place, ']', item)

    try:
        place = _after(text, 0)
        if text[place] != '{':
            raise ValueError('no object')
        if (place := _after(text, _each(text, place, '}', member))) != len(text):
            raise ValueError(f'something follows the object, at character {place}')
    except InputError:
        raise
    except (ValueError, IndexError, RecursionError) as error:
        reason = 'it ends too early' if isinstance(error, IndexError) else error
        raise InputError(f'{one_line(path)}: not JSON as expected: {one_line(reason)}') from None
    return found


def _each(text, place, closing, read):
    """Call ``read`` with the place of each item between the bracket at ``place`` and its ``closing`` one; it returns
    where the item ends. Returns the place behind the closing bracket."""
    place = _after(text, place + 1)
    while text[place] != closing:
        place = _after(text, read(place))
        if text[place] == ',':
            place = _after(text, place + 1)
            if text[place] == closing:
                raise ValueError(f'nothing follows the comma before character {place}')
        elif text[place] != closing:
            raise ValueError(f'a comma is missing at character {place}')
    return place + 1


def _after(text, place):
    """The first place from ``place`` on that is no white space."""
    return SPACE.match(text, place).end()


def _refuse(name):
    raise ValueError(f'{name} is no number')
