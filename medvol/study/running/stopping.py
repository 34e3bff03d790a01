"""Stop when the system asks, as on Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["stopped_by_sigterm"]


@contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` in a block on SIGTERM, too, which is what ``kill`` and batch systems send.

    Example:
        >>> with stopped_by_sigterm():
        ...     pass
    """
    if threading.current_thread() is not threading.main_thread():  # signals go to the main thread alone
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
