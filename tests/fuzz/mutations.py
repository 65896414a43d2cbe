"""Ways to damage bytes, texts and values."""
import json
import os

__all__ = ['damaged_bytes', 'damaged_json', 'damaged_value', 'hostile_file']

NUMBERS = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 62, 2 ** 63 - 1, 2 ** 63,
           2 ** 64 - 1]
VALUES = [None, True, False, 0, -1, 1, 2 ** 31, 2 ** 63, 2 ** 64, -2 ** 63, 10 ** 400, 1.5, -0.0, float('nan'),
          float('inf'), '', 'x', '../x', '/etc/passwd', 'a\x00b', 'a\nb', 'é' * 300, '\ud800', [], [None], [[[[]]]],
          {}, {'': None}, {'a': {'b': []}}]


def damaged_bytes(rng, data, most=4):
    """``data`` with one to ``most`` changes: bits, numbers, pieces cut out, doubled, moved or set to one value."""
    data = bytearray(data)
    for _ in range(rng.integers(1, most + 1)):
        size = len(data)
        start = int(rng.integers(size + 1))
        length = int(min(size - start, 2 ** rng.uniform(0, 12)))
        kind = rng.integers(9)
        if kind == 0 and size:
            data[start % size] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            width = int(rng.choice([1, 2, 4, 8]))
            number = int(NUMBERS[rng.integers(len(NUMBERS))]) % 256 ** width
            data[start:start + width] = number.to_bytes(width, 'little' if rng.random() < 0.7 else 'big')
        elif kind == 2:
            del data[start:start + length]
        elif kind == 3:
            data[start:start] = data[start:start + length]
        elif kind == 4:
            del data[start:]
        elif kind == 5:
            data[start:start] = rng.bytes(min(length, 64))
        elif kind == 6:
            data[start:start + length] = bytes([int(rng.choice([0, 255, 32, 10]))]) * length
        elif kind == 7:
            piece, place = data[start:start + length], int(rng.integers(size + 1))
            del data[start:start + length]
            data[place:place] = piece
        elif size:
            data[start % size] = int(rng.integers(256))
    return bytes(data)


def damaged_value(rng, value):
    """A JSON value with one of its parts replaced, removed, renamed or nested deeply."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        value, key = dict(value), str(rng.choice(list(value)))
        kind = rng.integers(6)
        if kind == 0:
            del value[key]
        elif kind == 1:
            value[key + 'x'] = value.pop(key)
        else:
            value[key] = damaged_value(rng, value[key])
        return value
    if isinstance(value, list) and value and rng.random() < 0.8:
        value, place = list(value), int(rng.integers(len(value)))
        kind = rng.integers(6)
        if kind == 0:
            del value[place]
        elif kind == 1:
            value.insert(place, value[place])
        else:
            value[place] = damaged_value(rng, value[place])
        return value
    if rng.random() < 0.03:
        deep = value
        for _ in range(int(rng.choice([50, 990, 5000]))):
            deep = [deep]
        return deep
    return VALUES[rng.integers(len(VALUES))]


def damaged_json(rng, text):
    """A JSON text with other values, or with other characters; bytes."""
    if rng.random() < 0.3:
        return damaged_bytes(rng, text.encode())
    try:
        return json.dumps(damaged_value(rng, json.loads(text))).encode('utf-8', 'surrogatepass')
    except (RecursionError, ValueError):
        return b'[' * 100_000


def hostile_file(rng, path):
    """Put in the place of ``path`` what is no plain file, or one that never ends: a folder, a link, a pipe, a device,
    a sparse file of a terabyte."""
    kind = rng.integers(7)
    if kind == 0:
        path.mkdir()
    elif kind == 1:
        os.mkfifo(path)
    elif kind == 2:
        path.symlink_to('/dev/zero')
    elif kind == 3:
        path.symlink_to(path)
    elif kind == 4:
        with open(path, 'wb') as opened:
            opened.truncate(2 ** 40)
    elif kind == 5:
        path.symlink_to('/proc/kmsg')
    else:
        path.write_bytes(b'')
