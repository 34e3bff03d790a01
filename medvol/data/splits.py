"""Splits and subsets by patient: seeded, nested and independent of the order of the rows."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping


def order_patients(patients: Iterable[str], seed: int | str, strata: Mapping[str, str] | None = None) -> list[str]:
    """Return every patient once, in a random order that depends on the names and the seed alone.

    A patient's rank is the SHA-256 of seed and name, so neither the order of the rows nor a version of a random
    generator changes it. With strata, each beginning of the list holds the strata in their shares: the j-th of the m
    patients of a stratum stands at (j + 1/2) / m of the list.

    Args:
        patients: names, repetitions allowed.
        seed: another seed gives another order.
        strata: stratum of each patient, for instance the scanner.

    Raises:
        ValueError: a patient has no stratum.

    Example:
        >>> order_patients(["b", "a", "c", "a"], seed=0) == order_patients(["c", "b", "a"], seed=0)
        True
    """
    ranked = sorted(set(patients), key=lambda patient: (_rank(seed, patient), patient))
    if strata is None:
        return ranked
    members: dict[str, list[str]] = defaultdict(list)
    for patient in ranked:
        if patient not in strata:
            raise ValueError(f"every patient needs a stratum; '{patient}' has none; add it or order without strata")
        members[strata[patient]].append(patient)
    share = {p: (j + 0.5) / len(group) for group in members.values() for j, p in enumerate(group)}
    return sorted(ranked, key=share.__getitem__)  # stable: ties keep the random order


def subset_patients(
    patients: Iterable[str], num_patients: int | str | None, seed: int, strata: Mapping[str, str] | None = None
) -> list[str]:
    """Return the first ``num_patients`` of a seeded order, so that with one seed n patients lie inside n + 1.

    Args:
        patients: names, repetitions allowed.
        num_patients: how many, 1 or more; ``"all"`` or None for every one.
        seed: subset seed, apart from any training seed.
        strata: stratum of each patient; see :func:`order_patients`.

    Raises:
        ValueError: ``num_patients`` is no such number, or larger than the number of patients.

    Example:
        >>> four, five = (set(subset_patients("abcdefgh", n, seed=1)) for n in (4, 5))
        >>> four < five
        True
    """
    order = order_patients(patients, _salted("subset", seed), strata)
    if num_patients is None or num_patients == "all":
        return order
    if isinstance(num_patients, bool) or not isinstance(num_patients, int) or not 1 <= num_patients <= len(order):
        raise ValueError(
            f"num_patients must be 'all' or a whole number from 1 to {len(order)}, the patients there are; "
            f"found {num_patients!r}; choose a number in that range"
        )
    return order[:num_patients]


def split_patients(
    patients: Iterable[str], sizes: Mapping[str, int], seed: int, strata: Mapping[str, str] | None = None
) -> dict[str, list[str]]:
    """Deal patients into named parts of given sizes, no patient twice.

    Args:
        patients: names, repetitions allowed.
        sizes: patients per part, in the order of dealing; one part may be -1, "the rest".
        seed: split seed.
        strata: stratum of each patient; see :func:`order_patients`.

    Returns:
        Part to sorted names.

    Raises:
        ValueError: the sizes do not add up to the number of patients.

    Example:
        >>> {part: len(names) for part, names in split_patients("abcde", {"validation": 2, "training": -1}, 0).items()}
        {'validation': 2, 'training': 3}
    """
    order = order_patients(patients, _salted("split", seed), strata)
    rest = [part for part, size in sizes.items() if size == -1]
    total = sum(size for size in sizes.values() if size != -1)
    fits = total <= len(order) if len(rest) == 1 else total == len(order) and not rest
    if not fits or any(size < -1 for size in sizes.values()):
        raise ValueError(
            f"the sizes must add up to {len(order)} patients, at most one of them -1 (the rest); found {dict(sizes)}; "
            "change the sizes"
        )
    parts, start = {}, 0
    for part, size in sizes.items():
        stop = start + (len(order) - total if size == -1 else size)
        parts[part] = sorted(order[start:stop])
        start = stop
    return parts


def check_disjoint(sections: Mapping[str, Iterable[str]]) -> None:
    """Refuse a patient who stands in two sections.

    Args:
        sections: section to the patients' names in it.

    Raises:
        ValueError: names such patients and their sections.

    Example:
        >>> check_disjoint({"training": ["a", "a"], "test": ["b"]})
    """
    places: dict[str, set[str]] = defaultdict(set)
    for section, patients in sections.items():
        for patient in patients:
            places[patient].add(section)
    twice = sorted(patient for patient, found in places.items() if len(found) > 1)
    if twice:
        shown = ", ".join(f"'{patient}' in {' and '.join(sorted(places[patient]))}" for patient in twice[:5])
        more = f" and {len(twice) - 5} more" if len(twice) > 5 else ""
        raise ValueError(
            f"a patient may stand in one section only; found {shown}{more}; move all cases of a patient to one section"
        )


def _salted(purpose: str, seed: int) -> str:
    # A subset of the training part must not repeat the order in which the split was dealt.
    return f"{purpose}-{seed}"


def _rank(seed: int | str, patient: str) -> str:
    return hashlib.sha256(f"{seed}:{patient}".encode()).hexdigest()
