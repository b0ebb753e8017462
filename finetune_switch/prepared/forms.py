"""The form and panels of a prepared answer."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.admin.forms import WagtailAdminModelForm
from wagtail.admin.panels import (
    FieldPanel,
    FieldRowPanel,
    MultiFieldPanel,
    ObjectList,
    Panel,
)
from wagtail.admin.staticfiles import versioned_static
from wagtail.admin.widgets import AdminDateInput, AdminPageChooser
from wagtail.models import Locale

from finetune_switch.access.sites import site_name
from finetune_switch.access.visibility import page_model
from finetune_switch.admin.widgets import admin_css
from finetune_switch.models import PreparedAnswer
from finetune_switch.models.exchange import MAX_QUESTION_LENGTH
from finetune_switch.models.prepared import split_lines

from .similarity import embed_before_save

MOST_LINES = 200


class PreparedAnswerForm(WagtailAdminModelForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance._state.adding and self.instance.created_by_id is None:
            self.instance.created_by = self.for_user
        if "page_id" in self.fields:
            self.fields["page_id"] = forms.ModelChoiceField(
                page_model()._default_manager.all(),
                label=self.fields["page_id"].label,
                required=False,
                widget=AdminPageChooser,
                help_text=_(
                    "The answer links to this page. Visitors who may not open it do not "
                    "get this answer."
                ),
                error_messages={
                    "invalid_choice": _("The page is no longer there. Choose another one.")
                },
            )
        if "site" in self.fields:
            self.fields["site"].label_from_instance = site_name
            self.fields["site"].empty_label = _("All sites")
        if "locale" in self.fields:
            self.fields["locale"].empty_label = None
            self.fields["locale"].initial = Locale.get_default()

    def clean_page_id(self) -> int | None:
        page = self.cleaned_data["page_id"]
        return page and page.pk

    def clean_examples(self) -> str:
        return self._clean_lines("examples")

    def clean_words(self) -> str:
        return self._clean_lines("words")

    def _clean_lines(self, name: str) -> str:
        lines = split_lines(self.cleaned_data[name])
        if len(lines) > MOST_LINES:
            raise ValidationError(
                _("There are %(count)d lines; at most %(most)d can be used.")
                % {"count": len(lines), "most": MOST_LINES}
            )
        if long := [line for line in lines if len(line) > MAX_QUESTION_LENGTH]:
            raise ValidationError(_("The line “%s…” is too long.") % long[0][:40])
        return "\n".join(lines)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors and not cleaned.get("examples") and not cleaned.get("words"):
            self.add_error(
                "examples", _("Write at least one question, or a word by which it is recognised.")
            )
        return cleaned

    def _post_clean(self) -> None:
        super()._post_clean()
        # Before the transaction of saving it, which would wait for a model server.
        if not self.errors:
            embed_before_save(self.instance)


class SimilarityPanel(Panel):
    """Shows which recorded questions would get this answer."""

    class BoundPanel(Panel.BoundPanel):
        template_name = "finetune_switch/prepared/panels/similarity.html"

        @property
        def media(self) -> forms.Media:
            return admin_css() + forms.Media(
                css={"all": [versioned_static("finetune_switch/prepared/prepared.css")]},
                js=[versioned_static("finetune_switch/prepared/finetune-similarity.js")],
            )

        def get_context_data(self, parent_context: Any = None) -> dict[str, Any]:
            context = super().get_context_data(parent_context)
            return {**context, "similarity_url": reverse("finetune_prepared:similarity")}


prepared_edit_handler = ObjectList(
    [
        FieldPanel("kind", widget=forms.RadioSelect(choices=PreparedAnswer.Kind.choices)),
        MultiFieldPanel(
            [
                FieldPanel("examples", widget=forms.Textarea(attrs={"rows": 3, "dir": "auto"})),
                FieldPanel("words", widget=forms.Textarea(attrs={"rows": 2, "dir": "auto"})),
                FieldPanel(
                    "threshold",
                    widget=forms.NumberInput(attrs={"step": "0.01", "min": "0", "max": "1"}),
                ),
                SimilarityPanel(heading=gettext_lazy("What was really asked")),
            ],
            heading=gettext_lazy("To which questions"),
        ),
        MultiFieldPanel(
            [
                FieldPanel("answer", widget=forms.Textarea(attrs={"rows": 6, "dir": "auto"})),
                FieldPanel("page_id"),
            ],
            heading=gettext_lazy("What is said"),
        ),
        MultiFieldPanel(
            [
                FieldRowPanel([FieldPanel("locale"), FieldPanel("site")]),
                FieldRowPanel(
                    [FieldPanel("review_on", widget=AdminDateInput), FieldPanel("is_on")]
                ),
            ],
            heading=gettext_lazy("Where, and until when"),
        ),
    ],
    base_form_class=PreparedAnswerForm,
)
