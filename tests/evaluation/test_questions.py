"""Questions and question sets, as an editor lists, writes, copies and deletes them."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.urls import NoReverseMatch, reverse
from taggit.models import Tag, TaggedItem
from wagtail.models import Page, PageViewRestriction

from finetune_switch.models import Comparison, Question, QuestionSet
from finetune_switch.passages import Passage, Source
from tests.pages import address, form_values, rows
from tests.roles import grant, make_user

EVIL = '<img src=x onerror="alert(1)">'


@pytest.fixture
def opening(site):
    return QuestionSet.objects.create(name="Opening hours")


@pytest.fixture
def question(site, opening):
    question = Question.objects.create(
        text="When do you open?", reference_answer="At nine.", page_ids=[site.root_page.pk]
    )
    question.sets.add(opening)
    question.tags.add("hours", "visit")
    return question


def pages_in(page):
    """What the form shows of the pages, the pattern for further ones left out."""
    return [
        " ".join(tag.get_text(" ").split()).removesuffix("Remove").strip()
        for tag in page.main.select("ul.finetune-pages > li")
    ]


def send(admin, view, *args, **changes):
    """The form as it is shown, with changes, sent as a browser would."""
    page = admin.get(view, *args)
    values = form_values(page)
    values["page_ids"] = [
        str(field["value"]) for field in page.main.select("ul.finetune-pages > li input")
    ]
    return admin.post(view, *args, **(values | changes))


class TestList:
    def test_empty(self, site, admin):
        page = admin.get("questions:index")
        assert "There are no questions to display" in page.text
        assert page.links("add one") == [address("questions:add")]

    def test_what_it_shows(self, question, admin):
        page = admin.get("questions:index")
        assert rows(page) == ["When do you open?"]
        assert "Opening hours" in page.text
        assert "hours, visit" in page.text
        links = page.main.select("a[aria-label='Compare backends with “When do you open?”']")
        assert [link["href"] for link in links] == [
            f"{address('compare:index')}?saved={question.pk}"
        ]

    def test_compare_is_offered_to_those_who_may(self, question, log_in):
        changer = log_in("question_changer")
        assert changer.get("questions:index").links("Compare") == []
        assert changer.get("questions:edit", question.pk).links("Compare") == []

    def test_search(self, question, admin):
        Question.objects.create(text="Is there a lift?")
        assert rows(admin.get("questions:index", q="LIFT")) == ["Is there a lift?"]
        assert rows(admin.get("questions:index", q="nine")) == ["When do you open?"]
        assert rows(admin.get("questions:index", q="tower")) == []

    def test_filters(self, question, opening, admin):
        other = Question.objects.create(text="Is there a lift?")
        other.tags.add("access")
        hours = question.tags.get(name="hours")
        assert rows(admin.get("questions:index", sets=opening.pk)) == ["When do you open?"]
        assert rows(admin.get("questions:index", tags=hours.pk)) == ["When do you open?"]
        access = other.tags.get()
        both = admin.get("questions:index", tags=[hours.pk, access.pk])
        assert sorted(rows(both)) == ["Is there a lift?", "When do you open?"]

    def test_tags_of_other_things_are_no_filter(self, question, site, admin):
        TaggedItem.objects.create(
            tag=Tag.objects.create(name="elsewhere", slug="elsewhere"),
            content_type=ContentType.objects.get_for_model(Page),
            object_id=site.root_page.pk,
        )
        page = admin.get("questions:index")
        assert "elsewhere" not in page.soup.get_text()
        assert page.soup.select("[name=tags]")

    def test_as_many_queries_for_many_rows(
        self, question, opening, admin, django_assert_max_num_queries
    ):
        def count():
            with django_assert_max_num_queries(60) as captured:
                assert admin.get("questions:index").status == 200
            return len(captured)

        count()
        few = count()
        for number in range(15):
            other = Question.objects.create(text=f"Question {number}?")
            other.sets.add(opening)
            other.tags.add("hours")
        assert count() == few


class TestForm:
    def test_adding(self, site, opening, admin):
        page = admin.post(
            "questions:add",
            text="  Is there a lift?  ",
            reference_answer="Yes.",
            page_ids=[site.root_page.pk],
            sets=[opening.pk],
            tags="access, building",
        )
        assert "Is there a lift?" in page.message
        question = Question.objects.get()
        assert question.text == "Is there a lift?"
        assert question.created_by == admin.user
        assert question.page_ids == [site.root_page.pk]
        assert list(question.sets.all()) == [opening]
        assert sorted(question.tags.names()) == ["access", "building"]

    def test_from_a_set_that_set_is_ticked(self, opening, admin):
        page = admin.get("questions:add", set=opening.pk)
        ticked = page.main.select("input[name=sets][checked]")
        assert [field["value"] for field in ticked] == [str(opening.pk)]
        assert admin.get("questions:add", set="nonsense").status == 200

    def test_editing_keeps_who_wrote_it(self, question, admin, log_in):
        Question.objects.filter(pk=question.pk).update(created_by=admin.user)
        send(log_in("question_changer"), "questions:edit", question.pk, text="At what time?")
        question.refresh_from_db()
        assert (question.text, question.created_by) == ("At what time?", admin.user)
        assert sorted(question.tags.names()) == ["hours", "visit"]

    def test_a_compare_button(self, question, admin):
        links = admin.get("questions:edit", question.pk).soup.select("a.w-header-button")
        assert f"{address('compare:index')}?saved={question.pk}" in [a["href"] for a in links]

    def test_copying_takes_all_of_it_along(self, question, opening, admin):
        send(admin, "questions:copy", question.pk, text="Another?")
        copy = Question.objects.get(text="Another?")
        assert copy.pk != question.pk
        assert copy.page_ids == question.page_ids
        assert list(copy.sets.all()) == [opening]
        assert sorted(copy.tags.names()) == ["hours", "visit"]
        assert copy.created_by == admin.user
        assert Question.objects.count() == 2

    def test_deleting(self, question, admin):
        assert "When do you open?" in admin.get("questions:delete", question.pk).text
        admin.post("questions:delete", question.pk)
        assert not Question.objects.exists()

    @pytest.mark.parametrize(
        ("text", "error"),
        [
            ("   ", "This field is required."),
            ("x" * 20_001, "The question has 20001 characters; at most 20000 can be asked."),
            ("When\x00?", "Null characters are not allowed."),
        ],
    )
    def test_what_is_no_question(self, text, error, site, admin):
        page = admin.post("questions:add", text=text, tags="")
        assert page.errors("text") == error
        assert not Question.objects.exists()

    def test_a_long_one(self, site, admin):
        admin.post("questions:add", text="w" * 20_000, tags="")
        assert len(Question.objects.get().text) == 20_000
        assert len(rows(admin.get("questions:index"))[0]) == 80

    def test_html_is_text(self, site, admin):
        evil = QuestionSet.objects.create(name=EVIL)
        question = Question.objects.create(text=EVIL, reference_answer=EVIL)
        question.sets.add(evil)
        question.tags.add(EVIL)
        for view, args in (
            ("questions:index", ()),
            ("questions:edit", (question.pk,)),
            ("questions:delete", (question.pk,)),
            ("question_sets:index", ()),
            ("question_sets:edit", (evil.pk,)),
        ):
            page = admin.get(view, *args)
            assert page.soup.select("img[onerror]") == []
            assert EVIL in page.soup.get_text(), view


class TestPages:
    def test_titles(self, question, site, admin):
        assert pages_in(admin.get("questions:edit", question.pk)) == ["Harbour Remove Harbour"]

    def test_all_are_removed(self, question, admin):
        send(admin, "questions:edit", question.pk, page_ids=[])
        question.refresh_from_db()
        assert question.page_ids == []

    def test_each_once_in_their_order(self, question, site, admin):
        root = site.root_page.get_parent()
        chosen = [root.pk, site.root_page.pk, root.pk]
        send(admin, "questions:edit", question.pk, page_ids=chosen)
        question.refresh_from_db()
        assert question.page_ids == [root.pk, site.root_page.pk]

    def test_a_page_that_is_gone_is_shown_so_and_may_stay(self, question, site, admin):
        Question.objects.filter(pk=question.pk).update(page_ids=[987654, site.root_page.pk])
        page = admin.get("questions:edit", question.pk)
        assert pages_in(page)[0].startswith("A page that is gone (number 987654)")
        send(admin, "questions:edit", question.pk, text="Still?")
        question.refresh_from_db()
        assert (question.text, question.page_ids) == ("Still?", [987654, site.root_page.pk])
        send(admin, "questions:edit", question.pk, page_ids=[site.root_page.pk])
        question.refresh_from_db()
        assert question.page_ids == [site.root_page.pk]

    @pytest.mark.parametrize("chosen", [["987654"], ["x"], ["1.5"], ["-1"], ["9" * 40], ["²"]])
    def test_what_is_no_page_is_refused(self, chosen, question, admin):
        page = send(admin, "questions:edit", question.pk, page_ids=chosen)
        assert page.errors("page_ids")
        question.refresh_from_db()
        assert question.page_ids != chosen

    def test_queries_do_not_grow(self, question, site, admin, django_assert_max_num_queries):
        def count():
            with django_assert_max_num_queries(80) as captured:
                assert admin.get("questions:edit", question.pk).status == 200
            return len(captured)

        count()
        few = count()
        pages = [site.root_page.get_parent().pk, site.root_page.pk, 4711]
        Question.objects.filter(pk=question.pk).update(page_ids=pages)
        assert count() == few


class TestSets:
    def test_list(self, question, admin):
        page = admin.get("question_sets:index")
        assert rows(page) == ["Opening hours"]
        assert [cell.text.strip() for cell in page.main.select("tbody td")][1] == "1"

    def test_a_set_shows_its_questions(self, question, opening, admin):
        page = admin.get("question_sets:edit", opening.pk)
        assert page.links("When do you open?") == [address("questions:edit", question.pk)]
        assert page.links("Add a question") == [f"{address('questions:add')}?set={opening.pk}"]

    def test_an_empty_one(self, opening, admin):
        page = admin.get("question_sets:edit", opening.pk)
        assert "There is no question in this set yet." in page.text

    def test_a_large_one_leads_to_the_list(self, opening, admin):
        for number in range(51):
            Question.objects.create(text=f"Question {number}?").sets.add(opening)
        page = admin.get("question_sets:edit", opening.pk)
        assert len(page.main.select(".finetune-ticked li")) == 50
        assert page.links("All questions of this set") == [
            f"{address('questions:index')}?sets={opening.pk}"
        ]

    def test_adding_and_deleting(self, site, admin):
        admin.post("question_sets:add", name="Prices", description="What things cost.")
        created = QuestionSet.objects.get()
        assert (created.name, created.description) == ("Prices", "What things cost.")
        question = Question.objects.create(text="How much?")
        question.sets.add(created)
        admin.post("question_sets:delete", created.pk)
        assert not QuestionSet.objects.exists()
        assert Question.objects.exists()

    def test_two_of_one_name(self, opening, admin):
        page = admin.post("question_sets:add", name="Opening hours")
        assert "already exists" in page.errors("name")


class TestReferenceAnswersFromClosedPages:
    """A text made from pages is read by those who may open them, on every screen."""

    SECRET = "The vault code is 4417."
    VIEWS = ("index", "index_results", "edit", "copy", "delete", "history", "usage")

    @pytest.fixture(params=["pages", "comparison", "both"])
    def closed(self, request, question, make_page):
        page = make_page("Staff", self.SECRET)
        question.reference_answer = self.SECRET
        question.page_ids = [] if request.param == "comparison" else [page.pk]
        question.save()
        if request.param != "pages":
            source = Source("Staff", "/staff/", "demo_site.articlepage", str(page.pk))
            Comparison.objects.create(
                question=question.text,
                saved_question=question,
                passages=[Passage(1, self.SECRET, 0.9, source).as_dict()],
            )
        self.restriction = PageViewRestriction.objects.create(
            page=page, restriction_type=PageViewRestriction.GROUPS
        )
        self.restriction.groups.add(Group.objects.create(name="Staff"))
        return question

    @pytest.fixture
    def editor(self, client, site):
        user = make_user("editor")
        grant(user, "add_question", "change_question", "view_question", "delete_question")
        client.force_login(user)
        return client

    def pages(self, client, question):
        for name in self.VIEWS:
            try:
                url = reverse(f"finetune_questions:{name}", args=self.args(name, question))
            except NoReverseMatch:
                continue
            yield name, client.get(url)

    def args(self, name, question):
        return [] if name.startswith("index") else [question.pk]

    def test_no_view_tells_them(self, closed, editor):
        for name, response in self.pages(editor, closed):
            assert "4417" not in response.content.decode(), name
        assert editor.get(reverse("finetune_questions:edit", args=[closed.pk])).status_code == 200

    def test_nor_does_a_search(self, closed, editor):
        for words in ("4417", "vault code"):
            page = editor.get(reverse("finetune_questions:index"), {"q": words})
            assert closed.text not in page.content.decode()
        page = editor.get(reverse("finetune_questions:index"), {"q": "When do"})
        assert closed.text in page.content.decode()

    def test_members_of_the_group_read_them(self, closed, editor):
        self.restriction.groups.first().user_set.add(editor.get("/admin/").wsgi_request.user)
        edit = editor.get(reverse("finetune_questions:edit", args=[closed.pk]))
        assert "4417" in edit.content.decode()
        page = editor.get(reverse("finetune_questions:index"), {"q": "vault code"})
        assert closed.text in page.content.decode()

    def test_saving_keeps_them(self, closed, editor):
        url = reverse("finetune_questions:edit", args=[closed.pk])
        data = {"text": "When then?", "tags": "", "reference_answer": "Overwritten"}
        editor.post(url, {**data, "page_ids": [str(pk) for pk in closed.page_ids]})
        closed.refresh_from_db()
        assert (closed.text, closed.reference_answer) == ("When then?", self.SECRET)
