"""The forms and panels of questions and question sets."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.admin.forms import WagtailAdminModelForm
from wagtail.admin.panels import FieldPanel, ObjectList, Panel

from finetune_switch.access.visibility import page_model
from finetune_switch.admin import permissions
from finetune_switch.admin.widgets import PAGE_ID, NamedTagWidget, PagesWidget
from finetune_switch.exceptions import InvalidQuestion
from finetune_switch.models import QuestionSet
from finetune_switch.models.exchange import clean_question

from .references import may_read_reference
from .rules import InvalidRule, read_rules

MOST_SHOWN = 50


class PagesField(forms.Field):
    """Primary keys of pages. Those in ``kept`` are accepted even if the page was deleted."""

    widget = PagesWidget

    def __init__(self, *, kept: Iterable[int] = (), **kwargs: Any) -> None:
        self.kept = frozenset(kept)
        super().__init__(**{"required": False, **kwargs})

    def to_python(self, value: Any) -> list[int]:
        given = [str(pk) for pk in value or ()]
        if not all(map(PAGE_ID.fullmatch, given)):
            raise ValidationError(_("Choose pages of this site."))
        # Without duplicates, in the order chosen.
        ids = list(dict.fromkeys(map(int, given)))
        new = [pk for pk in ids if pk not in self.kept]
        if page_model()._default_manager.filter(pk__in=new).count() != len(new):
            raise ValidationError(_("A page that was chosen is no longer there."))
        return ids

    def has_changed(self, initial: Any, data: Any) -> bool:
        return [str(pk) for pk in initial or ()] != [str(pk) for pk in data or ()]


class QuestionForm(WagtailAdminModelForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance._state.adding:
            self.instance.created_by = self.for_user
        if "reference_answer" in self.fields and not may_read_reference(
            self.for_user, self.instance
        ):
            # It stays as it is. The panel is not shown without its field.
            del self.fields["reference_answer"]
        if "page_ids" in self.fields:
            self.fields["page_ids"] = PagesField(
                label=self.fields["page_ids"].label,
                help_text=_("The pages that hold the answer."),
                kept=self.instance.page_ids,
            )
        if "expects" in self.fields:
            # Left out, it keeps its default.
            self.fields["expects"].required = False
        if "sets" in self.fields:
            self.fields["sets"].widget = forms.CheckboxSelectMultiple()
            self.fields["sets"].widget.choices = self.fields["sets"].choices
        if "tags" in self.fields:
            self.fields["tags"].widget = NamedTagWidget()

    def clean_rules(self) -> str:
        text = self.cleaned_data["rules"].replace("\r\n", "\n").strip()
        try:
            read_rules(text)
        except InvalidRule as error:
            raise ValidationError(str(error)) from error
        return text

    def clean_text(self) -> str:
        try:
            return clean_question(self.cleaned_data["text"])
        except InvalidQuestion as error:
            raise ValidationError(str(error)) from error


class QuestionSetForm(WagtailAdminModelForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "purpose" in self.fields:
            # Left out, it keeps its default.
            self.fields["purpose"].required = False


class QuestionsPanel(Panel):
    """The questions of a set, newest first."""

    class BoundPanel(Panel.BoundPanel):
        template_name = "finetune_switch/evaluation/panels/questions.html"
        instance: QuestionSet

        def is_shown(self) -> bool:
            return bool(self.instance.pk)

        def get_context_data(self, parent_context: Any = None) -> dict[str, Any]:
            context = super().get_context_data(parent_context)
            user = self.request.user
            questions = list(self.instance.questions.all()[: MOST_SHOWN + 1])
            return {
                **context,
                "questions": questions[:MOST_SHOWN],
                "are_all_shown": len(questions) <= MOST_SHOWN,
                "may_change": user.has_perm(permissions.CHANGE_QUESTION),
                "may_add": user.has_perm(permissions.ADD_QUESTION),
                "all_url": f"{reverse('finetune_questions:index')}?sets={self.instance.pk}",
            }


question_edit_handler = ObjectList(
    [
        FieldPanel("text", widget=forms.Textarea(attrs={"rows": 3})),
        FieldPanel("reference_answer", widget=forms.Textarea(attrs={"rows": 6})),
        FieldPanel("expects"),
        FieldPanel("rules", widget=forms.Textarea(attrs={"rows": 3})),
        FieldPanel("page_ids"),
        FieldPanel("sets"),
        FieldPanel("tags"),
    ],
    base_form_class=QuestionForm,
)

question_set_edit_handler = ObjectList(
    [
        FieldPanel("name"),
        FieldPanel("description", widget=forms.Textarea(attrs={"rows": 3})),
        FieldPanel("purpose", widget=forms.RadioSelect),
        QuestionsPanel(heading=gettext_lazy("Questions")),
    ],
    base_form_class=QuestionSetForm,
)
