from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy
from wagtail.admin.viewsets.base import ViewSet
from wagtail.admin.viewsets.model import ModelViewSet

from finetune_switch.admin import permissions
from finetune_switch.admin.menu_items import shown_to
from finetune_switch.models import ChatBackend

from .panels import backend_edit_handler
from .views import backends
from .views.backend_actions import (
    AddBaseModelView,
    CheckView,
    ModelfileView,
    ModelsView,
    PromptsView,
)
from .views.switch import (
    ActivateView,
    BackView,
    CheckActiveView,
    ChooseSiteView,
    StateView,
    SwitchView,
)


class SwitchViewSet(ViewSet):
    name = "finetune_switch"
    url_prefix = "finetune/switch"
    menu_label = gettext_lazy("Switch")
    menu_icon = icon = "finetune-switch"
    menu_item_class = shown_to(lambda user: permissions.editable_sites(user).exists())

    def get_urlpatterns(self) -> list[URLPattern]:
        return [
            path("", ChooseSiteView.as_view(), name="index"),
            path("<int:site>/", SwitchView.as_view(), name="site"),
            path("<int:site>/activate/", ActivateView.as_view(), name="activate"),
            path("<int:site>/back/", BackView.as_view(), name="back"),
            path("<int:site>/check/", CheckActiveView.as_view(), name="check"),
            path("<int:site>/state/", StateView.as_view(), name="state"),
        ]


class ChatBackendViewSet(ModelViewSet):
    model = ChatBackend
    name = "finetune_backends"
    url_prefix = "finetune/backends"
    icon = "cogs"
    menu_label = gettext_lazy("Chat backends")
    edit_handler = backend_edit_handler
    inspect_view_enabled = True
    copy_view_enabled = True
    add_to_reference_index = False
    index_view_class = backends.BackendIndexView
    add_view_class = backends.BackendCreateView
    edit_view_class = backends.BackendEditView
    copy_view_class = backends.BackendCopyView
    delete_view_class = backends.BackendDeleteView
    inspect_view_class = backends.BackendInspectView
    search_fields = ["label", "alias", "model_name"]
    delete_template_name = "finetune_switch/switching/delete_backend.html"
    inspect_view_fields = [
        "label",
        "alias",
        "kind",
        "connection",
        "model_name",
        "base_model",
        "data_destination",
        "system_prompt",
        "context_window",
        "parameters",
        "shutdown_date",
        "checked_at",
        "unavailable_reason",
    ]

    def get_urlpatterns(self) -> list[URLPattern]:
        return [
            # The first pattern is the address in the menu.
            *super().get_urlpatterns(),
            path("models/", ModelsView.as_view(), name="models"),
            path("<int:pk>/check/", CheckView.as_view(), name="check"),
            path("<int:pk>/base/", AddBaseModelView.as_view(), name="add_base"),
            path("<int:pk>/modelfile/", ModelfileView.as_view(), name="modelfile"),
            path("<int:pk>/prompts/", PromptsView.as_view(), name="prompts"),
        ]
