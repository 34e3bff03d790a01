"""Manifests: which files of which patients a data set has, by name and checksum, and the items a run takes from it."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from medvol.writing import write_whole

from .datalist import (
    KEYS,
    SECTIONS,
    TEXTS,
    case_name,
    check_keys,
    check_label_map,
    check_modalities,
    check_sections,
    check_targets,
    did_you_mean,
    item_files,
    require,
)
from .files import checksum, is_there, size_and_time, state
from .manifest_places import find_manifest
from .splits import subset_patients


@dataclass(frozen=True)
class Manifest:
    """A data set as a decathlon data list in which every item names its patient.

    Attributes:
        name: short name; tables and passports print it.
        root: folder that the items' relative paths start from.
        modalities: names of the channels, in the order of each item's files, or of a 4D file's last axis.
        label_map: structure name to its integer in the label files; ``background``, if named, is 0.
        synthetic: True for simulated data: no result on it is a claim about patients.
        sections: ``training``, ``validation`` and ``test``, each a list of items with the keys ``image`` (one path, or
            one per modality; a path is a file, or a folder with the slices of one DICOM series) and ``patient``, and
            optionally ``label``, ``case`` (a unique name), ``group`` (for instance the scanner), ``targets`` (target
            to class), ``columns`` (name to number, text or truth: what a ``where`` may ask for) and ``sha256`` (path
            to 64 hexadecimal digits).
        description: what the data are.
        reference: whom to cite.
        licence: what one may do with them.
        split: how the sections were made, for instance ``{"seed": 0}``.
        targets: what is known of a whole image: target to its classes, for instance ``{"effusion": ["absent",
            "present"]}``; an item without an entry is unknown.
        provenance: the steps that made the manifest, oldest first; no part of :attr:`hash`.

    Raises:
        ValueError: an unknown key, a missing value, a path that leaves the root, or a patient in two sections.

    Example:
        >>> items = [{"image": "a.nii.gz", "label": "a_seg.nii.gz", "patient": "P1"}]
        >>> manifest = Manifest("demo", Path("."), ("t1",), {"background": 0, "tumor": 1}, True, {"training": items})
        >>> manifest.patients("training")
        ['P1']
    """

    name: str
    root: Path
    modalities: tuple[str, ...]
    label_map: dict[str, int]
    synthetic: bool
    sections: dict[str, list[dict[str, Any]]]
    description: str = ""
    reference: str = ""
    licence: str = ""
    split: dict[str, Any] = field(default_factory=dict)
    targets: dict[str, list[str]] = field(default_factory=dict)
    provenance: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for key in TEXTS:
            require(isinstance(getattr(self, key), str), key, "text", getattr(self, key))
        require(bool(self.name), "name", "text", self.name)
        require(isinstance(self.synthetic, bool), "synthetic", "true or false", self.synthetic)
        check_label_map(self.label_map)
        # A frozen instance with normal values: equal manifests compare equal however they were spelled.
        object.__setattr__(self, "root", Path(os.path.normpath(Path(self.root).absolute())))
        object.__setattr__(self, "modalities", check_modalities(self.modalities))
        object.__setattr__(self, "targets", check_targets(self.targets))
        require(isinstance(self.split, Mapping), "split", "an object", self.split)
        steps = isinstance(self.provenance, list) and all(isinstance(step, Mapping) for step in self.provenance)
        require(steps, "provenance", "a list of objects, one for each step", self.provenance)
        object.__setattr__(self, "sections", self._checked_sections())

    def _checked_sections(self) -> dict[str, list[dict[str, Any]]]:
        return check_sections(self.sections, self.modalities, bool(self.label_map), self.targets)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the content in 64 hexadecimal digits, blind to the root and to the order of the rows.

        A file without a checksum counts with its size, and must be there.
        """
        sections = {}
        for section, items in self.sections.items():
            unsummed = [[file for file in item_files(item) if file not in item.get("sha256", {})] for item in items]
            self._require_files(file for files in unsummed for file in files)
            rows = [
                {**item, "size": {file: size_and_time(self.root / file)[0] for file in files}}
                for item, files in zip(items, unsummed, strict=True)
            ]
            sections[section] = sorted(json.dumps(row, sort_keys=True) for row in rows)
        head = {key: value for key, value in self._head().items() if key != "provenance"}
        return hashlib.sha256(json.dumps({**head, **sections}, sort_keys=True).encode()).hexdigest()

    def patients(self, section: str) -> list[str]:
        """Return the sorted patients of a section."""
        return sorted({item["patient"] for item in self._rows(section)})

    def check(self, section: str | None = None, checksums: bool = False) -> None:
        """Refuse to go on when a file is missing.

        Args:
            section: the section to look at; None for all three.
            checksums: also read every file that has a checksum and compare.

        Raises:
            FileNotFoundError: says how many files are missing, and the first three.
            ValueError: a file's bytes are not those of the manifest.
        """
        self._check_items(
            [item for name in ((section,) if section else SECTIONS) for item in self._rows(name)], checksums
        )

    def _check_items(self, items: Sequence[Mapping[str, Any]], checksums: bool) -> None:
        self._require_files(file for item in items for file in item_files(item))
        sums = {file: value for item in items for file, value in item.get("sha256", {}).items()} if checksums else {}
        for file, expected in sums.items():
            found = checksum(self.root / file)
            if found != expected:
                raise ValueError(
                    f"manifest '{self.name}' states SHA-256 {expected} for {file}; found {found}; get the file again, "
                    "or correct the manifest if the change is meant"
                )

    def items(
        self,
        section: str,
        modalities: Sequence[str] | str | None = None,
        num_patients: int | str | None = None,
        subset_seed: int = 0,
        labelled: bool | Collection[str] | None = None,
        balanced: bool = False,
        where: str | None = None,
    ) -> list[dict[str, Any]]:
        """Return what a run reads from a section, sorted by patient and case.

        Args:
            section: ``training``, ``validation`` or ``test``.
            modalities: names of the wanted channels, in the wanted order; None for all.
            num_patients: size of the patient subset, None or ``"all"`` for no subset. Subsets of one seed are nested.
            subset_seed: seed of the subset.
            labelled: True keeps only items with a label, False takes the label away from every item, None
                does neither; names of targets keep only items of which at least one of these is known.
            balanced: draw the subset in the shares of the items' ``group``.
            where: keeps only items for which this expression over their columns is true, before the subset is drawn;
                see :func:`medvol.data.where.select`.

        Returns:
            Dicts with ``image`` (a list of absolute paths, one per modality; or one path of a 4D file together with
            ``channels``, the indices to keep on its last axis), ``label`` (absolute path, if any), ``patient`` (an
            integer, the same in every section and for any order of rows), ``case``, ``targets`` (if any), and
            ``identity`` (checksum or path, with size and time of change, of every file: what names the content in a
            cache).

        Raises:
            ValueError: an unknown section or modality, too many patients, or no label where labels are wanted.
            FileNotFoundError: a file of a returned item is missing.
        """
        wanted = self._channels(modalities)
        asked = self._asked_targets(labelled)
        rows = [item for item in self._rows(section) if labelled is not True or "label" in item]
        rows = [item for item in rows if not asked or asked & item.get("targets", {}).keys()]
        if labelled and self._rows(section):
            self._require_labelled(bool(rows), section, asked)
        if where:
            from .where import select  # pandas loads only where it is used

            rows = select(rows, where, f"'{section}' of manifest '{self.name}'")
        groups: dict[str, set[str]] = defaultdict(set)
        for item in rows if balanced else ():
            groups[item["patient"]].add(item.get("group", ""))
        # A patient of several groups is a stratum of its own kind, whichever row comes last.
        strata = {patient: " + ".join(sorted(found)) for patient, found in groups.items()} if balanced else None
        if rows or num_patients not in (None, "all"):
            chosen = set(subset_patients((item["patient"] for item in rows), num_patients, subset_seed, strata))
            rows = [item for item in rows if item["patient"] in chosen]
        if labelled is False:
            rows = [{key: value for key, value in item.items() if key != "label"} for item in rows]
        rows = sorted(rows, key=lambda item: (item["patient"], case_name(item)))
        self._require_files(file for item in rows for file in item_files(item))
        number = {p: i for i, p in enumerate(sorted({p for s in SECTIONS for p in self.patients(s)}))}
        return [self._item(item, number[item["patient"]], wanted) for item in rows]

    def _item(self, item: Mapping[str, Any], patient: int, wanted: list[int]) -> dict[str, Any]:
        stacked = len(self.modalities) > 1 and isinstance(item["image"], str)
        images = [item["image"]] if isinstance(item["image"], str) else item["image"]
        images = images if stacked else [images[i] for i in wanted]
        paths = [str(self.root / image) for image in images]
        result: dict[str, Any] = {"image": paths[0], "channels": wanted} if stacked else {"image": paths}
        identity = [f"image={self._identity(item, image)}" for image in images]
        if "label" in item:
            result["label"] = str(self.root / item["label"])
            identity.append(f"label={self._identity(item, item['label'])}")
        if "targets" in item:
            result["targets"] = dict(item["targets"])
        return {**result, "patient": patient, "case": case_name(item), "identity": ";".join(identity)}

    def _identity(self, item: Mapping[str, Any], file: str) -> str:
        path, known = self.root / file, item.get("sha256", {}).get(file)
        if not known:
            return f"{path}|{state(path)}"
        from .seen import require_unchanged  # the cache, and torch with it, load only where a run reads

        require_unchanged(path, known)
        # The size stands beside a checksum, too: a file replaced without its checksum is then another file.
        return f"{known}|{size_and_time(path)[0]}"

    def _channels(self, modalities: Sequence[str] | str | None) -> list[int]:
        wanted = self.modalities if modalities is None else (modalities,) if isinstance(modalities, str) else modalities
        require(len(wanted) > 0, "modalities", f"at least one of {', '.join(self.modalities)}", wanted)
        for modality in wanted:
            if modality not in self.modalities:
                raise ValueError(
                    f"manifest '{self.name}' finds modalities by name and has no '{modality}'; "
                    f"{did_you_mean(str(modality), self.modalities)}"
                )
        return [self.modalities.index(modality) for modality in wanted]

    def _asked_targets(self, labelled: bool | Collection[str] | None) -> set[str]:
        labelled = [labelled] if isinstance(labelled, str) else labelled
        asked = set() if labelled is None or isinstance(labelled, bool) else set(labelled)
        for target in sorted(asked - self.targets.keys()):
            raise ValueError(
                f"manifest '{self.name}' finds targets by name and has no '{target}'; "
                f"{did_you_mean(target, self.targets)}"
            )
        return asked

    def _require_labelled(self, found: bool, section: str, asked: set[str]) -> None:
        kind = f"a known {' or '.join(sorted(asked))}" if asked else "a label"
        require(found, f"'{section}' of manifest '{self.name}'", f"items with {kind}", "none" if asked else "no label")

    def _rows(self, section: str) -> list[dict[str, Any]]:
        if section not in SECTIONS:
            raise ValueError(f"a manifest has no section '{section}'; {did_you_mean(str(section), SECTIONS)}")
        return self.sections[section]

    def _require_files(self, files: Iterable[str]) -> None:
        listed = list(dict.fromkeys(files))
        missing = [file for file in listed if not is_there(self.root / file)]
        if missing:
            shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            raise FileNotFoundError(
                f"manifest '{self.name}' lists {len(listed)} files under {self.root}; {len(missing)} of them are "
                f"missing: {shown}; get the data and name their folder with --dataset_dir <folder>"
            )

    def _head(self) -> dict[str, Any]:
        """Return everything but root and sections, as it stands in the file."""
        texts = {key: getattr(self, key) for key in TEXTS}
        rest = {"modalities": list(self.modalities), "label_map": self.label_map, "synthetic": self.synthetic}
        # Young keys stand only where they hold something, so that older manifests keep their hash.
        young = {key: value for key in ("targets", "provenance") if (value := getattr(self, key))}
        return {**texts, **rest, "split": self.split, **young}


def load_manifest(name_or_path: str | Path, dataset_dir: str | Path | None = None) -> Manifest:
    """Read a manifest.

    Args:
        name_or_path: ``"phantom"`` (made on first use), a name looked up in ``./data_manifests`` and then among the
            installed manifests, or the path of a JSON or Parquet file.
        dataset_dir: folder of the data; None for the manifest's own ``root``, which is relative to its file.

    Returns:
        The manifest; of a Parquet file a :class:`medvol.data.large.LargeManifest`, whose rows stay on disk.

    Raises:
        FileNotFoundError: there is no such manifest, or no such folder.
        ValueError: the file is no valid manifest.

    Example:
        >>> load_manifest("hippocampus").modalities
        ('t1',)
    """
    file = find_manifest(str(name_or_path))
    if file.suffix == ".parquet":
        from .large import open_manifest  # pyarrow loads only where it is used

        return open_manifest(file, dataset_dir)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"a manifest is a JSON object; {file} is not JSON ({error}); correct that place") from error
    require(isinstance(content, dict), str(file), "a JSON object", type(content).__name__)
    check_keys(content, KEYS, f"manifest {file}")
    for key in ("name", "modalities"):
        require(key in content, str(file), f"a manifest with the key '{key}'", ", ".join(content))
    root = data_root(file, content, dataset_dir)
    sections = {section: content.pop(section) for section in SECTIONS if section in content}
    try:
        return Manifest(**{"label_map": {}, "synthetic": False, **content}, root=root, sections=sections)
    except ValueError as error:
        raise ValueError(f"{error} ({file})") from error


def data_root(file: Path, head: dict[str, Any], dataset_dir: str | Path | None) -> Path:
    """Take the root out of a manifest's head and return it, or the folder that shall stand in its place.

    Raises:
        FileNotFoundError: there is no folder ``dataset_dir``.
        ValueError: the root is no text.
    """
    own = head.pop("root", ".")
    require(isinstance(own, str), f"root in {file}", "a path relative to the manifest", own)
    if not dataset_dir:
        return file.parent / own
    root = Path(dataset_dir).expanduser().absolute()
    if not root.is_dir():
        raise FileNotFoundError(
            f"--dataset_dir must be the folder with the data of '{head['name']}'; there is no folder {root}; "
            "correct the path"
        )
    return root


def write_manifest(path: str | Path, manifest: Manifest) -> Path:
    """Write a manifest as JSON, one item per line, or as Parquet; its root is stored relative to the file.

    Args:
        path: a ``.json`` or ``.parquet`` file in a folder that exists; Parquet stores the items sorted by patient and
            case.
        manifest: what :func:`load_manifest` shall return.

    Returns:
        The absolute path.
    """
    path = Path(path).absolute()
    head = {**manifest._head(), "root": Path(os.path.relpath(manifest.root, path.parent)).as_posix()}
    if path.suffix == ".parquet":
        from .table import write_table  # pyarrow loads only where it is used

        return write_table(path, head, ((section, row) for section in SECTIONS for row in manifest.sections[section]))
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    for section, items in manifest.sections.items():
        rows = ",\n".join(f"  {json.dumps(item)}" for item in items)
        lines.append(f' "{section}": [\n{rows}\n ]' if items else f' "{section}": []')
    return write_whole(path, "{\n" + ",\n".join(lines) + "\n}\n")
