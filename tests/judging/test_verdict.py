"""What a verdict says, and when it says nothing."""

from __future__ import annotations

import pytest

from finetune_switch.judging.verdict import Side, Verdict, needed


def side(only_first=0, only_second=0, both=0, neither=0):
    return Side(
        first=only_first + both,
        second=only_second + both,
        both=both,
        asked=only_first + only_second + both + neither,
    )


def say(wrong, right, **values):
    return " ".join(Verdict("Yours", "OpenAI", wrong=wrong, right=right, **values).sentences())


def test_counts_pairs():
    pairs = [(True, True), (True, False), (False, False), (False, True), (True, False)]
    counted = Side.of(pairs)
    assert (counted.first, counted.second, counted.both, counted.asked) == (3, 2, 1, 5)
    assert (counted.only_first, counted.only_second) == (2, 1)


class TestSentences:
    def test_wrong_is_decided_and_right_is_not(self):
        said = say(side(only_first=9, neither=31), side(only_first=4, only_second=12, both=20))
        assert said.startswith("Yours was wrong 9 times, OpenAI never: that is not luck.")
        assert "Which is right more often can't be said yet: about" in said

    def test_right_alone_is_decided(self):
        said = say(side(neither=60), side(only_second=20, only_first=2, both=38))
        assert "Which is wrong more often can't be said yet: more than 1,000" in said
        assert "OpenAI was right 58 times, Yours 40 times: that is not luck." in said

    def test_too_close(self):
        said = say(side(3, 2, neither=115), side(18, 13, both=80, neither=9))
        assert "Too close to call" in said
        assert said.endswith("any difference is probably small.")

    def test_never_says_that_two_are_equal(self):
        said = say(side(neither=200), side(10, 10, both=180))
        assert "equal" not in said
        assert "more than 1,000 more questions would be needed" in said

    def test_the_ten_questions_decide_nothing(self):
        """The table that the project started from: 6 wrong of 10 against none."""
        right, wrong = side(only_second=5, neither=5), side(only_first=6, neither=4)
        verdict = Verdict("The fine-tune", "gpt-4o-mini", wrong=wrong, right=right, pairs=3)
        assert not verdict.is_decided
        assert "10 questions decide nothing." in " ".join(verdict.sentences())
        alone = Verdict("The fine-tune", "gpt-4o-mini", wrong=wrong, right=right)
        assert not alone.is_decided

    def test_nothing_graded(self):
        assert say(side(), side()) == "No question has been graded for both yet."

    def test_failed_questions_are_counted(self):
        said = say(side(only_first=9, neither=20), side(neither=29), failed=2)
        assert said.endswith("2 questions are left out, since one of the two failed to answer.")


class TestThresholds:
    def test_one_that_is_decided_lowers_the_other(self):
        right = side(only_second=8, neither=32)  # E = 26.8: enough for 20, not for 40
        assert not Verdict("A", "B", wrong=side(neither=40), right=right).is_right_decided
        decided = Verdict("A", "B", wrong=side(only_first=9, neither=31), right=right)
        assert decided.is_wrong_decided
        assert decided.is_right_decided

    def test_more_pairs_need_more(self):
        wrong = side(only_first=9, neither=31)
        assert Verdict("A", "B", wrong=wrong, right=side(neither=40)).is_wrong_decided
        assert not Verdict("A", "B", wrong=wrong, right=side(neither=40), pairs=2).is_wrong_decided

    def test_of_four_questions_nothing_is_said(self):
        # Evidence cannot reach the threshold with four, whatever they are.
        assert not Verdict("A", "B", wrong=side(only_first=4), right=side(neither=4)).is_decided


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (1, "about 1 more question"),
        (12, "about 12 more questions"),
        (38, "about 40 more questions"),
        (304, "about 300 more questions would be needed"),
        (None, "more than 1,000 more questions would be needed"),
    ],
)
def test_questions_needed(more, text):
    assert needed(more) == text
