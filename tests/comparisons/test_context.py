"""What the page of a comparison, and the form that begins with one, tell each reader."""

from __future__ import annotations

import pytest

from tests.comparison_helpers import bar, make_comparison, prefer, show_names
from tests.helpers import make_backend
from tests.roles import make_user
from tests.screens import add_page


class TestWins:
    @pytest.fixture
    def preferred(self, site, hosted, tuned):
        """Makes a comparison in which a colleague preferred the hosted model."""
        colleague = make_user("superuser")

        def make(**values):
            comparison = make_comparison("When?", [hosted, tuned], site=site, **values)
            prefer(comparison, "A", colleague)
            return comparison

        return make

    @pytest.fixture
    def sam(self, log_in):
        return log_in("comparer")

    def said(self, person, comparison):
        found = person.get("compare:comparison", comparison.pk).main.select_one("#finetune-wins")
        return " ".join(found.get_text().split())

    def test_of_what_everybody_may_know(self, sam, preferred):
        preferred()
        assert self.said(sam, preferred()) == (
            "So far: The hosted model 2, Our fine-tune 0, all are good 0, none is good 0"
        )

    def test_blind_ones_count_once_they_are_revealed(self, sam, preferred):
        shown, blind = preferred(), preferred(is_blind=True)
        assert "The hosted model 1," in self.said(sam, shown)
        prefer(blind, "B", sam.user)
        assert "The hosted model 1, Our fine-tune 0" in self.said(sam, shown)
        show_names(blind, sam.user)
        assert "The hosted model 2, Our fine-tune 1" in self.said(sam, shown)

    def test_not_those_that_rest_on_pages_of_others(self, sam, preferred, site):
        page = add_page(site, "Wages")
        shown, closed = preferred(), preferred(pages=[page])
        assert "The hosted model 2," in self.said(sam, shown)
        bar(page)
        assert "The hosted model 1," in self.said(sam, shown)
        prefer(closed, "both_bad", make_user("switcher"))
        assert "none is good 0" in self.said(sam, shown)

    def test_what_one_said_before_the_page_was_closed(self, sam, preferred, site):
        page = add_page(site, "Wages")
        shown, closed = preferred(), preferred(pages=[page], is_blind=True)
        prefer(closed, "B", sam.user)
        show_names(closed, sam.user)
        assert "Our fine-tune 1" in self.said(sam, shown)
        bar(page)
        assert "Our fine-tune 0" in self.said(sam, shown)


class TestAskingAgain:
    def ticked(self, person, comparison):
        page = person.get("compare:index", again=comparison.pk)
        return {box["value"] for box in page.main.select("[name=backends][checked]")}

    @pytest.mark.parametrize("is_blind", [True, False])
    def test_does_not_tell_who_answered_a_colleagues_blind_question(
        self, site, hosted, tuned, switch, log_in, is_blind
    ):
        others = [make_backend(), make_backend()]
        comparison = make_comparison("When?", others, site=site, is_blind=is_blind)
        sam = log_in("comparer")
        both = {str(row.pk) for row in others}
        assert (self.ticked(sam, comparison) == both) == (not is_blind)
        assert "When?" in sam.get("compare:index", again=comparison.pk).text
        show_names(comparison, sam.user)
        assert self.ticked(sam, comparison) == both

    def test_ones_own(self, site, log_in):
        others = [make_backend(), make_backend()]
        sam = log_in("comparer")
        comparison = make_comparison("When?", others, site=site, is_blind=True, user=sam.user)
        assert self.ticked(sam, comparison) == {str(row.pk) for row in others}
