"""Which models' signals the plugin is connected to, and what the others pay for it: nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.core.signals import request_started
from django.db import connection, models
from django.db.backends.signals import connection_created
from django.db.models.signals import post_delete, post_save, pre_delete
from django.test.utils import CaptureQueriesContext, isolate_apps
from django.utils import timezone
from modelcluster.fields import ParentalKey
from modelcluster.models import ClusterableModel
from wagtail.blocks import ListBlock, StructBlock
from wagtail.contrib.redirects.models import Redirect
from wagtail.contrib.search_promotions.models import Query
from wagtail.documents.models import Document
from wagtail.fields import StreamField
from wagtail.images.models import Image
from wagtail.models import Comment, Page, PageViewRestriction, Site
from wagtail.search import index
from wagtail.snippets.blocks import SnippetChooserBlock

from demo_site.models import ArticlePage
from finetune_switch import adapters
from finetune_switch.index import shown_models as module
from finetune_switch.index import upkeep
from finetune_switch.models import Exchange, Exclusion, PendingUpdate

SIGNALS = (post_save, pre_delete, post_delete)


class TestForeignModels:
    @pytest.mark.parametrize("model", [Session, ContentType])
    def test_have_no_receivers(self, model):
        assert [signal.has_listeners(model) for signal in SIGNALS] == [False] * 3

    def test_are_deleted_in_one_query(self, db):
        for number in range(3):
            expires = timezone.now() + timedelta(days=1)
            Session.objects.create(session_key=str(number), session_data="", expire_date=expires)
        with CaptureQueriesContext(connection) as queries:
            Session.objects.all().delete()
        assert len(queries) == 1
        assert not Session.objects.exists()

    def test_nor_does_a_record_of_ours(self):
        assert not post_save.has_listeners(Exchange)
        assert not pre_delete.has_listeners(PendingUpdate)


class TestModelsOfTheIndex:
    @pytest.mark.parametrize(
        "model", [Page, ArticlePage, Image, Document, Site, PageViewRestriction, Exclusion]
    )
    def test_are_listened_to(self, model):
        assert post_save.has_listeners(model)

    @pytest.mark.parametrize("model", [Page, Image, Document])
    def test_and_before_they_are_deleted(self, model):
        assert pre_delete.has_listeners(model)


class Made(models.Model):
    """What the models that a test makes inherit."""

    class Meta:
        abstract = True
        app_label = "tests"

    def __str__(self):
        return str(self.pk)


class TestShownModels:
    """Read from the definitions of models: none of these is registered as a snippet."""

    @pytest.fixture
    def shown(self, monkeypatch):
        with isolate_apps("tests") as apps:
            monkeypatch.setattr(module, "apps", apps)

            def find(*indexed):
                return {model.__name__ for model in module.shown_models(indexed)}

            yield find

    def test_what_blocks_choose(self, shown):
        class Keeper(Made):
            pass

        class HeadKeeper(Keeper):
            pass

        class Stranger(Made):
            pass

        class Notice(Made):
            keepers = ListBlock(StructBlock([("keeper", SnippetChooserBlock(Keeper))]))
            body = StreamField([("keepers", keepers)])

        assert shown(Notice) == {"Keeper", "HeadKeeper", "Notice"}

    def test_what_relations_lead_to(self, shown):
        class Port(Made):
            pass

        class Boat(Made):
            port = models.ForeignKey(Port, models.CASCADE)

        class Crew(Made):
            boats = models.ManyToManyField(Boat)

        class Log(Made):
            boat = models.ForeignKey(Boat, models.CASCADE)

        assert shown(Crew) == {"Crew", "Boat"}
        assert shown(Boat) == {"Boat", "Port"}
        assert shown(Log) == {"Log", "Boat"}

    def test_what_search_fields_follow(self, shown):
        class Port(Made):
            pass

        class Boat(Made, ClusterableModel, index.Indexed):
            search_fields = [
                index.RelatedFields(
                    "masts", [index.RelatedFields("port", [index.SearchField("name")])]
                )
            ]

        class Mast(Made):
            boat = ParentalKey(Boat, on_delete=models.CASCADE, related_name="masts")
            port = models.ForeignKey(Port, models.CASCADE)

        class Leaflet(Made):
            boat = models.ForeignKey(Boat, models.CASCADE)

        assert shown(Boat) == {"Boat", "Mast", "Port"}

    @pytest.mark.parametrize(
        ("model", "send"),
        [
            (Query, lambda: connection_created.send(type(connection), connection=connection)),
            (Redirect, lambda: request_started.send(None, environ={})),
        ],
    )
    def test_one_that_an_adapter_names_later(self, db, monkeypatch, model, send):
        assert not pre_delete.has_listeners(model)
        monkeypatch.setattr(adapters, "_model_sources", [lambda: [model]])
        send()
        assert pre_delete.has_listeners(model)


def test_a_login_is_no_change_of_a_user_that_a_page_shows(db):
    user = User.objects.create_user("keeper")
    PendingUpdate.objects.all().delete()
    upkeep.mark_saved(user, ["last_login"])
    assert not PendingUpdate.objects.exists()
    upkeep.mark_saved(user, ["first_name"])
    assert PendingUpdate.objects.exists()


def test_a_child_marks_its_page_not_itself(site):
    PendingUpdate.objects.all().delete()
    upkeep.mark_saved(Comment(page=Page.objects.get(pk=site.root_page_id)))
    (mark,) = PendingUpdate.objects.all()
    assert (mark.model, mark.object_id) == ("demo_site.homepage", str(site.root_page_id))
