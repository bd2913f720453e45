import os
import signal
import threading

import pytest

from coseg_bundle.handlers import StopSignals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_noted_and_ends_the_process_as_such(number, code):
    stop = StopSignals()
    stop.exit()  # nothing came
    stop.listen()
    assert not stop.asked()
    os.kill(os.getpid(), number)
    assert stop.asked()
    stop.restore()
    with pytest.raises(SystemExit) as end:
        stop.exit()
    assert end.value.code == code


def test_the_second_one_stops_at_once():
    stop = StopSignals()
    stop.listen()
    try:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        stop.restore()


def test_other_threads_hear_nothing():
    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=StopSignals().listen)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is before
