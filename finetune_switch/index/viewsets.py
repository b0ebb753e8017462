from __future__ import annotations

from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy
from wagtail.admin.viewsets.base import ViewSet

from finetune_switch.admin import permissions
from finetune_switch.admin.menu_items import shown_to

from .views import BuildView, IndexView, ProgressView


class IndexViewSet(ViewSet):
    name = "finetune_index"
    url_prefix = "finetune/index"
    menu_label = gettext_lazy("Index")
    menu_icon = icon = "list-ul"
    menu_item_class = shown_to(permissions.may_see_index)

    def get_urlpatterns(self) -> list[URLPattern]:
        return [
            path("", IndexView.as_view(), name="index"),
            path("progress/", ProgressView.as_view(), name="progress"),
            path("build/", BuildView.as_view(), name="build"),
        ]
