from typing import Any

from django.urls import URLPattern, path, re_path
from django.utils.translation import gettext_lazy
from wagtail.admin.viewsets.model import ModelViewSet

from finetune_switch.models import PreparedAnswer

from . import views as prepared
from .forms import prepared_edit_handler


class PreparedAnswerViewSet(ModelViewSet):
    model = PreparedAnswer
    name = "finetune_prepared"
    url_prefix = "finetune/prepared"
    icon = "edit"
    menu_label = gettext_lazy("Prepared answers")
    edit_handler = prepared_edit_handler
    copy_view_enabled = False
    add_to_reference_index = False
    index_view_class = prepared.PreparedIndexView
    add_view_class = prepared.PreparedCreateView
    edit_view_class = prepared.PreparedEditView
    search_fields = ["examples", "words", "answer"]

    def get_common_view_kwargs(self, **kwargs: Any) -> dict[str, Any]:
        revisions = {
            f"revisions_{name}_url_name": self.get_url_name(f"revisions_{name}")
            for name in ("revert", "compare")
        }
        return super().get_common_view_kwargs(**revisions, **kwargs)

    def get_urlpatterns(self) -> list[URLPattern]:
        revert = self.construct_view(prepared.PreparedRevertView, **self.get_edit_view_kwargs())
        compare = self.construct_view(
            prepared.PreparedCompareView,
            edit_handler=prepared_edit_handler.bind_to_model(self.model),
        )
        return [
            # The first pattern is the address in the menu.
            *super().get_urlpatterns(),
            path("similarity/", prepared.SimilarityView.as_view(), name="similarity"),
            path(
                "history/<int:pk>/revisions/<int:revision_id>/revert/",
                revert,
                name="revisions_revert",
            ),
            re_path(
                r"history/(?P<pk>\d+)/revisions/compare/(?P<revision_id_a>live|earliest|\d+)"
                r"\.\.\.(?P<revision_id_b>live|latest|\d+)/$",
                compare,
                name="revisions_compare",
            ),
        ]
