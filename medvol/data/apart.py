"""Orders in which no two examples of one group, such as a patient, follow one another."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence

import numpy as np

__all__ = ["check_apart", "first_of", "spread"]


def check_apart(groups: Sequence[Hashable], n: int, batch_size: int) -> np.ndarray:
    """Number the groups of examples, if they can be kept apart in an endless chain of permutations.

    Args:
        groups: the group of each example.
        n: number of examples.
        batch_size: examples per global batch.

    Returns:
        ``(n,)`` numbers from 0.

    Raises:
        ValueError: another number of groups than of examples, batches of one example, or a group with more than half
            of all examples.

    Example:
        >>> check_apart(["b", "a", "b", "c"], 4, 2)
        array([0, 1, 0, 2])
    """
    if len(groups) != n:
        raise ValueError(f"groups must name one group for each of the {n} examples; found {len(groups)}; pass them all")
    if batch_size < 2:
        raise ValueError(
            f"batch_size must be 2 or more where a batch must hold two groups; found {batch_size}; raise it, or keep "
            "nothing apart"
        )
    numbers: dict[Hashable, int] = {}
    codes = np.array([numbers.setdefault(group, len(numbers)) for group in groups])
    counts = np.bincount(codes)
    if 2 * counts.max() > n:
        name = next(group for group, number in numbers.items() if number == counts.argmax())
        raise ValueError(
            f"no group (patient) may have more than half of the {n} examples, for else two of its own must follow one "
            f"another; found {len(counts)} {'group' if len(counts) == 1 else 'groups'}, and {counts.max()} examples of "
            f"{name!r}; take more patients (num_patients), leave out examples of that one (where), or keep nothing "
            "apart with a loss that does not need it"
        )
    return codes


def first_of(order: np.ndarray, groups: np.ndarray) -> int:
    """Return the group that a permutation begins with, once it is :func:`spread`.

    It is that of its first example. A group with exactly half of the examples must take every other place; it then
    begins every permutation.

    Args:
        order: ``(n,)`` the permutation as it is drawn.
        groups: ``(n,)`` group of each example.

    Example:
        >>> first_of(np.array([2, 0, 1]), np.array([5, 6, 7]))
        7
    """
    counts = np.bincount(groups)
    return int(counts.argmax() if 2 * counts.max() == len(groups) else groups[order[0]])


def spread(order: np.ndarray, groups: np.ndarray, following: int) -> np.ndarray:
    """Move examples of a permutation as little as needed for neighbors to be of different groups.

    An example that would follow its own group waits for the next one of another. What still waits at the end is put
    into the last places where neither neighbor is of its group; there are enough of them if no group has more than half
    of the examples.

    Args:
        order: ``(n,)`` the permutation as it is drawn.
        groups: ``(n,)`` group of each example.
        following: group that the next permutation begins with; this one ends with another.

    Returns:
        ``(n,)`` the permutation; the same one where nothing had to move.

    Example:
        >>> spread(np.array([0, 1, 2, 3]), np.array([0, 0, 1, 2]), following=0)
        array([0, 2, 1, 3])
    """
    first = first_of(order, groups)
    drawn = groups[order]
    if drawn[0] == first and drawn[-1] != following and (drawn[1:] != drawn[:-1]).all():
        return order
    start = int(np.flatnonzero(drawn == first)[0])
    group = groups.tolist()
    placed = [int(order[start])]
    waiting: deque[int] = deque()  # all of the group of the last example placed
    for example in np.delete(order, start).tolist():
        if group[example] == group[placed[-1]]:
            waiting.append(example)
            continue
        placed.append(example)
        if waiting:
            placed.append(waiting.popleft())
    if group[placed[-1]] == following:
        waiting.append(placed.pop())
    return np.array(_insert(placed, waiting, group, following))


def _insert(placed: list[int], waiting: deque[int], group: list[int], following: int) -> list[int]:
    """Put examples of one group between others of other groups, from the end on; the first stays the first."""
    result: list[int] = []  # backwards
    after = following
    for example in reversed(placed):
        if waiting and group[waiting[0]] not in (group[example], after):
            result.append(waiting.popleft())
        result.append(example)
        after = group[example]
    return result[::-1]
