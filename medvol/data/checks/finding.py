"""What a check says: a problem, and the finding that adds the place."""

from __future__ import annotations

from dataclasses import dataclass

SEVERITIES = ("error", "warning", "note")

# Every kind that a check may use, and what it looks at.
KINDS: dict[str, str] = {
    "form": "the manifest's own text: unknown keys, missing or misshapen values",
    "outside-root": "a path that leaves the manifest's root",
    "patient-in-two-sections": "a patient of one section who stands in an earlier one, too",
    "duplicate-case": "two items with one case name",
    "missing": "a file that is not there, or a folder without files",
    "wrong-hash": "a file whose SHA-256 is not the one that the manifest states",
    "unreadable": "a file that is truncated, damaged or no image",
    "dtype": "voxels that are no plain numbers: complex ones, colors where one channel is expected",
    "channels": "another number of channels than the manifest has modalities",
    "flat": "a plane among volumes, or a volume among planes",
    "affine": "a voxel-to-millimeter matrix that is not finite, singular, sheared or strongly oblique",
    "spacing": "a voxel size that is zero, negative, not finite, implausible, or far from the other files'",
    "uneven-slices": "a DICOM series whose slices do not lie at equal distances",
    "not-finite": "NaN or infinite voxels",
    "constant": "an image, or one of its channels, with one value everywhere",
    "grid": "modalities of one case that do not lie on one grid",
    "label-shape": "a label of another shape than its image, or with several channels",
    "label-grid": "a label that lies elsewhere than its image in millimeters",
    "label-values": "label voxels that the label map does not name, or that are no integers",
    "label-empty": "a label without a labelled voxel",
    "multi-frame": "a DICOM file with several frames among radiographs",
    "inverted": "a radiograph stored with dark bones (MONOCHROME1)",
    "color": "a radiograph whose color channels differ",
    "gray-as-color": "a gray radiograph stored in equal color channels",
    "low-depth": "a radiograph with fewer than 32 gray levels",
    "border": "a black or white frame around a radiograph",
    "burnt-in-text": "letters printed into a radiograph",
    "identical": "the same bytes under two names",
    "near-duplicate": "an image that looks like another one, perhaps flipped, cropped, resampled or noisy",
}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with an image or a label.

    Attributes:
        kind: short fixed name of the check, one of ``KINDS``; reports group by it.
        severity: ``error`` (do not train on it), ``warning`` (look at it) or ``note`` (know it).
        expected: what a good file has.
        found: what this one has.
        remedy: what to do.

    Raises:
        ValueError: an unknown severity.

    Example:
        >>> Problem("constant", "error", "different values", "0 everywhere", "take the case out").kind
        'constant'
    """

    kind: str
    severity: str
    expected: str
    found: str
    remedy: str

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(f"severity must be one of {', '.join(SEVERITIES)}; found {self.severity!r}; choose one")


@dataclass(frozen=True)
class Finding:
    """A problem and its place.

    Attributes:
        problem: what is wrong.
        section: section of the manifest, or empty for the manifest itself.
        case: name of the item, or empty.
        file: path relative to the root, or empty.
    """

    problem: Problem
    section: str = ""
    case: str = ""
    file: str = ""
