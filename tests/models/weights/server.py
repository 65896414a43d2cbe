"""A web server on loopback that serves one file, well or badly, and remembers what it was asked for."""
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = b'<!DOCTYPE html><html><body>Log in to the network</body></html>'


class Server:
    """Each request takes the next of ``acts`` (functions of handler and data), the last one for good.

    ``asked`` lists the Range header, or None, of every request.
    """

    def __init__(self, data):
        self.data, self.acts, self.asked = data, [whole], []
        self.released = threading.Event()
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                with server._lock:
                    act = server.acts.pop(0) if len(server.acts) > 1 else server.acts[0]
                    server.asked.append(self.headers.get('Range'))
                self.server.resnest = server
                act(self, server.data)

            def log_message(self, *args):
                pass

        self._http = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self._http.server_port}'
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.released.set()
        self._http.shutdown()
        self._http.server_close()


def head(handler, code, length, **headers):
    handler.send_response(code)
    for name, value in {'Content-Length': length, **headers}.items():
        handler.send_header(name.replace('_', '-'), str(value))
    handler.end_headers()


def start(handler, data):
    """The header for all of ``data``, or for the range that was asked for; returns the body."""
    asked = handler.headers.get('Range')
    if not asked:
        head(handler, 200, len(data))
        return data
    first = int(asked[len('bytes='):-1])
    if first >= len(data):
        head(handler, 416, 0, Content_Range=f'bytes */{len(data)}')
        return b''
    head(handler, 206, len(data) - first, Content_Range=f'bytes {first}-{len(data) - 1}/{len(data)}')
    return data[first:]


def whole(handler, data):
    handler.wfile.write(start(handler, data))


def without_range(handler, data):
    head(handler, 200, len(data))
    handler.wfile.write(data)


def slow(handler, data):
    body = start(handler, data)
    for first in range(0, len(body), len(body) // 10 + 1):
        handler.wfile.write(body[first:first + len(body) // 10 + 1])
        time.sleep(0.05)


def cut(handler, data):
    """Half of what is promised, then the connection ends."""
    body = start(handler, data)
    handler.wfile.write(body[:len(body) // 2])


def cut_without_range(handler, data):
    head(handler, 200, len(data))
    handler.wfile.write(data[:len(data) // 2])


def stall(handler, data):
    """Half of what is promised, then nothing, on an open connection."""
    cut(handler, data)
    handler.wfile.flush()
    handler.server.resnest.released.wait(30)


def page(handler, data):
    head(handler, 200, len(PAGE), Content_Type='text/html')
    handler.wfile.write(PAGE)


def spoilt(handler, data):
    """All of it, but one bit in the middle of the stored member is wrong."""
    body = bytearray(data)
    body[len(body) // 2] ^= 1
    head(handler, 200, len(body))
    handler.wfile.write(body)


def status(code):
    return lambda handler, data: head(handler, code, 0)


def moved(handler, data):
    if handler.path.startswith('/moved'):
        whole(handler, data)
    else:
        head(handler, 302, 0, Location='/moved' + handler.path)


def in_circles(handler, data):
    head(handler, 302, 0, Location=handler.path)


def saying(code, **headers):
    """These headers and no others, and five bytes."""
    def act(handler, data):
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace('_', '-'), str(value))
        handler.end_headers()
        handler.wfile.write(b'bytes')
    return act


def without_length(handler, data):
    """Bytes until nobody listens any more."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(1000):
        handler.wfile.write(bytes(10_000))


def stalled_move(handler, data):
    """A redirect with a long body that does not come."""
    head(handler, 302, 1 << 30, Location='/elsewhere')
    handler.wfile.flush()
    handler.server.resnest.released.wait(30)
