"""The form that starts a run."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.models import Site

from finetune_switch.access.sites import site_name
from finetune_switch.models import ChatBackend, Contender, QuestionSet

from .grading import MOST_GRADERS
from .starting import FEWEST, MOST, Setup


class RunForm(forms.Form):
    question_set = forms.ModelChoiceField(
        label=gettext_lazy("Question set"),
        queryset=QuestionSet.objects.filter(purpose=QuestionSet.Purpose.TESTING),
        widget=forms.Select(attrs={"class": "finetune-select"}),
        error_messages={"required": gettext_lazy("Choose a question set.")},
    )
    backends = forms.ModelMultipleChoiceField(
        label=gettext_lazy("Chat backends"),
        queryset=ChatBackend.objects.none(),
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("Two to four. The verdict compares the baseline with each other."),
        error_messages={"required": gettext_lazy("Choose two to four backends.")},
    )
    baseline = forms.ModelChoiceField(
        label=gettext_lazy("Baseline"),
        queryset=ChatBackend.objects.none(),
        required=False,
        widget=forms.Select(attrs={"class": "finetune-select"}),
        empty_label=gettext_lazy("the first of them"),
        help_text=gettext_lazy("The one to be judged against, such as the one on the site now."),
    )
    conditions = forms.MultipleChoiceField(
        label=gettext_lazy("Conditions"),
        choices=Contender.Condition.choices,
        initial=[Contender.Condition.SITE],
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": gettext_lazy("Choose at least one condition.")},
    )
    instructions = forms.CharField(
        label=gettext_lazy("Other instructions"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=gettext_lazy("For the condition “With other instructions”."),
    )
    repeat_percent = forms.IntegerField(
        label=gettext_lazy("Ask twice"),
        min_value=0,
        max_value=100,
        initial=10,
        help_text=gettext_lazy(
            "Per cent of the questions. Shows how often a model changes its own answer."
        ),
    )
    graders = forms.IntegerField(
        label=gettext_lazy("Graders for each answer"),
        min_value=1,
        max_value=MOST_GRADERS,
        initial=1,
        help_text=gettext_lazy("Where two disagree, a third decides."),
    )
    rules_decide = forms.BooleanField(
        label=gettext_lazy("Rules decide alone"),
        required=False,
        help_text=gettext_lazy("Where a question has rules, nobody has to grade its answers."),
    )
    site = forms.ModelChoiceField(
        label=gettext_lazy("Site"), queryset=Site.objects.all(), empty_label=None
    )
    agreed = forms.BooleanField(
        label=gettext_lazy("Start it, although it costs that much"), required=False
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        fields["backends"].queryset = ChatBackend.objects.all()
        fields["baseline"].queryset = ChatBackend.objects.all()
        fields["site"].label_from_instance = site_name

    def clean_backends(self) -> list[ChatBackend]:
        chosen = list(self.cleaned_data["backends"])
        for backend in chosen:
            if reason := backend.unavailable_reason:
                raise ValidationError(reason)
        return chosen

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        backends, conditions = cleaned.get("backends"), cleaned.get("conditions")
        if backends and conditions:
            alone = len(backends) == 1 and len(conditions) > 1
            if not (FEWEST <= len(backends) <= MOST or alone):
                self.add_error(
                    "backends",
                    _("Choose %(fewest)d to %(most)d backends; %(chosen)d were chosen.")
                    % {"fewest": FEWEST, "most": MOST, "chosen": len(backends)},
                )
        baseline = cleaned.get("baseline")
        if baseline is not None and backends and baseline not in backends:
            self.add_error("baseline", _("The baseline has to be one of the chosen backends."))
        needs_text = Contender.Condition.INSTRUCTIONS in (conditions or ())
        if needs_text and not cleaned.get("instructions", "").strip():
            self.add_error("instructions", _("Write the other instructions first."))
        return cleaned

    @property
    def setups(self) -> list[Setup]:
        texts = {Contender.Condition.INSTRUCTIONS.value: self.cleaned_data["instructions"]}
        return [
            Setup(condition, texts.get(condition, "").replace("\r\n", "\n"))
            for condition in self.cleaned_data["conditions"]
        ]
