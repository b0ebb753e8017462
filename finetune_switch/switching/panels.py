"""The panels of the forms of chat backends and of the switch."""

from typing import Any

from django.urls import reverse
from django.utils.translation import gettext_lazy
from wagtail.admin.panels import FieldPanel, FieldRowPanel, MultiFieldPanel, ObjectList, Panel

from finetune_switch.admin.permissions import may_add_backends
from finetune_switch.models import ChatBackend, Switch
from finetune_switch.models.parameters import PARAMETERS

from .forms import PARAMETER_PREFIX, ChatBackendForm, SwitchForm


class ActiveBackendPanel(Panel):
    """Shows the active backend above the settings, with a link to the switch."""

    class BoundPanel(Panel.BoundPanel):
        template_name = "finetune_switch/switching/panels/active_backend.html"
        instance: Switch

        def get_context_data(self, parent_context: Any = None) -> dict[str, Any]:
            context = super().get_context_data(parent_context)
            return {
                **context,
                "switch": self.instance,
                "switch_url": reverse("finetune_switch:site", args=[self.instance.site_id]),
            }


class BaseModelPanel(Panel):
    """Offers to add the base model of a fine-tune, where the last check found it."""

    class BoundPanel(Panel.BoundPanel):
        template_name = "finetune_switch/switching/panels/base_model.html"
        instance: ChatBackend

        def is_shown(self) -> bool:
            return bool(
                self.instance.pk and self.instance.missing_base_model()
            ) and may_add_backends(self.request.user)


switch_edit_handler = ObjectList(
    [
        ActiveBackendPanel(heading=gettext_lazy("What answers")),
        MultiFieldPanel(
            [
                FieldPanel("indexes"),
                FieldPanel("passages"),
                FieldPanel("similarity_threshold"),
            ],
            heading=gettext_lazy("Where answers are looked for"),
        ),
        FieldPanel("nothing_found"),
        MultiFieldPanel(
            [FieldPanel("answers_visitors"), FieldPanel("notice")],
            heading=gettext_lazy("Visitors"),
        ),
    ],
    base_form_class=SwitchForm,
)

backend_edit_handler = ObjectList(
    [
        MultiFieldPanel(
            [
                FieldPanel("label"),
                FieldPanel("alias"),
                FieldPanel("connection"),
                FieldPanel("model_name"),
            ],
            heading=gettext_lazy("What answers"),
        ),
        BaseModelPanel(),
        MultiFieldPanel(
            [FieldPanel("system_prompt"), FieldPanel("context_window")],
            heading=gettext_lazy("What it is told"),
        ),
        MultiFieldPanel(
            [FieldPanel(PARAMETER_PREFIX + name) for name in PARAMETERS],
            heading=gettext_lazy("Parameters"),
            help_text=gettext_lazy("Leave a field empty to use what the server does by itself."),
            classname="collapsed",
        ),
        MultiFieldPanel(
            [
                FieldRowPanel(
                    [
                        FieldPanel("first_token_seconds"),
                        FieldPanel("idle_seconds"),
                        FieldPanel("total_seconds"),
                    ]
                )
            ],
            heading=gettext_lazy("How long it may take"),
            classname="collapsed",
        ),
        MultiFieldPanel(
            [
                FieldRowPanel([FieldPanel("prompt_price"), FieldPanel("completion_price")]),
                FieldPanel("hourly_price"),
            ],
            heading=gettext_lazy("What it costs"),
            help_text=gettext_lazy("Per million tokens, or per hour for a server of your own."),
            classname="collapsed",
        ),
    ],
    base_form_class=ChatBackendForm,
)
