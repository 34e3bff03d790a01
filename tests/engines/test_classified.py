"""Batches of logits through a MONAI evaluator: metrics, the two tables, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator

from medvol.engines import ScoreClasses
from medvol.engines.evaluation import COLUMNS
from medvol.metrics import ClassificationScores

TARGETS = {"grade": ["none", "mild", "severe"]}
SCORES = ClassificationScores(TARGETS, "ordinal")


class Grading(torch.nn.Module):
    """The image holds the grade as its mean."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((1, 2, 3))[:, None] * 4 - torch.tensor([2.0, 6.0])


def items(grades: list[float], seen: list[float] | None = None, label: bool = True) -> list[dict]:
    made = []
    for k, (grade, shown) in enumerate(zip(grades, seen or grades, strict=True)):
        item = {"image": MetaTensor(torch.full((1, 4, 4), float(shown))), "case": f"c{k}", "patient": k}
        made.append({**item, "label": torch.tensor([grade])} if label else item)
    return made


def evaluate(data: list[dict], handler: ScoreClasses, **more: object) -> SupervisedEvaluator:
    loader = DataLoader(Dataset(data), batch_size=2)
    engine = SupervisedEvaluator(torch.device("cpu"), loader, Grading(), val_handlers=[handler], **more)
    engine.run()
    return engine


def table(path: Path) -> list[dict]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_metrics_and_tables(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    handler = ScoreClasses(
        SCORES,
        tmp_path / "a/metrics.csv",
        tmp_path / "a/predictions.csv",
        run="r",
        arm="scratch",
        seed=3,
        report="test",
    )
    engine = evaluate(items([0, 1, 2, 0, 1, 2], seen=[0, 1, 2, 0, 2, 2]), handler)
    assert engine.state.metrics["grade_accuracy"] == pytest.approx(5 / 6)
    assert engine.state.metrics["grade_kappa"] == pytest.approx(1 - (1 / 6) / (10 / 6 + 13 / 6 - 2 * 7 / 6))
    rows = table(tmp_path / "a/metrics.csv")
    assert tuple(rows[0]) == COLUMNS
    assert [row["case"] for row in rows] == sorted(row["case"] for row in rows)
    assert {(row["seed"], row["arm"], row["run"], row["region"]) for row in rows} == {("3", "scratch", "r", "grade")}
    assert sorted({row["metric"] for row in rows}) == ["absolute_error", "accuracy", "kappa"]
    assert [float(row["value"]) for row in rows if row["metric"] == "accuracy"] == [1, 1, 1, 1, 0, 1]
    told = table(tmp_path / "a/predictions.csv")
    assert list(told[0]) == ["case", "patient", "target", "truth", "prediction", "p_none", "p_mild", "p_severe"]
    assert [row["prediction"] for row in told] == ["none", "mild", "severe", "none", "severe", "severe"]
    assert told[4]["truth"] == "mild"
    assert sum(float(told[0][f"p_{one}"]) for one in TARGETS["grade"]) == pytest.approx(1)
    said = capsys.readouterr().out
    assert said.startswith("medvol: test: 6 cases scored; grade_accuracy 0.8333, ")


def test_a_second_epoch_begins_anew(tmp_path: Path) -> None:
    handler = ScoreClasses(SCORES, tmp_path / "metrics.csv")
    evaluate(items([0, 1, 2]), handler)
    first = (tmp_path / "metrics.csv").read_bytes()
    evaluate(items([0, 1, 2]), handler)
    assert (tmp_path / "metrics.csv").read_bytes() == first


def test_unknown_labels_are_predicted_and_not_scored(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    handler = ScoreClasses(SCORES, tmp_path / "metrics.csv", tmp_path / "predictions.csv", report="test")
    evaluate(items([0, float("nan"), 2, 1, 0, 2, 1], seen=[0, 1, 2, 1, 0, 2, 1]), handler)
    assert "c1" not in {row["case"] for row in table(tmp_path / "metrics.csv")}
    assert [row["truth"] for row in table(tmp_path / "predictions.csv")][:2] == ["none", ""]
    assert "6 cases scored, 1 without a label" in capsys.readouterr().out


def test_without_any_label_there_are_only_predictions(tmp_path: Path) -> None:
    engine = evaluate(items([0, 1, 2], label=False), ScoreClasses(SCORES, predictions=tmp_path / "predictions.csv"))
    assert engine.state.metrics == {}
    assert [row["truth"] for row in table(tmp_path / "predictions.csv")] == ["", "", ""]
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.csv"]


@pytest.mark.parametrize(("grades", "said"), [([1], "fewer"), ([2, 2, 2], "two classes or more")])
def test_a_metric_that_is_not_defined_is_said(
    grades: list[float], said: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    engine = evaluate(items(grades), ScoreClasses(SCORES, tmp_path / "metrics.csv", report="test"))
    assert "grade_kappa" not in engine.state.metrics
    assert engine.state.metrics["grade_accuracy"] == 1
    printed = capsys.readouterr().out
    assert "grade kappa is left out" in printed
    assert said in printed
    assert {row["metric"] for row in table(tmp_path / "metrics.csv")} == {"accuracy", "absolute_error"}


def test_metrics_are_plain_numbers_for_the_log() -> None:
    engine = evaluate(items([0, 1, 2, 1]), ScoreClasses(SCORES))
    assert all(type(value) is float for value in engine.state.metrics.values())
    json.dumps(engine.state.metrics)


def test_other_logits_than_the_targets_need_are_refused() -> None:
    with pytest.raises(ValueError, match=r"3 finite logits for case 'c0'; found \(2,\)"):
        evaluate(items([0, 1]), ScoreClasses(ClassificationScores({"g": ["a", "b", "c", "d"]}, "ordinal")))
    with pytest.raises(ValueError, match="values that are not finite"):
        evaluate(items([0, 1], seen=[float("nan"), 1]), ScoreClasses(SCORES))


def test_cases_need_names_and_the_engine_must_decollate() -> None:
    with pytest.raises(ValueError, match="came twice"):
        evaluate([{**item, "case": "same"} for item in items([0, 1])], ScoreClasses(SCORES))
    with pytest.raises(ValueError, match="decollate=True"):
        evaluate(items([0, 1]), ScoreClasses(SCORES), decollate=False)


def test_arrays_serve_as_labels(tmp_path: Path) -> None:
    data = [{**item, "label": np.array([float(k)])} for k, item in enumerate(items([0, 1, 2], label=False))]
    assert evaluate(data, ScoreClasses(SCORES)).state.metrics["grade_accuracy"] == 1
