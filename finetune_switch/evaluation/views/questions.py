"""The lists of questions and of question sets, and their forms."""

from typing import Any

import django_filters
from django.contrib.contenttypes.models import ContentType
from django.db.models import Count, Q, QuerySet
from django.forms import CheckboxSelectMultiple
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from taggit.models import Tag
from wagtail.admin.filters import WagtailFilterSet
from wagtail.admin.ui.tables import Column, DateColumn
from wagtail.admin.views import generic
from wagtail.admin.widgets.button import HeaderButton, ListingButton

from finetune_switch.admin import permissions
from finetune_switch.admin.listings import WIDE
from finetune_switch.admin.mixins import AdminCSSMixin
from finetune_switch.evaluation.references import may_read_reference, readable_references
from finetune_switch.models import Question, QuestionSet


def question_compare_url(question: Question) -> str:
    return f"{reverse('finetune_compare:index')}?saved={question.pk}"


def used_tags(request: Any) -> QuerySet[Tag]:
    kind = ContentType.objects.get_for_model(Question)
    return Tag.objects.filter(taggit_taggeditem_items__content_type=kind).distinct()


class QuestionFilterSet(WagtailFilterSet):
    sets = django_filters.ModelMultipleChoiceFilter(
        label=gettext_lazy("Question set"),
        queryset=QuestionSet.objects.all(),
        widget=CheckboxSelectMultiple,
    )
    tags = django_filters.ModelMultipleChoiceFilter(
        label=gettext_lazy("Tag"), queryset=used_tags, widget=CheckboxSelectMultiple
    )

    class Meta:
        model = Question
        fields: list[str] = []


class NamesColumn(Column):
    """The names of related rows, separated by commas."""

    def get_value(self, instance: Question) -> str:
        return ", ".join(str(row) for row in getattr(instance, self.name).all())


class QuestionIndexView(AdminCSSMixin, generic.IndexView):
    list_display = [
        "__str__",
        NamesColumn("sets", label=gettext_lazy("Question sets"), **WIDE),
        NamesColumn("tags", label=gettext_lazy("Tags"), **WIDE),
        DateColumn("created_at", label=gettext_lazy("Added"), sort_key="created_at", **WIDE),
    ]
    filterset_class = QuestionFilterSet
    default_ordering = "-created_at"

    def get_base_queryset(self) -> QuerySet[Question]:
        return super().get_base_queryset().prefetch_related("sets", "tags")

    def search_queryset(self, queryset: QuerySet[Question]) -> QuerySet[Question]:
        found = super().search_queryset(queryset)
        if not self.is_searching:
            return found
        # A match would tell what a reference answer says.
        others = Question.objects.filter(reference_answer__icontains=self.search_query)
        readable = readable_references(self.request.user, list(others))
        return queryset.filter(Q(pk__in=found.values("pk")) | Q(pk__in=readable))

    def get_list_more_buttons(self, instance: Question) -> list[Any]:
        buttons = super().get_list_more_buttons(instance)
        if permissions.may_compare(self.request.user):
            label = _("Compare backends with “%(question)s”") % {"question": instance}
            buttons.append(
                ListingButton(
                    _("Compare"),
                    url=question_compare_url(instance),
                    attrs={"aria-label": label},
                    priority=5,
                )
            )
        return buttons


class QuestionCreateView(generic.CreateView):
    def get_initial(self) -> dict[str, Any]:
        """Tick the question set that ``?set=`` names."""
        chosen = self.request.GET.get("set", "")
        return {**super().get_initial(), **({"sets": [chosen]} if chosen.isdecimal() else {})}


class QuestionCopyView(generic.CopyView):
    """A new question that starts with the fields, sets and tags of another one."""

    @cached_property
    def original(self) -> Question:
        return super().get_object()

    def get_object(self, queryset: Any = None) -> Question:
        return self.original

    def get_initial_form_instance(self) -> Question:
        return Question(
            text=self.original.text,
            reference_answer=self.original.reference_answer
            if may_read_reference(self.request.user, self.original)
            else "",
            page_ids=self.original.page_ids,
        )

    def get_initial(self) -> dict[str, Any]:
        tags = list(self.original.tags.all())
        return {**super().get_initial(), "sets": self.original.sets.all(), "tags": tags}


class QuestionEditView(generic.EditView):
    @cached_property
    def header_buttons(self) -> list[HeaderButton]:
        if not permissions.may_compare(self.request.user):
            return []
        return [HeaderButton(_("Compare"), url=question_compare_url(self.object), icon_name="view")]

    def get_usage_url(self) -> None:
        """None, since comparisons are not in Wagtail's reference index."""


class QuestionSetIndexView(AdminCSSMixin, generic.IndexView):
    list_display = [
        "name",
        Column("question_count", label=gettext_lazy("Questions"), sort_key="question_count"),
        DateColumn("created_at", label=gettext_lazy("Added"), sort_key="created_at", **WIDE),
    ]
    default_ordering = "name"

    def get_base_queryset(self) -> QuerySet[QuestionSet]:
        return super().get_base_queryset().annotate(question_count=Count("questions"))


class QuestionSetEditView(AdminCSSMixin, generic.EditView):
    def get_usage_url(self) -> None:
        """None, since the page lists its questions."""
