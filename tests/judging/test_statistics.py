"""The e-value, Cohen's κ and the estimate of questions, held to worked figures."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy
import pytest

from finetune_switch.judging.statistics import (
    cohen_kappa,
    e_value,
    log_e_value,
    questions_needed,
)
from finetune_switch.judging.verdict import FIRST_THRESHOLD, SECOND_THRESHOLD

QUESTIONS, FIRST_LOOK = 150, 5


class TestEValue:
    @pytest.mark.parametrize(
        ("wins", "losses", "expected"),
        [
            # Worked by hand: ¾·½(1.4^w·0.6^l + 0.6^w·1.4^l) + ¼·½(1.9^w·0.1^l + 0.1^w·1.9^l).
            (0, 0, 1.0),
            (1, 0, 1.0),
            (6, 0, 8.7),
            (8, 0, 26.8),
            (9, 0, 48.1),
        ],
    )
    def test_worked_figures(self, wins, losses, expected):
        assert e_value(wins, losses) == pytest.approx(expected, abs=0.05)

    @pytest.mark.parametrize(("wins", "losses"), [(7, 2), (40, 31), (0, 12), (3, 3)])
    def test_is_the_mixture_it_claims_to_be(self, wins, losses):
        def two_point(q):
            return (
                (2 * q) ** wins * (2 - 2 * q) ** losses + (2 - 2 * q) ** wins * (2 * q) ** losses
            ) / 2

        expected = 0.75 * two_point(0.7) + 0.25 * two_point(0.95)
        assert e_value(wins, losses) == pytest.approx(expected, rel=1e-9)
        assert e_value(losses, wins) == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize("questions", [1, 5, 12])
    def test_is_fair(self, questions):
        """Its mean over all outcomes of equally good models is 1, so that it may be watched."""
        mean = sum(
            math.comb(questions, wins) * e_value(wins, questions - wins) / 2**questions
            for wins in range(questions + 1)
        )
        assert mean == pytest.approx(1.0, rel=1e-12)

    def test_of_thousands_of_questions(self):
        assert e_value(10_000, 0) == math.inf
        assert log_e_value(10_000, 0) == pytest.approx(math.log(0.125) + 10_000 * math.log(1.9))


class TestCohenKappa:
    def test_published_figures(self):
        # The example of 50 grant proposals: 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no.
        pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
        assert cohen_kappa(pairs) == pytest.approx(0.4)

    def test_cohens_own_example(self):
        # Cohen (1960), table 1: shares of .44, .07, .09 and so on, of 200 patients; κ = .492.
        counts = [[88, 14, 18], [10, 40, 10], [2, 6, 12]]
        pairs = [
            (str(row), str(column))
            for row, cells in enumerate(counts)
            for column, count in enumerate(cells)
            for _ in range(count)
        ]
        assert cohen_kappa(pairs) == pytest.approx(0.4915, abs=5e-5)

    def test_without_anything_to_say(self):
        assert cohen_kappa([]) is None
        assert cohen_kappa([("wrong", "wrong")] * 3) is None

    def test_worse_than_chance(self):
        assert cohen_kappa([("a", "b"), ("b", "a")]) == pytest.approx(-1.0)


class TestQuestionsNeeded:
    def test_reaches_the_threshold_and_not_before(self):
        more = questions_needed(6, 0, 10, FIRST_THRESHOLD)
        assert more is not None

        def evidence(more):
            return e_value(6 * (10 + more) / 10, 0)

        assert evidence(more) >= FIRST_THRESHOLD > evidence(more - 1)

    @pytest.mark.parametrize(("wins", "losses", "asked"), [(3, 3, 20), (0, 0, 0), (101, 99, 400)])
    def test_where_nobody_can_tell(self, wins, losses, asked):
        assert questions_needed(wins, losses, asked, FIRST_THRESHOLD) is None


@pytest.fixture(scope="module")
def evidence():
    """The e-value of each count of wins and losses up to the number of questions."""
    counts = range(QUESTIONS + 1)
    return numpy.array([[log_e_value(wins, losses) for losses in counts] for wins in counts])


def outcomes(random, share, other_share, correlation, simulations):
    """Whether each of two models has a property, such as being right, on each question.

    ``correlation`` is that of the difficulty that the question has for the two.
    """
    shape = (simulations, QUESTIONS)
    common = random.standard_normal(shape) * math.sqrt(correlation)
    results = []
    for wanted in (share, other_share):
        difficulty = common + random.standard_normal(shape) * math.sqrt(1 - correlation)
        results.append(difficulty < NormalDist().inv_cdf(wanted))
    return results


def watched(evidence, first, second):
    """The e-value after each question, from the fifth on."""
    wins = numpy.cumsum(first & ~second, axis=1)
    losses = numpy.cumsum(second & ~first, axis=1)
    return evidence[wins, losses][:, FIRST_LOOK - 1 :]


class TestSimulations:
    """With fixed seeds. The correlation is that of the difficulty of questions for two models."""

    @pytest.mark.parametrize("correlation", [0.0, 0.3])
    def test_equal_models_seldom_have_a_winner(self, evidence, correlation):
        """At most 5 % of equal models, although both properties are watched all the time."""
        random = numpy.random.default_rng(20261201)
        simulations = 4000
        first, second = outcomes(random, 0.5, 0.5, correlation, simulations)
        right = watched(evidence, first, second)
        # Of the answers that are not right, three of five are wrong.
        wrong_first = ~first & (random.random(first.shape) < 0.6)
        wrong_second = ~second & (random.random(second.shape) < 0.6)
        wrong = watched(evidence, wrong_first, wrong_second)
        reached = numpy.maximum(right, wrong).max(axis=1) >= math.log(FIRST_THRESHOLD)
        assert reached.mean() <= 0.05

    def test_the_test_above_can_fail(self, evidence):
        """McNemar's test, watched in the same way, names a winner far more often."""
        random = numpy.random.default_rng(20261201)
        first, second = outcomes(random, 0.5, 0.5, 0.0, 2000)
        wins = numpy.cumsum(first & ~second, axis=1)[:, FIRST_LOOK - 1 :]
        losses = numpy.cumsum(second & ~first, axis=1)[:, FIRST_LOOK - 1 :]
        chi_square = (wins - losses) ** 2 / numpy.maximum(1, wins + losses)
        assert (chi_square.max(axis=1) > 3.841).mean() > 0.15

    @pytest.mark.parametrize(("correlation", "power"), [(0.0, 0.75), (0.3, 0.85)])
    def test_power_at_20_points_under_the_split_budget(self, evidence, correlation, power):
        random = numpy.random.default_rng(20261201)
        first, second = outcomes(random, 0.7, 0.5, correlation, 4000)
        found = watched(evidence, first, second).max(axis=1) >= math.log(FIRST_THRESHOLD)
        assert found.mean() >= power

    def test_the_second_threshold_finds_more(self, evidence):
        random = numpy.random.default_rng(20261201)
        most = watched(evidence, *outcomes(random, 0.7, 0.5, 0.0, 4000)).max(axis=1)
        found = [(most >= math.log(line)).mean() for line in (FIRST_THRESHOLD, SECOND_THRESHOLD)]
        assert found[1] > found[0] + 0.04
