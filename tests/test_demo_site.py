"""The demo site: that it loads, says what it should, and keeps what it should to itself."""

import os
import re
import subprocess
import sys
from datetime import time
from decimal import Decimal
from html import unescape
from typing import NamedTuple, Self

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import Client, TestCase
from wagtail.models import Page, PageViewRestriction, Site
from wagtail_vector_index.storage.models import EmbeddableFieldsDocumentConverter

from demo_site import loader, models
from demo_site.content import read_questions
from demo_site.markup import UnknownPage, rich_text
from demo_site.wording import say_length, say_price, say_time

HANDBOOK = "/handbook/opening-up/"
TRUSTEES = "/about/trustees-papers/"
PRESS = "/about/press-room/"
# Said only in the handbook, to trustees, to the press, in a draft, in an unpublished change.
SECRETS = [
    *("4471", "184,000", "17 June 2028", "12.50", "Tarrow Belle", "noon to 2pm"),
    *("meeting of 28 November", "keep to the embargo"),  # introductions, which lists show
]

INLINE = [
    re.compile(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)", re.I),
    re.compile(r"<style\b", re.I),
    re.compile(r"<[^>]+\sstyle\s*=", re.I),
    re.compile(r"<[^>]+\son[a-z]+\s*=", re.I),
]


class Seen(NamedTuple):
    """What a test wants of a response, and no more: class data is copied for each test."""

    status: int
    policy: str
    html: str

    @classmethod
    def get(cls, client: Client, url: str) -> Self:
        response = client.get(url)
        policy = response.headers.get("Content-Security-Policy", "")
        return cls(response.status_code, policy, response.content.decode())


def text_of(response) -> str:
    return main_text(response.content.decode())


def main_text(html: str) -> str:
    main = html.split("<main", 1)[1].split("</main>", 1)[0]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", main)).split())


class DemoSiteTests(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        cls.report = loader.load()
        cls.site = Site.objects.get(is_default_site=True)
        cls.restricted = {
            page.pk
            for restriction in PageViewRestriction.objects.all()
            for page in restriction.page.get_descendants(inclusive=True)
        }
        # What an anonymous visitor sees of each page, read once for all tests.
        client = Client()
        cls.seen = {page.get_url(): Seen.get(client, page.get_url()) for page in cls.public()}

    @classmethod
    def pages(cls):
        return cls.site.root_page.get_descendants(inclusive=True)

    @classmethod
    def public(cls):
        return [page for page in cls.pages().live() if page.pk not in cls.restricted]

    def test_there_is_enough_to_ask_about(self) -> None:
        assert len(self.seen) >= 60
        assert self.pages().filter(live=False).count() >= 4
        kinds = {page.specific_class for page in self.pages()}
        assert kinds == set(loader.KINDS.values())

    def test_public_pages_open_and_have_nothing_inline(self) -> None:
        for url, seen in self.seen.items():
            assert seen.status == 200, url
            assert seen.policy.startswith("default-src 'self'")
            for pattern in INLINE:
                assert not pattern.search(seen.html), (url, pattern.pattern)

    def test_public_pages_keep_secrets(self) -> None:
        for url, seen in self.seen.items():
            for secret in SECRETS:
                assert secret not in seen.html, (url, secret)

    def test_links_lead_somewhere(self) -> None:
        targets = set()
        for seen in self.seen.values():
            targets |= set(re.findall(r'href="(/[^"#?]*)', seen.html))
        for target in sorted(targets - set(self.seen)):
            if not target.startswith(("/static/", "/ask/")):
                assert self.client.get(target).status_code in (200, 302), target

    def test_drafts_are_not_there(self) -> None:
        for page in self.pages().filter(live=False):
            assert self.client.get(page.get_url()).status_code == 404, page

    def test_the_handbook_wants_a_log_in(self) -> None:
        for page in self.pages().filter(slug="handbook").get().get_descendants(inclusive=True):
            response = self.client.get(page.get_url())
            assert response.status_code == 302, page
            assert "/_util/login/" in response.url
        response = self.client.get(HANDBOOK, follow=True)
        assert "Log in" in text_of(response)
        assert "4471" not in text_of(response)

        assert self.client.login(username="member", password="demo")
        assert "4471" in text_of(self.client.get(HANDBOOK))

    def test_trustees_papers_are_for_trustees(self) -> None:
        self.client.login(username="member", password="demo")
        assert self.client.get(TRUSTEES).status_code == 302
        assert "Trustees’ papers" not in text_of(self.client.get("/about/"))
        self.client.login(username="trustee", password="demo")
        assert "184,000" in text_of(self.client.get(TRUSTEES))
        assert "Trustees’ papers" in text_of(self.client.get("/about/"))

    def test_the_press_room_wants_its_password(self) -> None:
        response = self.client.get(PRESS)
        assert "17 June 2028" not in text_of(response)
        action = re.search(r'method="post" action="([^"]+)"', response.content.decode())[1]
        opened = self.client.post(
            action, {"password": "ginger-beer", "return_url": PRESS}, follow=True
        )
        assert "17 June 2028" in text_of(opened)

    def test_nobody_but_staff_enters_the_admin(self) -> None:
        self.client.login(username="member", password="demo")
        assert self.client.get("/admin/").status_code == 302
        self.client.login(username="editor", password="demo")
        assert self.client.get("/admin/").status_code == 200

    def test_searching_by_words(self) -> None:
        response = self.client.get("/search/", {"q": "lifeboat coxswain"})
        assert "The night they rowed backwards" in text_of(response)
        assert "0 pages" in text_of(self.client.get("/search/", {"q": "4471"}))
        assert self.client.get("/search/").status_code == 200

    def test_loading_again_changes_nothing(self) -> None:
        page = Page.objects.get(slug="dogs", depth=4).specific
        page.introduction = "An editor was here."
        page.save()
        before = list(Page.objects.order_by("pk").values())
        restrictions = list(PageViewRestriction.objects.order_by("pk").values())

        report = loader.load()

        assert (report.pages, report.people, report.removed) == ([], [], 0)
        assert report.kept == len(self.report.pages) - 1  # all but the home page
        assert list(Page.objects.order_by("pk").values()) == before
        assert list(PageViewRestriction.objects.order_by("pk").values()) == restrictions
        page.refresh_from_db()
        assert page.introduction == "An editor was here."

    def test_reset_starts_afresh_and_keeps_the_site(self) -> None:
        Page.objects.get(slug="dogs", depth=4).specific.delete()
        report = loader.load(reset=True)
        assert report.removed == len(self.report.pages) - 2
        assert Site.objects.get().pk == self.site.pk
        assert self.client.get("/visit/dogs/").status_code == 200
        assert Page.find_problems() == ([], [], [], [], [])

    def test_another_site_is_left_alone(self) -> None:
        models.HomePage.objects.get().delete()
        root = Page.get_first_root_node()
        theirs = root.add_child(instance=Page(title="Theirs", slug="theirs"))
        theirs.add_child(instance=Page(title="A page", slug="a-page"))
        Site.objects.create(hostname="theirs", root_page=theirs, is_default_site=True)
        with pytest.raises(CommandError, match="a database of its own"):
            call_command("load_demo", force=True)

    def test_ten_questions(self) -> None:
        questions = read_questions()
        assert len(questions) == 10
        assert sum(not question["answerable"] for question in questions) == 2
        for question in questions:
            said = " ".join(main_text(self.seen[path].html) for path in question["pages"])
            for fact in question["facts"]:
                assert fact in said, (question["question"], fact)
            assert question["answer"]
            assert question["tags"]
            assert question["facts"] or not question["answerable"]

    def test_what_is_embedded_says_the_typed_facts(self) -> None:
        facts = {
            "prices": "Adult, £9.50.",
            "opening-times": "Friday to Sunday, open 10.30am to 3.30pm (last entry 2.45pm).",
            "merry-dancers": "18.9 metres (62 feet) long",
            "ropework": "costs £72 a person, £64 for members",
            "refunds": "Policy TH-01",
            "contact": "telephone 01632 960144",
        }
        chunks = {}
        for page in self.pages().specific():
            converter = EmbeddableFieldsDocumentConverter(type(page))
            chunks[page.slug] = converter._get_split_content(page, chunk_size=512)
            assert chunks[page.slug], page
            assert all(chunk.startswith(page.title) for chunk in chunks[page.slug])
        for slug, fact in facts.items():
            assert fact in "\n".join(chunks[slug]), slug


@pytest.mark.django_db
def test_passwords_that_everybody_knows_need_debug_or_force() -> None:
    with pytest.raises(CommandError, match="--force"):
        call_command("load_demo")
    assert not models.HomePage.objects.exists()


def test_fit_for_a_server(tmp_path) -> None:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "demo_site.settings",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'deploy.sqlite3'}",
        "DEBUG": "off",
        "SECRET_KEY": "".join(chr(33 + n % 90) for n in range(80)),
        "ALLOWED_HOSTS": "tarrowbyharbour.example",
    }
    command = [sys.executable, "manage.py", "check", "--deploy", "--tag", "security"]
    done = subprocess.run(
        [*command, "--fail-level", "WARNING"],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("One\ntwo.\n\nThree.", "<p>One two.</p><p>Three.</p>"),
        ("## Tea & cake", "<h2>Tea &amp; cake</h2>"),
        (
            "- *Tern*\n- **Pip**, who\n  is old",
            "<ul><li><i>Tern</i></li><li><b>Pip</b>, who is old",
        ),
        ("1. First\n2. Then", "<ol><li>First</li><li>Then</li></ol>"),
        ("See [prices](/visit/prices/).", '<a linktype="page" id="7">prices</a>'),
        ("<script>", "<p>&lt;script&gt;</p>"),
    ],
)
def test_rich_text(source: str, expected: str) -> None:
    assert expected in rich_text(source, {"/visit/prices/": 7})


def test_a_link_to_nowhere_is_an_error() -> None:
    with pytest.raises(UnknownPage, match="/visit/priecs/"):
        rich_text("[prices](/visit/priecs/)", {})


def test_how_the_house_writes_things() -> None:
    assert [say_time(time(h, m)) for h, m in ((10, 0), (16, 15), (12, 0), (0, 30))] == [
        "10am",
        "4.15pm",
        "noon",
        "12.30am",
    ]
    assert [say_price(Decimal(p)) for p in ("0", "24.00", "9.50", "1150")] == [
        "free",
        "£24",
        "£9.50",
        "£1,150",
    ]
    assert say_length(Decimal("18.90")) == "18.9 metres (62 feet)"
    assert say_length(Decimal("20.00")) == "20 metres (66 feet)"
