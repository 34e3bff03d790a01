"""Kappa and AUROC against scikit-learn and by hand, decoded probabilities, and rows that a study can compare."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from medvol.metrics.classification import ClassificationScores, auroc, num_outputs, quadratic_kappa

GRADES = {"grade": ["none", "mild", "moderate", "severe", "worst"]}
FINDINGS = {"edema": ["absent", "present"], "nodule": ["no", "yes"]}
CLASSES = {"organ": ["heart", "lung", "liver"]}


def graded(n: int = 120, seed: int = 0, spread: float = 1.2, per_patient: int = 1) -> list[dict]:
    """Cases whose logits follow the grade with an error."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 5, n)
    seen = truth + rng.normal(0, spread, n)
    logits = 2 * (seen[:, None] - np.arange(4) - 0.5)
    return [
        {"case": f"c{k:03d}", "patient": k // per_patient, "logits": logits[k], "label": [float(truth[k])]}
        for k in range(n)
    ]


# --- kappa and AUROC --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one = rng.integers(0, 5, 60)
    two = np.clip(one + rng.integers(-seed, seed + 1, 60), 0, 4)
    assert quadratic_kappa(one, two) == pytest.approx(cohen_kappa_score(one, two, weights="quadratic"), abs=1e-12)


def test_kappa_of_a_fixed_table_by_the_textbook() -> None:
    table = np.array([[20, 5, 1, 0, 0], [4, 10, 6, 1, 0], [1, 5, 15, 4, 1], [0, 1, 3, 8, 4], [0, 0, 1, 2, 9]])
    weights = np.subtract.outer(np.arange(5), np.arange(5)) ** 2 / 16
    chance = np.outer(table.sum(1), table.sum(0)) / table.sum()
    expected = 1 - (weights * table).sum() / (weights * chance).sum()
    one, two = np.repeat(np.indices((5, 5)).reshape(2, -1), table.ravel(), axis=1)
    assert quadratic_kappa(one, two) == pytest.approx(expected, abs=1e-12)


def test_kappa_of_chance_is_about_zero_and_of_the_same_grade_undefined() -> None:
    rng = np.random.default_rng(0)
    assert abs(quadratic_kappa(rng.integers(0, 5, 5000), rng.integers(0, 5, 5000))) < 0.05
    assert quadratic_kappa([1, 1, 1], [0, 1, 2]) == pytest.approx(0)
    assert np.isnan(quadratic_kappa([3, 3], [3, 3]))
    assert np.isnan(quadratic_kappa([], []))
    assert quadratic_kappa([0, 4], [4, 0]) == -1
    with pytest.raises(ValueError, match="one length; found"):
        quadratic_kappa([1, 2], [1])


@pytest.mark.parametrize("ties", [False, True])
def test_auroc_is_scikit_learns(ties: bool) -> None:
    rng = np.random.default_rng(1)
    truth, score = rng.integers(0, 2, 80), rng.normal(size=80)
    score = np.round(score + truth) if ties else score + truth
    assert auroc(truth, score) == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
    assert np.isnan(auroc([1, 1], [0.1, 0.2]))
    assert np.isnan(auroc([0], [0.1]))


# --- from logits to classes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "targets", "count"), [("ordinal", GRADES, 4), ("binary", FINDINGS, 2), ("classes", CLASSES, 3)]
)
def test_probabilities_sum_to_one(mode: str, targets: dict, count: int) -> None:
    scores = ClassificationScores(targets, mode)
    assert num_outputs(mode, targets) == scores.outputs == count
    logits = 3 * np.random.default_rng(0).normal(size=(50, count))
    for name, values in scores.probabilities(logits).items():
        assert values.shape == (50, len(targets[name]))
        assert values.min() >= 0
        np.testing.assert_allclose(values.sum(1), 1)


def test_a_grade_is_where_the_sigmoids_fall_below_one_half() -> None:
    scores = ClassificationScores(GRADES, "ordinal")
    logits = np.array([[-1, -2, -3, -4], [1, -1, -2, -3], [9, 8, 1, -1], [3, 2, 1, 0.1], [-1, 3, 3, 3]], dtype=float)
    (values,) = scores.probabilities(logits).values()
    assert scores.predicted(values).tolist() == [0, 1, 3, 4, 0], "the running minimum counts where they do not fall"
    np.testing.assert_allclose(values[1, 0], 1 - 1 / (1 + np.exp(-1)))  # P(grade = 0) = 1 - P(grade > 0)


@pytest.mark.parametrize(
    ("mode", "targets"),
    [("ordinal", FINDINGS), ("classes", FINDINGS), ("binary", CLASSES), ("ordinal", {}), ("ordinal", {"a": ["x"]})],
)
def test_targets_must_suit_the_mode(mode: str, targets: dict) -> None:
    with pytest.raises(ValueError, match=f"mode '{mode}' must have"):
        ClassificationScores(targets, mode)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="binary, ordinal, classes; found 'softmax'"):
        num_outputs("softmax", CLASSES)


# --- rows -------------------------------------------------------------------------------------------------------------


def test_the_mean_of_the_pseudo_values_is_close_to_kappa() -> None:
    cases, scores = graded(120), ClassificationScores(GRADES, "ordinal")
    rows, notes = scores.rows(cases)
    plain = scores.mean(cases)["grade_kappa"]
    values = [row["value"] for row in rows if row["metric"] == "kappa"]
    assert notes == []
    assert len(values) == 120
    assert 0.5 < plain < 0.95
    assert np.mean(values) == pytest.approx(plain, abs=0.005)
    assert np.std(values) > 0.1, "they tell patients apart"


def test_rows_of_images_are_the_images_own() -> None:
    scores = ClassificationScores(GRADES, "ordinal")
    cases = graded(30)
    rows, _ = scores.rows(cases)
    truth = np.array([case["label"][0] for case in cases])
    chosen = scores.predicted(scores.probabilities([case["logits"] for case in cases])["grade"])
    by_metric = {m: [r["value"] for r in rows if r["metric"] == m] for m in ("accuracy", "absolute_error")}
    assert by_metric["accuracy"] == (truth == chosen).astype(float).tolist()
    assert by_metric["absolute_error"] == np.abs(truth - chosen).tolist()
    means = scores.mean(cases)
    assert means["grade_accuracy"] == means["mean_accuracy"] == pytest.approx(np.mean(by_metric["accuracy"]))
    assert {(r["case"], r["region"], r["metric"]) for r in rows}.__len__() == len(rows), "an identity, never twice"


def test_a_patient_with_two_images_is_left_out_with_both() -> None:
    cases, scores = graded(40, per_patient=2), ClassificationScores(GRADES, "ordinal")
    rows = [row for row in scores.rows(cases)[0] if row["metric"] == "kappa"]
    assert [row["patient"] for row in rows] == list(range(20))
    assert [row["case"] for row in rows] == [f"c{2 * k:03d}" for k in range(20)], "under the patient's first image"
    theta, rest = scores.mean(cases)["grade_kappa"], scores.mean(cases[2:])["grade_kappa"]
    assert rows[0]["value"] == pytest.approx(20 * theta - 19 * rest)


def test_findings_have_a_curve_each_and_unknown_ones_count_for_none() -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, (60, 2)).astype(float)
    logits = label + rng.normal(0, 1, (60, 2))
    label[:10, 1] = np.nan
    cases = [{"case": f"c{k}", "patient": k, "logits": logits[k], "label": label[k]} for k in range(60)]
    means = ClassificationScores(FINDINGS, "binary").mean(cases)
    assert means["edema_auroc"] == pytest.approx(roc_auc_score(label[:, 0], logits[:, 0]))
    assert means["nodule_auroc"] == pytest.approx(roc_auc_score(label[10:, 1], logits[10:, 1]))
    assert means["mean_auroc"] == pytest.approx((means["edema_auroc"] + means["nodule_auroc"]) / 2)
    rows, _ = ClassificationScores(FINDINGS, "binary").rows(cases)
    assert sum(row["region"] == "nodule" and row["metric"] == "auroc" for row in rows) == 50


def test_classes_are_one_against_the_rest() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 60)
    logits = np.eye(3)[truth] + rng.normal(0, 1, (60, 3))
    cases = [{"case": f"c{k}", "patient": k, "logits": logits[k], "label": [truth[k]]} for k in range(60)]
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    means = ClassificationScores(CLASSES, "classes").mean(cases)
    assert means["organ_auroc"] == pytest.approx(roc_auc_score(truth, probability, multi_class="ovr"))
    assert means["organ_accuracy"] == pytest.approx(np.mean(logits.argmax(1) == truth))


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        (graded(1), "fewer"),
        ([{**case, "label": [2.0]} for case in graded(9)], "two classes or more"),
        ([{**case, "patient": 0} for case in graded(9)], "at least 2 patients; found 1"),
        ([{**case, "label": [float(k == 0)]} for k, case in enumerate(graded(9))], "without patient 0"),
    ],
    ids=["one case", "one grade", "one patient", "one patient of a grade"],
)
def test_where_kappa_is_not_defined_it_is_left_out_and_said(cases: list[dict], said: str) -> None:
    rows, notes = ClassificationScores(GRADES, "ordinal").rows(cases)
    assert {row["metric"] for row in rows} == {"accuracy", "absolute_error"}
    assert len(notes) == 1
    assert notes[0].startswith("grade kappa is left out of the table: ")
    assert said in notes[0]


def test_without_cases_there_is_nothing() -> None:
    scores = ClassificationScores(GRADES, "ordinal")
    assert (scores.rows([]), scores.mean([]), scores.predictions([])) == (([], []), {}, [])


def test_predictions_name_classes_and_keep_the_unlabelled() -> None:
    cases = graded(3)
    cases[1]["label"] = [np.nan]
    found = ClassificationScores(GRADES, "ordinal").predictions(cases)
    assert [row["truth"] for row in found] == [
        GRADES["grade"][int(cases[0]["label"][0])], "", GRADES["grade"][int(cases[2]["label"][0])]
    ]  # fmt: skip
    assert [key for key in found[0] if key.startswith("p_")] == [f"p_{one}" for one in GRADES["grade"]]
    assert all(row["prediction"] in GRADES["grade"] for row in found)
    assert sum(found[0][f"p_{one}"] for one in GRADES["grade"]) == pytest.approx(1)
