import numpy as np
import pytest
import torch
from monai.transforms import Compose

from medvol.bundles.audit import guessing, puzzles
from medvol.bundles.audit.guessing import Table, guess
from medvol.bundles.audit.puzzles import guess_orders, listed_permutations
from medvol.bundles.audit.report import BAR, POWER
from medvol.bundles.audit.task import CHAIN
from medvol.transforms import RandJigsawd, permutation_set

CELLS, ROWS = 27, np.stack([np.random.RandomState(row).permutation(27) for row in range(100)])


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    monkeypatch.setattr(guessing, "_TREES", 10)


def grids(seed, hint=0.15, draws=40):
    """Patches of 27 cells, each with one noisy number per axis: ``hint`` noise deviations from cell to cell."""
    rng = np.random.RandomState(seed)
    cells = np.concatenate([rng.permutation(CELLS) for _ in range(draws)])
    places = np.stack(np.unravel_index(cells, (3, 3, 3)), axis=1)
    draw = np.repeat(np.arange(draws), CELLS)
    return Table(hint * places + rng.randn(len(cells), 3), cells, draw // 2, ["level"] * 3, draw)


def test_slight_hints_of_all_patches_add_up():
    known, asked = (grids(seed, hint=0.3, draws=80) for seed in (0, 1))
    chance = 1 / CELLS
    assert max(answer.right for answer in guess(known, asked, seed=0)) < chance + BAR  # patch by patch: no shortcut
    answer = guess_orders(known, asked, ROWS, seed=0)
    assert answer.low > 1 / 100 + POWER
    assert (answer.samples, answer.units) == (160 * 100, 80)


def test_noise_tells_no_order():
    answer = guess_orders(grids(0, hint=0.0), grids(1, hint=0.0), ROWS, seed=0)
    assert answer.low < 1 / 100 < answer.high < 1 / 100 + BAR


def test_what_never_varies_tells_no_order():
    known = grids(0)
    known.features[:] = 1.0
    assert guess_orders(known, known, ROWS, seed=0).right == pytest.approx(1 / 100)


def test_of_a_long_list_some_are_asked():
    rows = np.stack([np.random.RandomState(row).permutation(CELLS) for row in range(150)])
    assert guess_orders(grids(0), grids(1), rows, seed=0).samples == 80 * 100


def test_draws_with_a_patch_left_out_are_no_puzzles():
    table = grids(1)
    kept = np.arange(len(table.labels)) != 5
    parts = [part[kept] for part in (table.features, table.labels, table.units)]
    asked = Table(*parts, table.columns, table.draws[kept])
    assert guess_orders(grids(0), asked, ROWS, seed=0).samples == 79 * 100


class Parser:
    def __init__(self, *parts):
        self.parts = parts

    def get_parsed_content(self, key):
        assert key == CHAIN
        return Compose([Compose(list(self.parts))])


def test_the_list_is_taken_from_the_transform():
    rows = [[0, 1, 2], [2, 1, 0]]
    assert listed_permutations(Parser(RandJigsawd("image", rows))).tolist() == rows
    assert listed_permutations(Parser(RandJigsawd("image", None))) is None
    assert listed_permutations(Parser(torch.nn.Identity())) is None


@pytest.mark.slow
def test_the_ends_hold_near_the_bar_and_hardly_anything_is_found_at_chance(monkeypatch):
    """By a hundred audits each of a hint that comes to about the bar and of no hint; the volumes' draws are alike."""
    rows, rng = permutation_set((3, 3, 3), 100), np.random.RandomState(0)
    cells, draws = np.tile(np.arange(CELLS), 76), np.repeat(np.arange(76), CELLS)
    half = Table(np.zeros((76 * CELLS, 1)), cells, draws // 2, ["level"], draws)

    def audits(hint):
        def log_chances(train, test, count):
            of_volume = rng.randn(38, 1, CELLS, CELLS).repeat(2, axis=1).reshape(76, CELLS, CELLS)
            own = rng.randn(76, CELLS, CELLS)
            return (0.7 * (of_volume + own) + hint * np.eye(CELLS)).reshape(-1, CELLS)

        monkeypatch.setattr(puzzles, "log_chances", log_chances)
        answers = [guess_orders(half, half, rows, seed=0) for _ in range(100)]
        share = np.mean([answer.right for answer in answers])
        too_low, too_high = sum(a.high < share for a in answers), sum(a.low > share for a in answers)
        print(f"{hint}: {share:.4f} right; 'at most' too low in {too_low} of 100, 'at least' too high in {too_high}")
        return answers, share, too_low, too_high

    _, share, too_low, too_high = audits(0.155)
    assert 0.05 < share < 0.07
    assert max(too_low, too_high) <= 8
    answers, share, _, too_high = audits(0.0)
    assert share == pytest.approx(0.01, abs=0.002)
    assert too_high <= 8
    shortcuts = sum(answer.high > share + BAR and answer.low > share for answer in answers)
    print(f"{shortcuts} of 100 audits without a hint call it a shortcut")
    assert shortcuts <= 1
