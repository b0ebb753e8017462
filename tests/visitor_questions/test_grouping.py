"""What visitors asked and got no answer to: what belongs together, and what each lacked."""

from __future__ import annotations

from itertools import combinations

import pytest
from django.core.cache import cache
from wagtail.models import PageViewRestriction, Site

from finetune_switch.models import EmbeddingSpace, Exchange, Outcome, PreparedAnswer, Switch
from finetune_switch.visitor_questions import grouping as module
from finetune_switch.visitor_questions.grouping import Missing, group_unanswered, what_was_missing
from tests.index_helpers import build
from tests.visitor_helpers import make_exchange, unanswered

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("connections", "english")]

# Questions as visitors word them, by what they want to know.
WANTED = {
    "opening": [
        "When do you open?",
        "What are your opening hours?",
        "What time do you open on Sundays?",
        "Are you open on Mondays?",
    ],
    "dogs": ["Can I bring my dog?", "Are dogs allowed?", "Do you allow dogs inside?"],
    "coaches": ["Is there parking for coaches?", "Where can coaches park?", "coach parking"],
    "helicopters": [
        "Do you have a helicopter pad?",
        "Where can a helicopter land?",
        "helicopter landing",
    ],
    "charging": ["Can I charge my electric car?", "Is there an electric car charger?"],
    "kayaks": ["Do you rent out kayaks?", "Can I hire a kayak?", "kayak rental price"],
    "wifi": ["Is there wifi?", "What is the wifi password?", "Do you have free wifi"],
    "ice": ["Do you have vegan ice cream?", "Is the ice cream vegan?"],
    "child": ["What does a ticket for a child cost?", "How much is it for children?"],
    "tour": ["What does a guided tour cost?", "How much is a guided tour?"],
    "cafe": ["When does the cafe open?", "Cafe opening times"],
    "dogs on the boat": ["Are dogs allowed on the boat trip?", "Can my dog come on the boat?"],
    "parking": ["What does parking cost?", "How much is the car park?", "parking fees"],
    "wedding": ["Can we have our wedding at the museum?", "wedding venue hire"],
    "lost": ["I lost my umbrella", "lost property office", "Where do I find lost property?"],
    "jobs": ["Do you have any jobs?", "Are you hiring?", "vacancies"],
}
# What a harbour's pages say, what is asked, and what that lacks where nothing was given.
PAGES = {
    "Dogs": "Dogs are welcome on the quay and in the cafe, on a short lead. Not in the museum.",
    "Parking": "Cars park behind the boat hall for £3 a day. Coaches stop by the slipway.",
    "The cafe": "Soup, sandwiches and fish pie from ten until four. Cakes come from the village.",
}
LACKS = {
    "Are dogs allowed in the cafe?": (Missing.NOT_FOUND, "Dogs"),
    "May dogs be on the quay?": (Missing.NOT_FOUND, "Dogs"),
    "Where do coaches stop?": (Missing.NOT_FOUND, "Parking"),
    "What is parking a day?": (Missing.NOT_FOUND, "Parking"),
    "Do you have fish pie?": (Missing.NOT_FOUND, "The cafe"),
    "Do you have a helicopter pad?": (Missing.NO_PAGE, None),
    "Do you take bitcoin?": (Missing.NO_PAGE, None),
    "Is there a swimming pool?": (Missing.NO_PAGE, None),
    "Who is the prime minister?": (Missing.NO_PAGE, None),
    "Can I hire a wedding dress?": (Missing.NO_PAGE, None),
}


@pytest.fixture
def english(connections, settings):
    settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "INDEX": {"EMBEDDINGS": "english"}}


@pytest.fixture
def pages(site, connections, make_page):
    cache.clear()
    found = {title: make_page(title, text) for title, text in PAGES.items()}
    build()
    return found


def groups_of(questions=None):
    rows = Exchange.objects.unanswered() if questions is None else questions
    return group_unanswered(rows).groups


def texts(groups):
    return [{exchange.question for exchange in group.exchanges} for group in groups]


def lack_of(exchange):
    [group] = groups_of(Exchange.objects.filter(pk=exchange.pk))
    return what_was_missing(group)


class TestWhich:
    """Which of visitors' questions count."""

    def test_those_without_an_answer_that_helped(self, site, connections):
        make_exchange("Answered?", site)
        make_exchange("Liked?", site, thumb=True)
        make_exchange("Stopped?", site, outcome=Outcome.CANCELLED)
        make_exchange("The model was down?", site, outcome=Outcome.FAILED, pages=[site.root_page])
        unanswered("A colleague's?", site, origin="compare")
        unanswered("Nothing said?", site)
        make_exchange("Disliked?", site, thumb=False)
        make_exchange("Not searched?", site, outcome=Outcome.FAILED, error_code="retrieval_failed")
        found = {row.question for row in Exchange.objects.unanswered()}
        assert found == {"Nothing said?", "Disliked?", "Not searched?"}

    def test_what_people_had_answered_is_not_among_them(self, site, connections):
        prepared = PreparedAnswer.objects.create(locale=site.root_page.locale, answer="Call us.")
        make_exchange("Help?", site, thumb=False, prepared_answer=prepared)
        assert not Exchange.objects.unanswered().exists()


class TestGroups:
    def test_questions_that_want_the_same_stand_together(self, site, connections):
        for questions in WANTED.values():
            for question in questions:
                unanswered(question, site)
        found = texts(groups_of())
        together = {pair for group in found for pair in combinations(sorted(group), 2)}
        wanted = {p for qs in WANTED.values() for p in combinations(sorted(qs), 2)}
        # Not a pair that does not belong together, and most of those that do.
        assert together <= wanted
        assert len(together) >= 0.6 * len(wanted)

    def test_the_largest_first_by_its_commonest_wording(self, site, connections):
        unanswered("Do you have a helicopter pad?", site, days_ago=3, locale="de")
        for days in (2, 5):
            unanswered("helicopter pad", site, days_ago=days)
        unanswered("Helicopter pad?", site, days_ago=4)
        unanswered("Is there wifi?", site)
        first, second = groups_of()
        assert (first.typical.question, len(first.exchanges)) == ("helicopter pad", 4)
        assert first.locales == ["de", "en-gb"]
        assert first.last_asked == first.exchanges[0].opened_at
        [_, (other, times)] = first.wordings
        assert (other.question, times) == ("Do you have a helicopter pad?", 1)
        assert second.typical.question == "Is there wifi?"

    def test_a_whole_question_stands_for_a_group_rather_than_words(self, site, connections):
        unanswered("Where can a helicopter land?", site, days_ago=3)
        unanswered("helicopter landing", site)
        [group] = groups_of()
        assert group.typical.question == "Where can a helicopter land?"

    def test_a_follow_up_stands_by_what_it_was_made_into(self, site, connections):
        unanswered("Is there wifi?", site)
        unanswered("And wifi?", site, standalone_question="Is there wifi in the cafe?")
        unanswered("And there?", site, standalone_question="Where can a helicopter land?")
        assert len(groups_of()) == 2

    def test_each_site_by_itself(self, site, connections):
        other = Site.objects.create(hostname="sail.example.org", root_page=site.root_page)
        for one in (site, other, None):
            unanswered("Is there wifi?", one)
        assert {group.site for group in groups_of()} == {site, other, None}

    def test_signs_that_mean_nothing_spoil_no_group(self, site, connections):
        for question in ("???", "Is there wifi?", "😀", "Do you have free wifi"):
            unanswered(question, site)
        assert {"Is there wifi?", "Do you have free wifi"} in texts(groups_of())
        assert len(groups_of()) <= 3

    def test_only_the_latest_are_read(self, site, connections, monkeypatch):
        monkeypatch.setattr(module, "MOST_QUESTIONS", 2)
        for days in range(5):
            unanswered(f"Question {days}?", site, days_ago=days)
        found = group_unanswered(Exchange.objects.unanswered())
        assert (found.questions, found.left_out) == (2, 3)

    def test_vectors_are_made_once(self, site, connections, standin, settings):
        cache.clear()
        settings.FINETUNE_SWITCH = {
            **settings.FINETUNE_SWITCH,
            "INDEX": {"EMBEDDINGS": {"CONNECTION": "openai", "MODEL_NAME": "standin-embed"}},
        }
        for question in ("Is there wifi?", "is there wifi", "Can I hire a kayak?"):
            unanswered(question, site)
        groups_of()
        assert sum(len(request.json["input"]) for request in standin.requests) == 2
        standin.clear()
        unanswered("Where do I park?", site)
        groups_of()
        assert [request.json["input"] for request in standin.requests] == [["Where do I park?"]]

    def test_vectors_fill_no_cache(self, site, connections, standin, settings, monkeypatch):
        """Limits count in the same cache, which may hold 300 entries."""
        cache.clear()
        settings.FINETUNE_SWITCH = {
            **settings.FINETUNE_SWITCH,
            "INDEX": {"EMBEDDINGS": {"CONNECTION": "openai", "MODEL_NAME": "standin-embed"}},
        }
        cache.set("counter", 7)
        monkeypatch.setattr("finetune_switch.backends.embeddings.cache.MOST_IN_A_SHARD", 5)
        for number in range(400):
            unanswered(f"Question {number}?", site)
        groups_of()
        assert cache.get("counter") == 7
        standin.clear()
        groups_of()
        asked_again = sum(len(request.json["input"]) for request in standin.requests)
        assert 80 <= asked_again < 200

    def test_without_vectors_the_same_words_stand_together(self, site, connections, settings):
        cache.clear()
        settings.FINETUNE_SWITCH = {
            **settings.FINETUNE_SWITCH,
            "INDEX": {"EMBEDDINGS": {"CONNECTION": "gone", "MODEL_NAME": "embed-large"}},
        }
        for question in ("Is there wifi?", "is there WIFI", "Do you have free wifi"):
            unanswered(question, site)
        found = group_unanswered(Exchange.objects.unanswered())
        assert "is not configured" in found.error
        assert sorted(len(group.exchanges) for group in found.groups) == [1, 2]


class TestWhatWasMissing:
    @pytest.mark.parametrize("question", LACKS)
    def test_where_nothing_was_given(self, question, pages, site):
        kind, title = LACKS[question]
        lack = lack_of(unanswered(question, site))
        assert dict(lack.kinds) == {kind: 1}
        assert [passage.source.title for passage in lack.pages.values()] == [title] * bool(title)
        assert lack.nearest is not None

    def test_a_page_was_given_and_ignored(self, pages, site):
        exchange = unanswered(
            "Are dogs allowed in the cafe?",
            site,
            pages=[pages["The cafe"], pages["Dogs"]],
            texts=[PAGES["The cafe"], PAGES["Dogs"]],
        )
        lack = lack_of(exchange)
        assert dict(lack.kinds) == {Missing.IGNORED: 1}
        assert lack.pages[Missing.IGNORED].source.title == "Dogs"

    def test_what_was_given_spoke_of_something_else(self, pages, site):
        """The index always finds something; that is no page about it."""
        given = {"pages": [pages["The cafe"]], "texts": [PAGES["The cafe"]], "score": 0.26}
        assert dict(lack_of(unanswered("Do you take bitcoin?", site, **given)).kinds) == {
            Missing.NO_PAGE: 1
        }
        asked = unanswered("Are dogs allowed on the quay?", site, **given)
        assert dict(lack_of(asked).kinds) == {Missing.NOT_FOUND: 1}

    def test_each_of_a_group_for_itself(self, pages, site):
        unanswered("Are dogs allowed in the cafe?", site)
        given = {"pages": [pages["Dogs"]], "texts": [PAGES["Dogs"]]}
        make_exchange("Are dogs allowed in the cafe?", site, thumb=False, **given)
        [group] = groups_of()
        assert dict(what_was_missing(group).kinds) == {Missing.NOT_FOUND: 1, Missing.IGNORED: 1}

    def test_what_visitors_may_not_open_is_no_page(self, pages, site):
        PageViewRestriction.objects.create(
            page=pages["Dogs"], restriction_type=PageViewRestriction.LOGIN
        )
        lack = lack_of(unanswered("Are dogs allowed on a short lead?", site))
        assert dict(lack.kinds) == {Missing.NO_PAGE: 1}
        assert lack.nearest.source.title != "Dogs"

    def test_below_the_threshold_it_is_still_found(self, pages, site):
        Switch.objects.create(site=site, similarity_threshold=1.0)
        lack = lack_of(unanswered("Are dogs allowed in the cafe?", site))
        assert dict(lack.kinds) == {Missing.NOT_FOUND: 1}

    def test_the_index_is_down(self, pages, site):
        exchange = unanswered("Are dogs allowed in the cafe?", site)
        [group] = groups_of()
        EmbeddingSpace.objects.update(connection="gone", model_name="embed-large")
        assert dict(what_was_missing(group).kinds) == {Missing.UNKNOWN: 1}
        given = make_exchange("x", site, pages=[pages["Dogs"]], texts=[PAGES["Dogs"]])
        Exchange.objects.filter(pk=exchange.pk).update(passages=given.passages)
        assert dict(what_was_missing(group).kinds) == {Missing.IGNORED: 1}
