"""The plugin connects signals of indexed models only."""

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
from finetune_switch.signal_handlers import register_signal_handlers

SIGNALS = (post_save, pre_delete, post_delete)


class TestOtherModels:
    @pytest.mark.parametrize("model", [Session, ContentType])
    def test_have_no_receivers(self, model):
        assert [signal.has_listeners(model) for signal in SIGNALS] == [False] * 3

    def test_bulk_delete_takes_one_query(self, db):
        for number in range(3):
            expires = timezone.now() + timedelta(days=1)
            Session.objects.create(session_key=str(number), session_data="", expire_date=expires)
        with CaptureQueriesContext(connection) as queries:
            Session.objects.all().delete()
        assert len(queries) == 1
        assert not Session.objects.exists()

    def test_own_records_have_no_receivers(self):
        assert not post_save.has_listeners(Exchange)
        assert not pre_delete.has_listeners(PendingUpdate)


class TestIndexedModels:
    @pytest.mark.parametrize(
        "model", [Page, ArticlePage, Image, Document, Site, PageViewRestriction, Exclusion]
    )
    def test_post_save_is_connected(self, model):
        assert post_save.has_listeners(model)

    @pytest.mark.parametrize("model", [Page, Image, Document])
    def test_pre_delete_is_connected(self, model):
        assert pre_delete.has_listeners(model)


class BaseModel(models.Model):
    class Meta:
        abstract = True
        app_label = "tests"

    def __str__(self):
        return str(self.pk)


class TestShownModels:
    """Models are found from field definitions, registered as snippets or not."""

    @pytest.fixture
    def shown(self, monkeypatch):
        with isolate_apps("tests") as apps:
            monkeypatch.setattr(module, "apps", apps)

            def find(*indexed):
                return {model.__name__ for model in module.shown_models(indexed)}

            yield find

    def test_models_chosen_in_blocks(self, shown):
        class Keeper(BaseModel):
            pass

        class HeadKeeper(Keeper):
            pass

        class Stranger(BaseModel):
            pass

        class Notice(BaseModel):
            keepers = ListBlock(StructBlock([("keeper", SnippetChooserBlock(Keeper))]))
            body = StreamField([("keepers", keepers)])

        assert shown(Notice) == {"Keeper", "HeadKeeper", "Notice"}

    def test_related_models(self, shown):
        class Port(BaseModel):
            pass

        class Boat(BaseModel):
            port = models.ForeignKey(Port, models.CASCADE)

        class Crew(BaseModel):
            boats = models.ManyToManyField(Boat)

        class Log(BaseModel):
            boat = models.ForeignKey(Boat, models.CASCADE)

        assert shown(Crew) == {"Crew", "Boat"}
        assert shown(Boat) == {"Boat", "Port"}
        assert shown(Log) == {"Log", "Boat"}

    def test_related_search_fields(self, shown):
        class Port(BaseModel):
            pass

        class Boat(BaseModel, ClusterableModel, index.Indexed):
            search_fields = [
                index.RelatedFields(
                    "masts", [index.RelatedFields("port", [index.SearchField("name")])]
                )
            ]

        class Mast(BaseModel):
            boat = ParentalKey(Boat, on_delete=models.CASCADE, related_name="masts")
            port = models.ForeignKey(Port, models.CASCADE)

        class Leaflet(BaseModel):
            boat = models.ForeignKey(Boat, models.CASCADE)

        assert shown(Boat) == {"Boat", "Mast", "Port"}

    @pytest.mark.parametrize(
        ("model", "send"),
        [
            (Query, lambda: connection_created.send(type(connection), connection=connection)),
            (Redirect, lambda: request_started.send(None, environ={})),
        ],
    )
    def test_model_registered_later_by_an_adapter(self, db, monkeypatch, model, send):
        assert not pre_delete.has_listeners(model)
        monkeypatch.setattr(adapters, "_model_sources", [lambda: [model]])
        send()
        assert pre_delete.has_listeners(model)


@pytest.mark.parametrize("has_adapter", [True, False])
def test_requests_have_a_receiver_only_with_an_adapter(db, monkeypatch, has_adapter):
    monkeypatch.setattr(request_started, "receivers", [])
    monkeypatch.setattr(adapters, "_model_sources", [list] if has_adapter else [])
    register_signal_handlers()
    assert request_started.has_listeners()
    request_started.send(None, environ={})
    assert request_started.has_listeners() is has_adapter


def test_login_does_not_mark_the_user(db):
    user = User.objects.create_user("keeper")
    PendingUpdate.objects.all().delete()
    upkeep.mark_saved(user, ["last_login"])
    assert not PendingUpdate.objects.exists()
    upkeep.mark_saved(user, ["first_name"])
    assert PendingUpdate.objects.exists()


def test_inline_child_marks_its_page(site):
    PendingUpdate.objects.all().delete()
    upkeep.mark_saved(Comment(page=Page.objects.get(pk=site.root_page_id)))
    (mark,) = PendingUpdate.objects.all()
    assert (mark.model, mark.object_id) == ("demo_site.homepage", str(site.root_page_id))
