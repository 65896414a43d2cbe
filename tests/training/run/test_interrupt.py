"""Requests to stop, from signals and from the clock."""
import os
import platform
import signal
import threading

import pytest

from resnest.errors import InputError
from resnest.gluon.training.run import interrupt
from resnest.gluon.training.run.interrupt import Stopped, StopRequest
from resnest.locks import lock_file


@pytest.mark.parametrize('number, code', [(signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)])
def test_a_signal_asks(number, code, capfd):
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert not stop.made
        stop.check()
        os.kill(os.getpid(), number)
        assert (stop.made, stop.exit_code, stop.why) == (True, code, 'on request')
        with pytest.raises(Stopped):
            stop.check()
    assert signal.getsignal(number) == before
    assert ('Ctrl-C once more ends at once' in capfd.readouterr().err) == (code == 130)


def test_a_second_interrupt_ends_at_once():
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert stop.made


def test_what_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert not stop.made
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_has_no_signals_but_a_clock():
    found = []

    def run():
        with StopRequest(1e-9) as stop:
            found.append(stop.made)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [True]


@pytest.mark.parametrize('minutes, saving, early', [(2, 1, 12), (2, 40, 80), (120, 1, 30), (120, 200, 400)])
def test_the_time_limit_leaves_time_to_save(monkeypatch, minutes, saving, early):
    """A tenth of the time, half a minute at most, or twice what the longest checkpoint took."""
    now = 1000.0
    monkeypatch.setattr(interrupt.time, 'monotonic', lambda: now)
    with StopRequest(minutes) as stop:
        stop.note_saving(saving)
        stop.note_saving(0.5)
        now += 60 * minutes - early - 0.1
        assert not stop.made
        now += 0.2
        assert (stop.made, stop.exit_code, stop.why) == (True, 75, 'by --time-limit')
        now -= 1
        assert stop.made


def test_a_lock_of_another_machine_is_waited_for(tmp_path, monkeypatch, capsys):
    """As that of a node that has died, until its lease ends; on the same machine the holder is alive."""
    monkeypatch.setattr(interrupt, 'LEASE', 0.5)
    with lock_file(tmp_path / '.lock') as opened:
        for host, waits in ((platform.node(), False), ('elsewhere', True)):
            opened.truncate(0)
            opened.write(f'{host} process 7 of srun 17.0'.encode())
            opened.flush()
            with pytest.raises(InputError, match=rf'writes there now .{host} process 7 of srun 17.0.; use another'), \
                    interrupt.sole_run(tmp_path):
                pass
            assert ('waiting 0.5 s, in case it has died' in capsys.readouterr().out) == waits
        monkeypatch.setattr(interrupt, 'LEASE', 60)
        threading.Timer(0.2, opened.close).start()
        with interrupt.sole_run(tmp_path):
            assert (tmp_path / '.lock').read_text().startswith(f'{platform.node()} process {os.getpid()}')
