"""What only the whole set shows: patients and cases that stand twice, outlying files, images that are alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from ..reading import Header
from .finding import Finding, Problem
from .form import Row
from .volumes import sizes

_OUTLIER = 10.0  # voxels this many times larger or smaller than the set's median
_ENOUGH = 5  # files from which a median says something
_SHOWN = 3  # partners that one finding names

Place = tuple[Row, str]  # an item and one of its files


def check_patients(rows: Sequence[Row]) -> list[Finding]:
    """Return a finding for every item whose patient also stands in an earlier section.

    Example:
        >>> rows = [Row("training", "a", "P1", ("a.nii",)), Row("test", "b", "P1", ("b.nii",))]
        >>> [finding.case for finding in check_patients(rows)]
        ['b']
    """
    home: dict[str, Row] = {}
    findings = []
    for row in rows:
        first = home.setdefault(row.patient, row)
        if row.patient and first.section != row.section:
            found = f"'{row.patient}' in {row.section} and in {first.section} (case {first.case})"
            remedy = "move all cases of a patient to one section"
            problem = Problem("patient-in-two-sections", "error", "every patient in one section", found, remedy)
            findings.append(Finding(problem, row.section, row.case))
    return findings


def check_cases(rows: Sequence[Row]) -> list[Finding]:
    """Return a finding for every item with the case name of an earlier one.

    Example:
        >>> rows = [Row("training", "a", "P1", ("a.nii",)), Row("training", "a", "P2", ("b/a.nii",))]
        >>> check_cases(rows)[0].problem.kind
        'duplicate-case'
    """
    first: dict[str, Row] = {}
    findings = []
    for row in rows:
        known = first.setdefault(row.case, row)
        if known is not row:
            found = f"'{row.case}' in {known.section} ({known.images[0]}) and in {row.section} ({row.images[0]})"
            remedy = "give the items names of their own with the key 'case'"
            problem = Problem("duplicate-case", "error", "a name of its own for every item", found, remedy)
            findings.append(Finding(problem, row.section, row.case))
    return findings


def check_set(headers: Sequence[tuple[Row, str, Header]]) -> list[Finding]:
    """Return a finding for every image that is flat among volumes (or the reverse), or of outlying voxel size.

    The voxel sizes compared are a file's smallest and largest, so that the order of its axes does not matter.

    Args:
        headers: item, file and header of every image.
    """
    return _flat(headers) + _outliers([(row, file, header) for row, file, header in headers if not _is_flat(header)])


def check_identical(sums: Mapping[str, str], places: Sequence[Place]) -> list[Finding]:
    """Return a finding for every image with the bytes of an earlier one.

    Across sections it is an error: the model is tested on what it has learned. Within a section it is a warning, and
    for two items of one patient a note.

    Args:
        sums: SHA-256 of each file, by path; one without counts by its path.
        places: item and file of every image without an error, in the manifest's order.
    """
    groups: dict[str, list[Place]] = defaultdict(list)
    for row, file in places:
        groups[sums.get(file, file)].append((row, file))
    pairs = [(first, later, None) for first, *others in groups.values() for later in others]
    return _alike("identical", "bytes that no other image has", pairs)


def check_near(
    pairs: Iterable[tuple[int, int, float]], places: Sequence[Place], sums: Mapping[str, str]
) -> list[Finding]:
    """Return a finding for every image that looks like an earlier one, unless their bytes are the same.

    The severity is that of :func:`check_identical`.

    Args:
        pairs: indices of two places, and how alike they are (0 to 1).
        places: item and file of each fingerprint, in the manifest's order.
        sums: SHA-256 of each file, by path.
    """
    near = []
    for i, j, score in pairs:
        first, later = places[min(i, j)], places[max(i, j)]
        if sums.get(first[1], first[1]) != sums.get(later[1], later[1]):
            near.append((first, later, score))
    return _alike("near-duplicate", "an image unlike the others", near)


def _alike(kind: str, expected: str, pairs: Iterable[tuple[Place, Place, float | None]]) -> list[Finding]:
    """Return one finding for each later place, whatever the number of its partners."""
    partners: dict[tuple[str, str, str], list[tuple[Row, Row, str, float | None]]] = defaultdict(list)
    for (one, file), (other, twin), score in pairs:
        partners[other.section, other.case, twin].append((one, other, file, score))
    findings = []
    for (section, case, file), found in partners.items():
        severity = min((_severity(one, other) for one, other, _, _ in found), key=("error", "warning", "note").index)
        found.sort(key=lambda pair: (pair[0].section == section, -(pair[3] or 0)))
        shown = ", ".join(_partner(one, twin, score) for one, _, twin, score in found[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        remedy = "look at both; keep one, or give them one patient and one section"
        findings.append(Finding(Problem(kind, severity, expected, f"like {shown}{more}", remedy), section, case, file))
    return findings


def _partner(row: Row, file: str, score: float | None) -> str:
    likeness = "" if score is None else f", score {score:.2f}"
    return f"{file} ({row.section}, case {row.case}{likeness})"


def _severity(one: Row, other: Row) -> str:
    if one.section != other.section:
        return "error"
    # Two modalities of one case that are alike are a mistake in copying, not two visits of a patient.
    return "note" if one.patient and one.patient == other.patient and one is not other else "warning"


def _is_flat(header: Header) -> bool:
    return header.is_radiograph or min(header.shape) == 1


def _flat(headers: Sequence[tuple[Row, str, Header]]) -> list[Finding]:
    flat = [entry for entry in headers if _is_flat(entry[2])]
    planes = len(flat) > len(headers) / 2
    odd = [entry for entry in headers if not _is_flat(entry[2])] if planes else flat
    expected = "a plane, as most files of the set are" if planes else "a volume, as most files of the set are"
    remedy = "take it out, or put planes and volumes into manifests of their own"
    problems = [Problem("flat", "error", expected, f"shape {sizes(header.shape)}", remedy) for _, _, header in odd]
    return [Finding(one, row.section, row.case, file) for one, (row, file, _) in zip(problems, odd, strict=True)]


def _outliers(headers: Sequence[tuple[Row, str, Header]]) -> list[Finding]:
    sized = [(row, file, min(h.spacing), max(h.spacing)) for row, file, h in headers if _positive(h.spacing)]
    if len(sized) < _ENOUGH:
        return []
    small, large = median(low for _, _, low, _ in sized), median(high for _, _, _, high in sized)
    findings = []
    for row, file, low, high in sized:
        ratios = (low / small, high / large)
        if max(ratios) >= _OUTLIER or min(ratios) <= 1 / _OUTLIER:
            expected = f"voxel sizes near the set's medians, {small:.3g} (smallest) and {large:.3g} mm (largest)"
            problem = Problem(
                "spacing", "warning", expected, f"{low:.3g} and {high:.3g} mm", "correct the file's header"
            )
            findings.append(Finding(problem, row.section, row.case, file))
    return findings


def _positive(spacing: Sequence[float]) -> bool:
    return all(0 < size < float("inf") for size in spacing)
