"""SIGTERM ends a block as Ctrl-C does."""

from __future__ import annotations

import signal
import threading

import pytest

from medvol.study.running.stopping import stopped_by_sigterm


def test_sigterm_is_a_keyboard_interrupt_and_then_what_it_was() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), stopped_by_sigterm():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


def test_other_threads_leave_signals_alone() -> None:
    seen = []

    def block() -> None:
        with stopped_by_sigterm():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]
