"""The form that opens a comparison."""

from typing import Any

from django import forms
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.coreutils import get_content_languages
from wagtail.models import Locale, Site

from finetune_switch import adapters
from finetune_switch.access.sites import site_name
from finetune_switch.admin.permissions import groups_to_ask_as
from finetune_switch.models import ChatBackend, Question
from finetune_switch.models.exchange import MAX_QUESTION_LENGTH

from .comparing import FEWEST, MOST


class CompareForm(forms.Form):
    question = forms.CharField(
        label=gettext_lazy("Ask what a visitor would ask"),
        max_length=MAX_QUESTION_LENGTH,
        widget=forms.Textarea(attrs={"rows": 2}),
        error_messages={"required": gettext_lazy("Write a question first.")},
    )
    backends = forms.ModelMultipleChoiceField(
        label=gettext_lazy("Models"),
        queryset=ChatBackend.objects.none(),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": gettext_lazy("Choose two to four models to compare.")},
    )
    is_blind = forms.BooleanField(label=gettext_lazy("Judge blind"), required=False, initial=True)
    as_group = forms.ModelChoiceField(
        label=gettext_lazy("Ask as"),
        queryset=Group.objects.none(),
        required=False,
        empty_label=gettext_lazy("a visitor"),
    )
    site = forms.ModelChoiceField(
        label=gettext_lazy("Site"), queryset=Site.objects.all(), required=False, empty_label=None
    )
    locale = forms.ChoiceField(
        label=gettext_lazy("Language of the question"),
        required=False,
        help_text=gettext_lazy("The pages in this language are searched."),
    )
    retrieval = forms.BooleanField(
        label=gettext_lazy("Give the models passages from your pages"), required=False, initial=True
    )
    limit = forms.IntegerField(
        label=gettext_lazy("Passages"),
        min_value=1,
        max_value=20,
        required=False,
        help_text=gettext_lazy("At most 20. Empty: as many as on the site."),
    )
    index = forms.ChoiceField(label=gettext_lazy("Look in"), required=False)
    instructions = forms.CharField(
        label=gettext_lazy("Other instructions for this comparison"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=gettext_lazy(
            "These instructions replace those of every model. Leave empty to use each model's own."
        ),
    )
    saved_question = forms.ModelChoiceField(
        queryset=Question.objects.all(), required=False, widget=forms.HiddenInput
    )

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        fields["backends"].queryset = ChatBackend.objects.all()
        fields["as_group"].queryset = groups_to_ask_as(user)
        fields["site"].label_from_instance = site_name
        languages = get_content_languages()
        codes = Locale.objects.values_list("language_code", flat=True)
        fields["locale"].choices = [(code, languages.get(code, code)) for code in codes]
        fields["index"].choices = [
            ("", _("as on the site")),
            *((alias, index.label) for alias, index in adapters.indexes().items()),
        ]

    def clean_backends(self) -> list[ChatBackend]:
        chosen = list(self.cleaned_data["backends"])
        if not FEWEST <= len(chosen) <= MOST:
            raise ValidationError(
                _("Choose %(fewest)d to %(most)d models to compare; %(chosen)d were chosen.")
                % {"fewest": FEWEST, "most": MOST, "chosen": len(chosen)}
            )
        for backend in chosen:
            if reason := backend.unavailable_reason:
                raise ValidationError(reason)
        return chosen

    def clean_instructions(self) -> str:
        # Browsers send CRLF at the end of each line.
        return self.cleaned_data["instructions"].replace("\r\n", "\n")

    def clean(self) -> dict[str, Any]:
        """Drop the saved question where its text was changed in the form."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        saved = cleaned.get("saved_question")
        if saved is not None and saved.text.strip() != cleaned.get("question"):
            cleaned["saved_question"] = None
        return cleaned
