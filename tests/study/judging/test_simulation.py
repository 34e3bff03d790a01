from __future__ import annotations

import pytest

from medvol.study.judging.simulation import Spread, null_table, power_table, simulate

PILOT = Spread(0.008, 0.005, 0.015)


def test_a_fixed_seed_repeats() -> None:
    first = simulate(PILOT, 3, 10, effect=0.015, studies=60)
    assert first == simulate(PILOT, 3, 10, effect=0.015, studies=60)
    assert len({simulate(PILOT, 3, 10, effect=0.015, studies=60, seed=k) for k in range(3)}) > 1


def test_a_large_effect_is_seen_and_its_direction() -> None:
    assert simulate(PILOT, 5, 25, effect=0.1, studies=20).helps == 1.0
    assert simulate(PILOT, 5, 25, effect=-0.1, studies=20).harms == 1.0
    assert simulate(PILOT, 2, 25, effect=-0.1, studies=5).any == 0.0  # not judged


def test_the_spread_of_the_differences_is_the_one_asked_for() -> None:
    """The power of many studies is the formula's: arm and reference share the variance that was asked for."""
    table = power_table(PILOT, seeds=[5], arms=[1], studies=200)
    assert table["power"][0] == pytest.approx(table["formula"][0], abs=0.08)


def test_several_arms_cost_power() -> None:
    table = power_table(PILOT, effect=0.012, seeds=[5], arms=[1, 3], studies=60)
    assert table["power"][0] > table["power"][1]


@pytest.mark.parametrize("wrong", [{"studies": 0}, {"arms": 0}, {"seeds": 0}, {"spread": Spread(-1, 0, 0)}])
def test_impossible_simulations_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        simulate(**({"spread": PILOT, "seeds": 3, "patients": 10} | wrong))


@pytest.mark.slow
@pytest.mark.parametrize("arms", [1, 3])
def test_where_nothing_differs_a_verdict_is_wrong_in_at_most_seven_percent(arms: int) -> None:
    """2,000 null studies for every seed deviation, number of seeds and patient-by-arm variance."""
    table = null_table(arms=[arms])
    assert len(table) == 4 * 2 * 2
    assert table["one verdict"].max() <= 0.07, table.to_string()
    # Any of three: Holm asks for the far tail, where Satterthwaite is liberal with three seeds; told in the page.
    assert table["any verdict"].max() <= (0.07 if arms == 1 else 0.09), table.to_string()
