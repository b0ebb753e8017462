"""Addresses of sources: of the question's site, in one of its languages, and never fatal."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client, RequestFactory
from django.utils import translation
from wagtail import hooks
from wagtail.models import Locale, Page, Site

from demo_site.models import ArticlePage, VisitorInformation
from finetune_switch.access import Asker
from finetune_switch.access.sites import site_language
from finetune_switch.answers import AskedQuestion, answer
from finetune_switch.models import Switch
from finetune_switch.search import retrieve, search
from tests.helpers import manage
from tests.index_helpers import ANYTHING, build

pytestmark = pytest.mark.django_db

LAMP = "The lighthouse lamp was first lit in 1871 by Ada Pender, the keeper's daughter."
QUESTION = "Who lit the lamp of the lighthouse?"


def retrieved(**options: Any) -> list[Any]:
    options = {"asker": Asker.anonymous(), "threshold": ANYTHING, "limit": 50, **options}
    return retrieve(QUESTION, indexes=["pages"], **options)


def addresses(**options: Any) -> dict[str, str]:
    return {passage.source.title: passage.source.url for passage in retrieved(**options)}


@pytest.fixture
def lamp(make_page: Any) -> Any:
    page = make_page("Lamp", LAMP)
    make_page("Café", "The lighthouse café serves soup.")
    return page


@pytest.fixture
def second(site: Site, settings: Any) -> Site:
    """Another site with the same root page."""
    settings.ALLOWED_HOSTS = ["*"]
    Site.objects.filter(pk=site.pk).update(hostname="first.example", port=80)
    return Site.objects.create(hostname="second.example", port=80, root_page=site.root_page)


def broken(*arguments: Any, **options: Any) -> Any:
    raise RuntimeError("no tide table")


class TestTwoSitesWithOneRootPage:
    def test_without_a_request(self, lamp: Any, site: Site, second: Site) -> None:
        build()
        site.refresh_from_db()
        assert addresses(site=site)["Lamp"] == "http://first.example/lamp/"
        assert addresses(site=second)["Lamp"] == "http://second.example/lamp/"

    @pytest.mark.parametrize("host", ["first.example", "second.example"])
    def test_visitors_stay_on_their_site(
        self, lamp: Any, site: Site, second: Site, client: Client, host: str
    ) -> None:
        build()
        for row in (site, second):
            Switch.objects.create(site=row, similarity_threshold=-1.0, answers_visitors=True)
        found = client.get("/answers/results/", {"q": QUESTION}, headers={"host": host}).json()
        assert "/lamp/" in [result["url"] for result in found["results"]]

    def test_request_of_another_site(self, lamp: Any, site: Site, second: Site) -> None:
        """Editors on one site ask for another."""
        build()
        request = RequestFactory(SERVER_NAME="first.example").get("/")
        assert addresses(site=second, request=request)["Lamp"] == "http://second.example/lamp/"
        Switch.objects.create(site=second, similarity_threshold=-1.0)
        sources, *_others = answer(QUESTION, site=second, request=request, indexes=["pages"])
        assert "http://second.example/lamp/" in [p.source.url for p in sources.passages]

    def test_page_of_a_prepared_answer(self, lamp: Any, site: Site, second: Site) -> None:
        from finetune_switch.models import PreparedAnswer
        from finetune_switch.prepared.matching import find_prepared

        PreparedAnswer.objects.create(
            words="lamp", answer="Ada.", page_id=lamp.pk, locale=Locale.get_default()
        )
        reply = find_prepared("lamp", asker=Asker.anonymous(), site=second, locale="en")
        assert reply is not None
        assert reply.passages[0].source.url == "http://second.example/lamp/"

    def test_host_that_is_not_allowed(self, lamp: Any, second: Site, settings: Any) -> None:
        settings.ALLOWED_HOSTS = ["first.example"]
        build()
        assert addresses(site=second)["Lamp"].endswith("/lamp/")


class TestErrorsOfOneObject:
    def test_address_that_needs_a_request(
        self, lamp: Any, site: Site, monkeypatch: Any, caplog: Any
    ) -> None:
        def parts(self: Any, request: Any = None) -> Any:
            return super(ArticlePage, self).get_url_parts(request) if request.path else None

        monkeypatch.setattr(ArticlePage, "get_url_parts", parts)
        build()
        assert addresses(site=site)["Lamp"] == "/lamp/"
        assert addresses()["Lamp"] == "/lamp/"

    @pytest.mark.parametrize("name", ["get_url", "get_url_parts"])
    def test_address_that_fails(
        self, lamp: Any, site: Site, monkeypatch: Any, caplog: Any, name: str
    ) -> None:
        def one_fails(self: Any, *arguments: Any, **options: Any) -> Any:
            if self.title == "Lamp":
                raise RuntimeError("no tide table")
            return getattr(super(ArticlePage, self), name)(*arguments, **options)

        monkeypatch.setattr(ArticlePage, name, one_fails)
        build()
        for _time in range(2):
            found = addresses(site=site)
            assert (found["Lamp"], found["Café"]) == ("", "/caf%C3%A9/")
        assert [r.source.title for r in search(QUESTION, site=site, indexes=["pages"])]
        told = [r.getMessage() for r in caplog.records if "no address" in r.getMessage()]
        assert len(told) == 1
        assert f"demo_site.ArticlePage {lamp.pk}" in told[0]

    def test_page_without_its_row(self, lamp: Any, site: Site, monkeypatch: Any) -> None:
        monkeypatch.setattr(ArticlePage, "get_url", lambda self, *a, **k: Page.get_url(self, *a))
        build()
        with connection.cursor() as cursor:
            table = ArticlePage._meta.db_table
            cursor.execute(f"DELETE FROM {table} WHERE page_ptr_id = %s", [lamp.pk])
        assert "Café" in addresses(site=site)
        assert "Lamp" not in addresses(site=site)

    @pytest.mark.parametrize("method", ["get_absolute_url", "__str__"])
    def test_other_objects(
        self, lamp: Any, site: Site, settings: Any, monkeypatch: Any, caplog: Any, method: str
    ) -> None:
        settings.FINETUNE_SWITCH = {
            **settings.FINETUNE_SWITCH, "INDEX": {"MODELS": ["demo_site.VisitorInformation"]}
        }  # fmt: skip
        VisitorInformation.objects.create(site=site, address="The lighthouse, Craster")
        build()
        monkeypatch.setattr(VisitorInformation, method, broken, raising=False)
        found = [(p.source.model, p.source.url) for p in retrieved(asker=Asker(is_superuser=True))]
        assert ("demo_site.articlepage", "/lamp/") in found
        known = ("demo_site.visitorinformation", "") in found
        assert known == (method == "get_absolute_url")
        assert "VisitorInformation" in caplog.text
        # The index can be built again.
        assert build().failed == 0

    def test_visibility_hook_that_fails(
        self, lamp: Any, site: Site, settings: Any, caplog: Any
    ) -> None:
        settings.FINETUNE_SWITCH = {
            **settings.FINETUNE_SWITCH, "INDEX": {"MODELS": ["demo_site.VisitorInformation"]}
        }  # fmt: skip
        VisitorInformation.objects.create(site=site, address="The lighthouse, Craster")
        with hooks.register_temporarily("finetune_switch_may_see", broken):
            build()
            titles = [p.source.model for p in retrieved(asker=Asker(is_superuser=True))]
        assert "demo_site.articlepage" in titles
        assert "demo_site.visitorinformation" not in titles

    def test_invalid_key(self, lamp: Any, site: Site) -> None:
        from finetune_switch.access.source_access import SourceAccess
        from finetune_switch.passages import Source

        sources = [
            Source("x", "", "demo_site.visitorinformation", "none"),
            Source("x", "", "demo_site.articlepage", "none"),
            Source("x", "", "demo_site.articlepage", str(lamp.pk)),
        ]
        access = SourceAccess(Asker(is_superuser=True))
        access.look_up(sources, site)
        assert [access.get(source, site) is not None for source in sources] == [False, False, True]

    def test_database_errors_are_raised(self, lamp: Any, site: Site, monkeypatch: Any) -> None:
        def gone(*arguments: Any, **options: Any) -> Any:
            raise OperationalError("server closed the connection")

        monkeypatch.setattr(ArticlePage, "get_url", gone)
        build()
        with pytest.raises(OperationalError):
            addresses(site=site)

    def test_doctor_counts_them(self, lamp: Any, monkeypatch: Any) -> None:
        build()
        assert "with errors" not in manage("doctor").out
        monkeypatch.setattr(ArticlePage, "get_url", broken)
        out = manage("doctor").out
        assert "2 indexed objects with errors" in out
        assert f"demo_site.ArticlePage {lamp.pk}" in out


class TestLanguages:
    @pytest.fixture(autouse=True)
    def _two_languages(self, settings: Any) -> None:
        settings.LANGUAGES = [("en", "English"), ("fr", "French")]
        settings.WAGTAIL_CONTENT_LANGUAGES = settings.LANGUAGES

    @pytest.mark.parametrize(
        ("asked", "language"),
        [
            ("en-GB", "en"),
            ("en_gb", "en"),
            ("fr-ca", "fr"),
            ("FR", "fr"),
            ("xx", "en"),
            ("../etc", "en"),
            ("", "en"),
            (None, "en"),
        ],
    )
    def test_language_of_the_site(self, settings: Any, asked: Any, language: str) -> None:
        settings.LANGUAGE_CODE = "en"
        assert site_language(asked) == language

    @pytest.mark.parametrize("codes", [["en-gb", "fr"], ["en-us", "en-gb"], ["zh-hans", "pt-br"]])
    def test_variants(self, settings: Any, codes: list[str]) -> None:
        settings.LANGUAGES = [(code, code) for code in codes]
        for code in codes:
            assert site_language(code) == code
            assert site_language(code.upper()) == code
        assert site_language(codes[0].split("-")[0]) == codes[0]

    @pytest.mark.urls("tests.prefixed_urls")
    def test_links_under_the_prefix_of_a_known_language(
        self, lamp: Any, site: Site, settings: Any
    ) -> None:
        build()
        settings.LANGUAGE_CODE = "en"
        expected = "/en/lamp/"
        assert addresses(locale="en-GB", site=site)["Lamp"] == expected
        with translation.override("en-gb"):
            assert addresses(locale="en-GB", site=site)["Lamp"] == expected
        asked = AskedQuestion(QUESTION, locale="en-GB")
        with asked.in_its_language():
            assert translation.get_language() == asked.locale == "en"
