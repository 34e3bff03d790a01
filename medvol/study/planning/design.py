"""What a study compares: its arms, label counts, seeds and scores, as the study file states them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from medvol.metrics.direction import higher_is_better

__all__ = ["Arm", "Pretraining", "Published", "Replicate", "Robustness", "Score", "Study", "Tuning"]


@dataclass(frozen=True)
class Score:
    """A score that the evaluation writes per case.

    Attributes:
        metric: column ``metric`` of ``metrics.csv``, such as ``dice``.
        region: column ``region``; ``mean`` is the mean over all regions of a case.
        higher_is_better: False for distances and errors. A metric that
            :func:`medvol.metrics.higher_is_better` knows fills it in; of another one it has to be said, and is None
            otherwise.
    """

    metric: str = "dice"
    region: str = "mean"
    higher_is_better: bool | None = None

    def __post_init__(self) -> None:
        if self.higher_is_better is None:
            object.__setattr__(self, "higher_is_better", higher_is_better(self.metric))

    @property
    def name(self) -> str:
        """How tables name it, such as ``mean dice``."""
        return f"{self.region} {self.metric}"

    @property
    def curve(self) -> str:
        """Its name in a run's ``log.csv``, such as ``val_mean_dice``."""
        return f"val_{self.region}_{self.metric}"


@dataclass(frozen=True)
class Replicate:
    """One repetition of everything; ``subset`` is the same in every arm, so that all see the same patients.

    Attributes:
        index: 0, 1, ... in the study's order.
        pretraining: seed of the pre-training run.
        subset: seed of the draw of labelled patients.
        finetuning: seed of the fine-tuning run.
    """

    index: int
    pretraining: int
    subset: int
    finetuning: int


@dataclass(frozen=True)
class Pretraining:
    """A training whose product an arm starts from; it is run once per pre-training seed.

    Attributes:
        bundle: name of the bundle; its config is ``train.json``.
        args: a file of overrides in the bundle's folder, such as ``args_hippocampus.json``.
        overrides: more overrides, on top of ``args``.
    """

    bundle: str
    args: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Arm:
    """One way to start and to fine-tune.

    Attributes:
        name: as in tables and in names of runs.
        pretraining: run of this study that it starts from, or None.
        weights: given weights that it starts from (as ``--pretrained`` takes them), or None.
        frozen: whether the encoder stays frozen for the whole fine-tuning.
        longer: how many times the downstream bundle's steps it gets; 1 is the standard budget.
        learning_rate: a number (not tuned), the name of the arm whose tuned value it takes, or None (tuned for this
            arm if the study tunes, else the bundle's own).
        overrides: downstream overrides of this arm alone.
        against: an arm of the same budget that it is compared with, too: one that differs in one thing, for instance.
    """

    name: str
    pretraining: Pretraining | None = None
    weights: str | None = None
    frozen: bool = False
    longer: float = 1.0
    learning_rate: float | str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    against: str | None = None

    @property
    def starts_from_scratch(self) -> bool:
        """Whether it begins with random weights."""
        return self.pretraining is None and self.weights is None


@dataclass(frozen=True)
class Tuning:
    """The learning rate of an arm is chosen once, on validation, at one label count and one replicate.

    Attributes:
        count: label count.
        replicate: index of the replicate.
        values: learning rates to try.
    """

    count: int | str
    replicate: int
    values: tuple[float, ...]


@dataclass(frozen=True)
class Robustness:
    """Corrupted copies of the test images that finished runs are scored on.

    Attributes:
        corruptions: names that ``medvol.transforms.Corruptiond`` knows.
        severities: 1 (slight) to 5 (severe).
        counts: label counts whose runs are scored.
    """

    corruptions: tuple[str, ...]
    severities: tuple[int, ...]
    counts: tuple[int | str, ...]


@dataclass(frozen=True)
class Published:
    """A table of a paper, printed beside ours and never mixed with it.

    Attributes:
        title: what it shows.
        citation: where it comes from.
        note: in what it differs from this study, and what is doubtful in it.
        columns: names of the columns; the first one is the row's name.
        rows: cells as text.
    """

    title: str
    citation: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Study:
    """A planned grid of bundle runs: arm x label count x replicate x variant.

    Attributes:
        name: name of the study.
        question: the question in one sentence.
        bundle: the downstream bundle.
        overrides: downstream overrides of all arms.
        scores: scores to judge; the first is the main one.
        counts: label counts, patients, ascending; ``"all"`` last.
        replicates: the seeds.
        arms: by name, in the order of the tables.
        reference: arm that the others are compared with.
        tuning: how learning rates are chosen, or None.
        margin: smallest difference of the main score that matters, in its unit.
        variants: named sets of downstream overrides, each compared on its own; ``{"": {}}`` without any.
        robustness: corrupted test images to score, or None.
        published: tables of papers to print beside ours.
        section: section of the manifest that is scored.
        raw: the study file as it was read.
    """

    name: str
    question: str
    bundle: str
    overrides: Mapping[str, Any]
    scores: tuple[Score, ...]
    counts: tuple[int | str, ...]
    replicates: tuple[Replicate, ...]
    arms: Mapping[str, Arm]
    reference: str
    tuning: Tuning | None
    margin: float
    variants: Mapping[str, Mapping[str, Any]]
    robustness: Robustness | None
    published: tuple[Published, ...]
    section: str
    raw: Mapping[str, Any]
