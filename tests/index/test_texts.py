"""The full-text ranking of the tests' database."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from wagtail.models import Locale

from finetune_switch.index import texts
from finetune_switch.index.stores.base import Scope
from finetune_switch.index.texts import TextRanking, get_text_ranking, is_available
from finetune_switch.index.texts.base import CANDIDATES, rarest_first
from finetune_switch.models import Chunk, Document, EmbeddingSpace
from finetune_switch.text.words import content_words, language_name, stems, stop_words, words

pytestmark = pytest.mark.django_db

on_postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'")
on_sqlite = pytest.mark.skipif("connection.vendor != 'sqlite'")


@pytest.fixture
def space():
    return EmbeddingSpace.objects.create(model_name="a model", dimensions=2, is_active=True)


@pytest.fixture
def english():
    return Locale.objects.get_or_create(language_code="en-gb")[0]


@pytest.fixture
def german():
    return Locale.objects.get_or_create(language_code="de")[0]


@pytest.fixture
def make_chunk(space):
    def make(title, text="", *, space=space, add=True, **values):
        document = Document.objects.create(
            space=space,
            model="demo_site.articlepage",
            object_id=str(Document.objects.count()),
            title=title,
            digest="",
            **values,
        )
        chunk = Chunk.objects.create(
            document=document,
            space=space,
            position=0,
            text=text or title,
            digest="",
            vector=b"",
            version=1,
        )
        if add:
            get_text_ranking().add([chunk.pk])
        return chunk.pk

    return make


@pytest.fixture
def search(space):
    def run(question, *, limit=10, scope=Scope(), language="", space=space):  # noqa: B008
        found = get_text_ranking().search(
            question, space=space, limit=limit, scope=scope, language=language
        )
        scores = [each.score for each in found]
        assert scores == sorted(scores, reverse=True)
        assert all(score >= 0 for score in scores)
        return [each.chunk_id for each in found]

    return run


def count_rows():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM finetune_switch_text")
        return cursor.fetchone()[0]


class TestSearch:
    def test_any_content_word_matches(self, make_chunk, search):
        berth, boat = make_chunk("Berths"), make_chunk("Trips", "By boat to the island.")
        make_chunk("The", "What is how for the of a")
        assert set(search("How much is a berth for a boat in the winter?")) == {berth, boat}

    def test_order(self, make_chunk, search):
        text = make_chunk("Prices", "A berth is cheap, and the water is free.")
        title = make_chunk("A berth", "It is cheap, and the water is free.")
        both = make_chunk("A berth", "In winter it is cheap, and the water is free.")
        assert search("a berth in winter") == [both, title, text]

    def test_stems_in_the_language_of_the_document(self, make_chunk, search, english, german):
        opening = make_chunk("Openings", locale_id=english.pk)
        offer = make_chunk("Angebote", "Die Öffnungszeiten im Hafen", locale_id=german.pk)
        assert search("opening", language="en") == [opening]
        assert search("Gibt es ein Angebot?", language="de-at") == [offer]
        assert search("Öffnungszeit", language="de") == [offer]

    def test_name_in_any_language(self, make_chunk, search, german, english):
        found = {
            make_chunk("Cuxhaven", locale_id=german.pk),
            make_chunk("Cuxhaven", locale_id=english.pk),
            make_chunk("Cuxhaven"),
        }
        for language in ("en", "de", "pl", "zh-hant", "no-such-language", ""):
            assert set(search("Where is Cuxhaven?", language=language)) == found

    def test_changed_chunk(self, make_chunk, search):
        chunk = make_chunk("Mooring")
        Chunk.objects.filter(pk=chunk).update(text="Ropes")
        Document.objects.update(title="Ropes")
        get_text_ranking().add([chunk])
        assert (search("mooring"), search("ropes")) == ([], [chunk])
        assert count_rows() == 1

    def test_removed_chunk(self, make_chunk, search):
        kept, removed = make_chunk("Mooring"), make_chunk("Mooring")
        get_text_ranking().remove([removed, 12345])
        assert search("mooring") == [kept]

    def test_add_and_remove_nothing(self, make_chunk):
        get_text_ranking().add([])
        get_text_ranking().add([12345])
        get_text_ranking().remove([])
        assert count_rows() == 0

    def test_search_never_writes(self, make_chunk, search, django_assert_max_num_queries):
        make_chunk("Mooring")
        with django_assert_max_num_queries(5) as asked:
            search("mooring")
        assert all(query["sql"].split()[0] == "SELECT" for query in asked.captured_queries)


class TestScope:
    @pytest.fixture
    def crowd(self, make_chunk, english, german):
        """More and better matches out of scope than the limit."""
        for _ in range(20):
            make_chunk("Tide", site_id=2, locale_id=english.pk)
            make_chunk("Tide", site_id=1, locale_id=german.pk)
            make_chunk("Tide", site_id=1, locale_id=english.pk, is_restricted=True)

    def test_scope_is_applied_before_the_limit(self, make_chunk, search, crowd, english):
        wanted = {
            make_chunk("Water", "The tide.", site_id=1, locale_id=english.pk),
            make_chunk("Water", "The tide.", site_id=1),
            make_chunk("Water", "The tide.", locale_id=english.pk),
            make_chunk("Water", "The tide."),
        }
        scope = Scope(site_id=1, locale_ids=frozenset([english.pk]), include_restricted=False)
        assert set(search("tide", limit=5, scope=scope)) == wanted
        assert len(search("tide", limit=3, scope=scope)) == 3
        assert len(search("tide", limit=100)) == 64

    def test_scope_without_locales(self, make_chunk, search, crowd):
        wanted = make_chunk("Tide")
        assert search("tide", scope=Scope(locale_ids=frozenset())) == [wanted]

    def test_frequent_words_fill_the_limit(self, make_chunk, search, monkeypatch):
        # Words in more chunks than CANDIDATES are searched for only if necessary.
        monkeypatch.setattr("finetune_switch.index.texts.base.CANDIDATES", 3)
        rare = make_chunk("Buoy")
        frequent = {make_chunk("Tide") for _ in range(5)}
        assert search("buoy tide", limit=1) == [rare]
        assert set(search("buoy tide", limit=10)) == {rare, *frequent}

    def test_spaces_are_separate(self, make_chunk, search):
        other = EmbeddingSpace.objects.create(model_name="another", dimensions=2)
        here, there = make_chunk("Tide"), make_chunk("Tide", space=other)
        assert (search("tide"), search("tide", space=other)) == ([here], [there])

    def test_deleted_space(self, make_chunk, search, space):
        make_chunk("Tide")
        EmbeddingSpace.objects.all().delete()
        assert search("tide") == []
        get_text_ranking().tidy()
        assert count_rows() == 0


ODD = {
    "nothing": "",
    "spaces": " \t\n",
    "only stop words": "What is the of and?",
    "quotes": "\"tide\" 'tide' `tide` ''tide\\'",
    "unbalanced": '(tide" OR ((',
    "operators": "tide NEAR(tide, 2) AND NOT tide* OR -tide ^tide : tide",
    "column": "title:tide {title text} : tide",
    "tsquery": "tide & !tide | <-> tide <2> tide:*A",
    "NUL": "tide\0tide \0",
    "percent": "100% tide %s %(x)s {0} {}",
    "semicolon": "tide; DROP TABLE finetune_switch_text; --",
    "emoji": "🚤 tide 🇩🇪 👩‍👩‍👧",
    "Arabic": "متى يفتح الميناء؟ tide",
    "Hebrew": "מתי הנמל נפתח? tide",
    "Chinese": "港口什么时候开放? tide",
    "Hindi": "बंदरगाह कब खुलता है? tide",
    "lone surrogates left out": "tide \ufffd \u202e\u200b",
    "markup": "<b>tide</b> <a href='x & y'>&amp;</a>",
    "address": "https://harbour.example/tide?a=1&b=2 tide@harbour.example tide",
}


class TestUnusualQuestions:
    @pytest.mark.parametrize("question", ODD.values(), ids=ODD)
    @pytest.mark.parametrize("language", ["en", "ar", "zh-hans", ""])
    def test_unusual_questions(self, make_chunk, search, question, language):
        chunk = make_chunk("Tide")
        assert search(question, language=language) == ([chunk] if "tide" in question else [])

    @pytest.mark.parametrize("long", ["tide " * 4000, "a" * 20_000, "tide,low;" * 2500])
    def test_long_question(self, make_chunk, search, long):
        make_chunk("Tide")
        search(long)
        search(" ".join(f"{n}word" for n in range(4000)))

    @pytest.mark.parametrize("script", ["الميناء", "हिन्दी", "גשר", "港口", "Ελλάδα", "ørsted"])
    def test_other_scripts(self, make_chunk, search, script):
        chunk = make_chunk(f"x {script} y")
        assert search(f"? {script}!") == [chunk]

    def test_time(self, make_chunk, search):
        chunk = make_chunk("Ferry", "It leaves at 9.30 sharp.")
        assert search("the 9.30 ferry?") == [chunk]
        assert search("9.30") == [chunk]

    def test_long_text_and_title(self, make_chunk, search):
        chunk = make_chunk("Tide " * 1000, " ".join(f"word{n}" for n in range(200_000)))
        assert search("tide") == [chunk]


class TestWords:
    def test_content_words(self):
        asked = "open work price boat help opening cost ticket find hours"
        assert content_words(asked, "english") == asked.split()

    def test_stop_words(self):
        assert content_words("What's the price? I don't know!", "english") == ["price", "know"]
        assert content_words("Was kostet die Fahrt?", "german") == ["kostet", "fahrt"]
        assert content_words("Le prix de l'eau est de", "french") == ["prix", "eau"]
        assert stop_words("finnish") == stop_words("") == frozenset()

    def test_at_most_32_words(self):
        assert len(content_words(" ".join(f"{n}x" for n in range(100)), "english")) == 32

    def test_languages(self, settings):
        settings.LANGUAGE_CODE = "fr-ca"
        codes = ["en", "EN-GB", "zh_Hant", "nb", "xx", "", "-"]
        assert [language_name(code) for code in codes] == [
            *("english", "english", "chinese", "norwegian", "", "french", "")
        ]

    def test_words_and_stems(self):
        assert words("Café_au-lait, 2x!") == ["café", "au", "lait", "2x"]
        assert list(stems(["openings", "boats"], "english")) == ["open", "boat"]
        assert list(stems(["openings"], "chinese")) == ["openings"]

    def test_the_rarest_first(self):
        assert list(rarest_first({"a": 5, "b": 0, "c": 2})) == [["c", "a"]]
        assert list(rarest_first({"a": CANDIDATES, "b": 1, "c": 2})) == [
            ["b", "c"],
            ["b", "c", "a"],
        ]
        assert list(rarest_first({"a": CANDIDATES + 1})) == [["a"]]
        assert list(rarest_first({"a": 0})) == []


class TestTables:
    def test_rollback(self, make_chunk, search):
        with transaction.atomic():
            make_chunk("Tide")
            transaction.set_rollback(True)
        assert (search("tide"), count_rows()) == ([], 0)

    @on_sqlite
    def test_obsolete_row_is_not_found(self, make_chunk, search):
        make_chunk("Tide")
        Chunk.objects.all().delete()
        assert (count_rows(), search("tide")) == (1, [])
        get_text_ranking().tidy()
        assert count_rows() == 0

    @on_postgresql
    def test_deleted_chunk_deletes_its_row(self, make_chunk):
        make_chunk("Tide")
        kept = make_chunk("Tide")
        Chunk.objects.exclude(pk=kept).delete()
        assert count_rows() == 1

    @pytest.mark.django_db(transaction=True)
    def test_flush(self, make_chunk, search, space):
        make_chunk("Tide")
        call_command("flush", interactive=False, verbosity=0)
        space.save(force_insert=True)
        assert search("tide") == []
        chunk = make_chunk("Tide")
        assert search("tide") == [chunk]

    @pytest.mark.django_db(transaction=True)
    def test_migrating_back_and_forth(self, make_chunk, search):
        try:
            call_command("migrate", "finetune_switch", "0001", verbosity=0)
            assert "finetune_switch_text" not in connection.introspection.table_names()
            Chunk.objects.all().delete()
        finally:
            call_command("migrate", "finetune_switch", verbosity=0)
        chunk = make_chunk("Tide")
        assert search("tide") == [chunk]

    @on_postgresql
    def test_plan_uses_the_index(self, make_chunk, space):
        document = Document.objects.get(chunks=make_chunk("Tide", "A buoy"))
        chunks = Chunk.objects.bulk_create(
            Chunk(
                document=document,
                space=space,
                position=n,
                text=" ".join(f"word{n * k}" for k in range(100)),
                digest="",
                vector=b"",
                version=1,
            )
            for n in range(3000)
        )
        get_text_ranking().add([chunk.pk for chunk in chunks])
        scope = Scope(site_id=1, locale_ids=frozenset([1]), include_restricted=False)
        sql, parameters = get_text_ranking().statement(["buoy", "word77"], space.pk, 5, scope)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE finetune_switch_text")
            cursor.execute(f"EXPLAIN {sql}", parameters)
            plan = "\n".join(line for (line,) in cursor.fetchall())
        assert "Bitmap Index Scan on finetune_switch_text_words" in plan


class TestUnavailable:
    @pytest.fixture
    def elsewhere(self, monkeypatch):
        """Another database than PostgreSQL and SQLite."""
        other = SimpleNamespace(vendor="oracle")
        monkeypatch.setattr(texts, "connections", {"default": other})

    def test_other_database(self, elsewhere):
        assert not is_available()
        ranking = get_text_ranking()
        assert type(ranking) is TextRanking
        ranking.add([1])
        ranking.remove([1])
        ranking.tidy()
        assert ranking.search("tide", space=EmbeddingSpace(), limit=5, scope=Scope()) == []

    @on_sqlite
    def test_sqlite_without_fts5(self, monkeypatch):
        migration = import_module("finetune_switch.migrations.0002_text")
        monkeypatch.setattr(migration, "has_fts5", lambda connection: False)
        monkeypatch.setattr("finetune_switch.index.texts.sqlite._with_table", set())
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE finetune_switch_text")
        editor = SimpleNamespace(connection=connection)
        migration.make(None, editor)
        assert type(get_text_ranking()) is TextRanking
        migration.drop(None, editor)

    def test_test_database(self):
        assert is_available()
