"""Build a part of a config on the side: what is found out that way must not matter for anything else."""

from __future__ import annotations

import contextlib
import io
import logging
import random
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cache
from typing import Any

import numpy as np
import torch
from monai.bundle import ComponentLocator, ConfigParser


def side_parser(config: Mapping[str, Any], **changes: Any) -> ConfigParser:
    """Return a parser of its own, so that nothing built by it is part of the run that follows.

    Args:
        config: the config with the overrides applied; it stays as it is.
        **changes: other values for top-level keys.

    Example:
        >>> side_parser({"steps": 3, "twice": "$2 * @steps"}, steps=4).get_parsed_content("twice")
        8
    """
    parser = ConfigParser({**deepcopy(dict(config)), **changes})
    parser.locator = _locator()
    return parser


@cache
def _locator() -> ComponentLocator:
    """MONAI goes through all of its modules for each parser anew, which takes longer than building a network."""
    return ConfigParser({}).locator


@contextlib.contextmanager
def on_the_side() -> Iterator[None]:
    """Run a block without a trace: nothing printed or logged, and every random generator as it was before.

    Errors pass.

    Example:
        >>> before = torch.get_rng_state()
        >>> with on_the_side():
        ...     _ = torch.rand(3)
        ...     print("loaded")
        >>> torch.equal(before, torch.get_rng_state())
        True
    """
    states, level = (np.random.get_state(), random.getstate()), logging.root.manager.disable  # noqa: NPY002
    logging.disable(logging.CRITICAL)  # ignite logs an error with its traceback before it raises it
    try:
        with torch.random.fork_rng(), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(level)
        np.random.set_state(states[0])  # noqa: NPY002
        random.setstate(states[1])
