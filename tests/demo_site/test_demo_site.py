import json
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from datetime import time
from decimal import Decimal
from html import unescape
from io import StringIO
from typing import NamedTuple, Self

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client, TestCase
from wagtail.models import Page, PageViewRestriction, Site
from wagtail_vector_index.storage.models import EmbeddableFieldsDocumentConverter

from demo_site import loader, models, standin_address
from demo_site.content import read_questions, read_visitors
from demo_site.management.commands import run_demo
from demo_site.markup import UnknownPage, rich_text
from demo_site.standin import StandIn
from demo_site.wording import say_length, say_price, say_time
from finetune_switch.models import ChatBackend, Exchange, Switch
from tests.databases import remove_site, the_site

pytestmark = pytest.mark.django_db

HANDBOOK = "/handbook/opening-up/"
TRUSTEES = "/about/trustees-papers/"
PRESS = "/about/press-room/"
# From the handbook, the trustees' papers, the press room, a draft and an unpublished change.
SECRETS = [
    *("4471", "184,000", "17 June 2028", "12.50", "Tarrow Belle", "noon to 2pm"),
    *("meeting of 28 November", "keep to the embargo"),  # introductions, shown in lists
]

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
INLINE = [
    re.compile(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)", re.I),
    re.compile(r"<style\b", re.I),
    re.compile(r"<[^>]+\sstyle\s*=", re.I),
    re.compile(r"<[^>]+\son[a-z]+\s*=", re.I),
]


class Response(NamedTuple):
    """The tested parts of a response. Small, since class data is copied for each test."""

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
        remove_site()
        cls.report = loader.load()
        cls.site = Site.objects.get(is_default_site=True)
        cls.restricted = {
            page.pk
            for restriction in PageViewRestriction.objects.all()
            for page in restriction.page.get_descendants(inclusive=True)
        }
        # Requested once for all tests, as an anonymous visitor.
        client = Client()
        cls.responses = {
            page.get_url(): Response.get(client, page.get_url()) for page in cls.public()
        }

    @classmethod
    def pages(cls):
        return cls.site.root_page.get_descendants(inclusive=True)

    @classmethod
    def public(cls):
        return [page for page in cls.pages().live() if page.pk not in cls.restricted]

    def test_number_of_pages(self) -> None:
        assert len(self.responses) >= 60
        assert self.pages().filter(live=False).count() >= 4
        kinds = {page.specific_class for page in self.pages()}
        assert kinds == set(loader.KINDS.values())

    def test_public_pages_have_no_inline_scripts_or_styles(self) -> None:
        for url, response in self.responses.items():
            assert response.status == 200, url
            assert response.policy.startswith("default-src 'self'")
            for pattern in INLINE:
                assert not pattern.search(response.html), (url, pattern.pattern)

    def test_public_pages_contain_no_secrets(self) -> None:
        for url, response in self.responses.items():
            # Random block ids may contain any four digits.
            html = UUID.sub("", response.html)
            for secret in SECRETS:
                assert secret not in html, (url, secret)

    def test_links(self) -> None:
        targets = set()
        for response in self.responses.values():
            targets |= set(re.findall(r'href="(/[^"#?]*)', response.html))
        for target in sorted(targets - set(self.responses)):
            if not target.startswith(("/static/", "/ask/")):
                assert self.client.get(target).status_code in (200, 302), target

    def test_drafts_are_not_found(self) -> None:
        for page in self.pages().filter(live=False):
            assert self.client.get(page.get_url()).status_code == 404, page

    def test_handbook_requires_login(self) -> None:
        for page in self.pages().filter(slug="handbook").get().get_descendants(inclusive=True):
            response = self.client.get(page.get_url())
            assert response.status_code == 302, page
            assert "/_util/login/" in response.url
        response = self.client.get(HANDBOOK, follow=True)
        assert "Log in" in text_of(response)
        assert "4471" not in text_of(response)

        assert self.client.login(username="member", password="demo")
        assert "4471" in text_of(self.client.get(HANDBOOK))

    def test_trustees_papers_require_group(self) -> None:
        self.client.login(username="member", password="demo")
        assert self.client.get(TRUSTEES).status_code == 302
        assert "Trustees’ papers" not in text_of(self.client.get("/about/"))
        self.client.login(username="trustee", password="demo")
        assert "184,000" in text_of(self.client.get(TRUSTEES))
        assert "Trustees’ papers" in text_of(self.client.get("/about/"))

    def test_press_room_requires_password(self) -> None:
        response = self.client.get(PRESS)
        assert "17 June 2028" not in text_of(response)
        action = re.search(r'method="post" action="([^"]+)"', response.content.decode())[1]
        opened = self.client.post(
            action, {"password": "ginger-beer", "return_url": PRESS}, follow=True
        )
        assert "17 June 2028" in text_of(opened)

    def test_admin_access(self) -> None:
        self.client.login(username="member", password="demo")
        assert self.client.get("/admin/").status_code == 302
        self.client.login(username="editor", password="demo")
        assert self.client.get("/admin/").status_code == 200

    def test_search(self) -> None:
        response = self.client.get("/search/", {"q": "lifeboat coxswain"})
        assert "The night they rowed backwards" in text_of(response)
        assert "0 pages" in text_of(self.client.get("/search/", {"q": "4471"}))
        assert self.client.get("/search/").status_code == 200

    def test_load_is_idempotent(self) -> None:
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

    def test_reset_keeps_the_site(self) -> None:
        Page.objects.get(slug="dogs", depth=4).specific.delete()
        report = loader.load(reset=True)
        assert report.removed == len(self.report.pages) - 2
        assert Site.objects.get().pk == self.site.pk
        assert self.client.get("/visit/dogs/").status_code == 200
        assert Page.find_problems() == ([], [], [], [], [])

    def test_site_with_other_content(self) -> None:
        models.HomePage.objects.get().delete()
        root = Page.get_first_root_node()
        theirs = root.add_child(instance=Page(title="Theirs", slug="theirs"))
        theirs.add_child(instance=Page(title="A page", slug="a-page"))
        Site.objects.create(hostname="theirs", root_page=theirs, is_default_site=True)
        with pytest.raises(CommandError, match="its own database"):
            call_command("load_demo", force=True)

    def test_ten_questions(self) -> None:
        questions = read_questions()
        assert len(questions) == 10
        assert sum(not question["answerable"] for question in questions) == 2
        for question in questions:
            pages = " ".join(main_text(self.responses[path].html) for path in question["pages"])
            for fact in question["facts"]:
                assert fact in pages, (question["question"], fact)
            assert question["answer"]
            assert question["tags"]
            if question["answerable"]:
                assert question["facts"]

    def test_typed_fields_are_embedded(self) -> None:
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

    def test_load_updates_the_port(self) -> None:
        with self.settings(WAGTAILADMIN_BASE_URL="http://localhost:8123"):
            loader.load()
        self.site.refresh_from_db()
        assert (self.site.hostname, self.site.port) == ("localhost", 8123)
        self.site.hostname = "harbour.example"
        self.site.save()
        loader.load()
        self.site.refresh_from_db()
        assert self.site.port == 8123


def test_run_demo_sets_the_base_url(settings, monkeypatch) -> None:
    # Registers the variable, so that it is removed after the test.
    monkeypatch.setenv("WAGTAILADMIN_BASE_URL", "")
    monkeypatch.delenv("WAGTAILADMIN_BASE_URL")
    monkeypatch.setattr(run_demo.Command, "_set_up", lambda self: None)
    call_command("run_demo", port=8123, setup_only=True)
    assert settings.WAGTAILADMIN_BASE_URL == "http://localhost:8123"
    assert os.environ["WAGTAILADMIN_BASE_URL"] == "http://localhost:8123"


@pytest.mark.django_db
class TestDemoBackends:
    @pytest.fixture(autouse=True)
    def site(self, settings):
        settings.OLLAMA_API_BASE = ""
        return the_site()

    @contextmanager
    def ollama(self, settings, *names):
        """A server with these models and without the stand-ins."""
        server = StandIn("ollama", list_test_model=False)
        for model in server.listed("ollama"):
            server.remove_model(model.name)
        for name in names:
            server.add_model(name)
        server.start()
        settings.OLLAMA_API_BASE = server.url
        settings.FINETUNE_SWITCH = {
            **settings.FINETUNE_SWITCH,
            "CONNECTIONS": {
                **settings.FINETUNE_SWITCH["CONNECTIONS"],
                "ollama": {"PROVIDER": "ollama_chat", "API_BASE": server.url},
            },
        }
        try:
            yield
        finally:
            server.stop()

    def test_load_visitors_is_idempotent(self, site):
        loader.load()
        for _times in range(2):
            call_command("load_visitors", stdout=StringIO())
        asked = Exchange.objects.of_visitors()
        assert asked.count() == len(read_visitors())
        assert {row.site for row in asked} == {site}
        assert asked.exclude(feedback=None).count() == 3
        follow_up = asked.exclude(standalone_question="").get()
        assert asked.filter(conversation=follow_up.conversation).count() == 2

    def rows(self) -> dict:
        return {row.alias: row for row in ChatBackend.objects.filter(connection="ollama")}

    def test_real_ollama_replaces_the_stand_ins(self, settings, site):
        call_command("load_backends", stdout=StringIO())
        before = self.rows()
        assert set(before) == {"fine-tune", "base", "deaf"}
        Switch.objects.create(site=site).activate(before["fine-tune"], expected=None)

        with self.ollama(settings, "ours:8b", "other:3b"):
            call_command("load_backends", stdout=StringIO())
        during = self.rows()
        assert len(during) == 2
        assert {row.model_name for row in during.values()} == {"ours:8b", "other:3b"}
        assert "stand-in" not in during["fine-tune"].label
        during["fine-tune"].check_passed = True
        during["fine-tune"].save()

        settings.OLLAMA_API_BASE = ""
        call_command("load_backends", stdout=StringIO())
        after = self.rows()
        for alias, row in before.items():
            assert (after[alias].model_name, after[alias].label, after[alias].hourly_price) == (
                row.model_name,
                row.label,
                row.hourly_price,
            )
        assert after["fine-tune"].pk == before["fine-tune"].pk
        assert after["fine-tune"].check_passed is None

    @pytest.mark.parametrize("debug", [True, False])
    def test_user_with_known_password_only_in_debug(self, settings, debug):
        settings.DEBUG = debug
        said = StringIO()
        call_command("load_backends", stdout=said)
        assert ("Log in as lead, password demo" in said.getvalue()) is debug
        assert get_user_model().objects.filter(username="lead").exists() is debug


class TestStandInAddress:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, monkeypatch):
        monkeypatch.setattr(standin_address, "FOLDER", tmp_path)
        return tmp_path

    def write(self, port, pid, started):
        file = standin_address.port_file(port)
        file.write_text(json.dumps({"url": f"http://127.0.0.1:{port}", "pid": pid}))
        os.utime(file, (started, started))
        return file

    def test_latest(self):
        first, second = (self.write(port, os.getpid(), port) for port in (8000, 8001))
        assert first != second
        assert standin_address.address() == "http://127.0.0.1:8001"
        second.unlink()
        assert standin_address.openai_address() == "http://127.0.0.1:8000/v1"

    def test_killed_process_is_ignored(self, folder):
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        self.write(8000, os.getpid(), 1)
        self.write(8001, gone.pid, 2)
        (folder / "standin-8002.json").write_text("")
        assert standin_address.address() == "http://127.0.0.1:8000"

    def test_none(self):
        with pytest.raises(FileNotFoundError, match="start the demo"):
            standin_address.address()


@pytest.mark.django_db
def test_load_demo_requires_debug_or_force() -> None:
    remove_site()
    with pytest.raises(CommandError, match="--force"):
        call_command("load_demo")
    assert not models.HomePage.objects.exists()


def read_settings(module: str, **variables: str) -> dict:
    """The settings in a process with these environment variables."""
    code = (
        f"import json, {module} as s\n"
        "print(json.dumps([s.FINETUNE_SWITCH['SEED_BACKEND'], s.CACHES, s.DEBUG, s.DATABASE_URL,"
        " s.FINETUNE_SWITCH['CONNECTIONS']], default=repr))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=settings.BASE_DIR,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    names = ("seed", "caches", "debug", "database", "connections")
    return dict(zip(names, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize(
    ("key", "model"), [("", "standin-hosted"), ("sk-of-a-developer", "gpt-6-luna")]
)
def test_env_example(tmp_path, key, model) -> None:
    copied = (settings.BASE_DIR / ".env.example").read_text()
    env_file = tmp_path / ".env"
    env_file.write_text(copied.replace("OPENAI_API_KEY=\n", f"OPENAI_API_KEY={key}\n"))
    read = read_settings("demo_site.settings", ENV_FILE=str(env_file), DATABASE_URL="")
    assert read["seed"]["MODEL_NAME"] == model
    assert read["connections"]["openai"]["API_KEY"] == (key or "stand-in")
    assert read["connections"]["ollama"]["LABEL"] == "Stand-in for Ollama"
    assert "LocMemCache" in str(read["caches"])
    assert read["database"].startswith("sqlite:")


def test_test_settings_ignore_the_environment(tmp_path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("REDIS_URL=redis://localhost:6379/0\nMODEL_NAME=mine\n")
    database = f"sqlite:///{tmp_path / 'chosen.sqlite3'}"
    read = read_settings(
        "tests.settings",
        ENV_FILE=str(env_file),
        DATABASE_URL=database,
        OLLAMA_API_BASE="http://localhost:11434",
        OPENAI_API_KEY="sk-of-a-developer",
        DEBUG="0",
    )
    assert read["seed"]["MODEL_NAME"] == "standin-hosted"
    assert "LocMemCache" in str(read["caches"])
    assert "sk-of-a-developer" not in str(read["connections"])
    assert read["connections"]["ollama"]["LABEL"] == "Stand-in for Ollama"
    assert (read["debug"], read["database"]) == (True, database)


def test_deployment_checks(tmp_path) -> None:
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


def test_unknown_page() -> None:
    with pytest.raises(UnknownPage, match="/visit/priecs/"):
        rich_text("[prices](/visit/priecs/)", {})


def test_wording() -> None:
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
