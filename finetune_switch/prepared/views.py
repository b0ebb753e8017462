"""The list of prepared answers, their forms and versions, and the preview."""

import uuid
from datetime import timedelta
from typing import Any

import django_filters
from django import forms
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import View
from wagtail.admin.filters import WagtailFilterSet
from wagtail.admin.ui.tables import Column, DateColumn
from wagtail.admin.views import generic
from wagtail.admin.views.generic.permissions import PermissionCheckedMixin
from wagtail.log_actions import log
from wagtail.models import Locale, Site

from finetune_switch.access.sites import site_name
from finetune_switch.access.visibility import page_id_of
from finetune_switch.admin import permissions
from finetune_switch.admin.filters import radio_filter
from finetune_switch.admin.listings import WIDE
from finetune_switch.admin.mixins import AdminCSSMixin, PermissionFunctionMixin
from finetune_switch.models import Comparison, Exchange, Origin, PreparedAnswer
from finetune_switch.models.prepared import DEFAULT_THRESHOLD, PreparedAnswerQuerySet, today
from finetune_switch.search.readers import QuestionReader, Reader
from finetune_switch.text.citations import CITATION

from .preview import preview
from .similarity import current_model_name, is_stale

HALF_A_YEAR = timedelta(days=182)


class PreparedFilterSet(WagtailFilterSet):
    locale = django_filters.ModelChoiceFilter(
        label=gettext_lazy("Language"),
        queryset=Locale.objects.all(),
        widget=forms.RadioSelect,
        empty_label=gettext_lazy("All"),
    )
    site = django_filters.ModelChoiceFilter(
        label=gettext_lazy("Site"),
        queryset=Site.objects.all(),
        widget=forms.RadioSelect,
        empty_label=gettext_lazy("All"),
    )
    state = radio_filter(
        gettext_lazy("State"),
        [
            ("on", gettext_lazy("In use")),
            ("off", gettext_lazy("Not in use")),
            ("overdue", gettext_lazy("To be reviewed")),
        ],
        "in_state",
    )

    class Meta:
        model = PreparedAnswer
        fields = ["kind"]

    def in_state(
        self, found: PreparedAnswerQuerySet, name: str, value: str
    ) -> PreparedAnswerQuerySet:
        if value == "overdue":
            return found.overdue()
        return found.filter(is_on=value == "on")


def site_of(prepared: PreparedAnswer) -> str:
    return site_name(prepared.site) if prepared.site else _("All sites")


class ReviewColumn(DateColumn):
    cell_template_name = "finetune_switch/prepared/review.html"


class PreparedStateColumn(Column):
    """Whether it is in use, and what prevents that."""

    cell_template_name = "finetune_switch/prepared/state.html"

    def get_value(self, instance: PreparedAnswer) -> str:
        return _("In use") if instance.is_on else _("Not in use")


class PreparedIndexView(AdminCSSMixin, generic.IndexView):
    list_display = [
        "__str__",
        Column(
            "kind", label=gettext_lazy("Kind"), accessor="get_kind_display", sort_key="kind", **WIDE
        ),
        Column("locale", label=gettext_lazy("Language"), **WIDE),
        Column("site", label=gettext_lazy("Site"), accessor=site_of, **WIDE),
        ReviewColumn("review_on", label=gettext_lazy("Review on"), sort_key="review_on"),
        Column("times_given", label=gettext_lazy("Given"), sort_key="times_given", **WIDE),
        PreparedStateColumn("is_on", label=gettext_lazy("State"), sort_key="is_on"),
    ]
    filterset_class = PreparedFilterSet
    default_ordering = "-created_at"

    def get_base_queryset(self) -> QuerySet[PreparedAnswer]:
        found = super().get_base_queryset().select_related("locale", "site")
        return found.annotate(times_given=Count("exchanges"))

    def get_context_data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(*args, **kwargs)
        rows = list(context["object_list"])
        name = current_model_name() if any(row.examples for row in rows) else ""
        for row in rows:
            row.is_stale = is_stale(row, name)
        return context


class PreparedFormMixin:
    """Save a revision and a log entry with each change."""

    request: HttpRequest
    form: Any
    log_action = "wagtail.edit"

    def save_instance(self) -> PreparedAnswer:
        prepared = self.form.save()
        self.has_content_changes = self.form.has_changed()
        revision = prepared.save_revision(user=self.request.user)
        log(
            instance=prepared,
            action=self.log_action,
            revision=revision,
            content_changed=self.has_content_changes,
        )
        return prepared

    def get_success_message(self, instance: PreparedAnswer) -> str:
        values = {"object": instance}
        if instance.is_on and instance.questions and not instance.vectors:
            return (
                _(
                    "“%(object)s” is saved. The embedding model did not answer, so it is found by "
                    "its words alone: save it again later."
                )
                % values
            )
        if instance.is_on:
            return _("“%(object)s” is given from the next question on.") % values
        return _("“%(object)s” is saved, and not in use.") % values


class PreparedCreateView(PreparedFormMixin, generic.CreateView):
    """The form for a new answer.

    With ``?exchange=<uuid>`` it begins with that question and, where the user may read it, with
    what was answered.
    """

    log_action = "wagtail.create"

    @cached_property
    def exchange(self) -> Exchange | None:
        try:
            pk = uuid.UUID(self.request.GET.get("exchange", ""))
        except ValueError:
            return None
        exchange = Exchange.objects.select_related("site").filter(pk=pk).first()
        if exchange is None or not permissions.may_see_exchange(self.request.user, exchange):
            return None
        return exchange

    @property
    def submit_button_label(self) -> str:
        return _("Use this from now on")

    @property
    def submit_button_active_label(self) -> str:
        return _("Saving…")

    def get_add_url(self) -> str:
        url = super().get_add_url()
        return f"{url}?exchange={self.exchange.pk}" if self.exchange else url

    def get_initial_form_instance(self) -> PreparedAnswer:
        return PreparedAnswer(
            made_from=self.exchange, threshold=DEFAULT_THRESHOLD, review_on=today() + HALF_A_YEAR
        )

    def get_initial(self) -> dict[str, Any]:
        initial = super().get_initial()
        if (exchange := self.exchange) is None:
            return initial
        initial["examples"] = " ".join(exchange.question.split())
        initial["site"] = exchange.site
        if (locale := _locale_of(exchange)) is not None:
            initial["locale"] = locale
        if self.may_read_answer(exchange):
            passages = exchange.frozen_passages
            if exchange.standalone_question:
                # A follow-up such as "And on Sundays?" would match no first question.
                initial["examples"] = " ".join(exchange.standalone_question.split())
            initial["answer"] = _said_of(exchange)
            cited = [p for p in passages if p.number in exchange.citations[:1]] or passages[:1]
            initial["page_id"] = next((page_id_of(p.source) for p in cited), None)
        return initial

    def may_read_answer(self, exchange: Exchange) -> bool:
        """Whether the pages that it rests on are open, and a blind comparison was revealed."""
        reader = Reader.of(self.request)
        if exchange.origin != Origin.COMPARE:
            return exchange.pk in QuestionReader(reader).may_read([exchange])
        compared = Comparison.objects.select_related("site").filter(columns__exchange=exchange)
        return any(
            row.tells_names_to(self.request.user) and reader.may_read([row]) for row in compared
        )


def _locale_of(exchange: Exchange) -> Locale | None:
    """The content locale that the question was asked in."""
    codes = {locale.language_code: locale for locale in Locale.objects.all()}
    return codes.get(exchange.locale) or codes.get(exchange.locale.split("-")[0])


def _said_of(exchange: Exchange) -> str:
    """The latest correction of the answer, else the answer, without citations."""
    grades = exchange.grades.filter(is_current=True).exclude(correction="")
    corrected = grades.order_by("-pk").values_list("correction", flat=True).first()
    return CITATION.sub("", corrected or exchange.answer).replace(" .", ".").strip()


class PreparedEditView(PreparedFormMixin, generic.EditView):
    view_name = "edit"

    def get_success_message(self, instance: PreparedAnswer | None = None) -> str:
        return super().get_success_message(instance or self.object)

    def get_usage_url(self) -> None:
        """None, since exchanges are not in Wagtail's reference index."""


class PreparedRevertView(generic.RevisionsRevertMixin, PreparedEditView):
    """The form with an earlier version, to be saved as a new one."""

    view_name = "revisions_revert"
    draftstate_enabled = False

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        # The warning about the old version needs the object.
        self.object = self.get_object()


class PreparedCompareView(PermissionCheckedMixin, generic.RevisionsCompareView):
    permission_required = "change"


class SimilarityView(PermissionFunctionMixin, View):
    """The preview of the answer in the form, as HTML."""

    has_permission = staticmethod(permissions.may_prepare_answers)
    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        drafted = _drafted(request)
        sees_visitors = permissions.may_see_visitors_questions(request.user)
        context = {
            "preview": preview(drafted, with_visitors=sees_visitors),
            "threshold": drafted.threshold,
            "sees_visitors": sees_visitors,
        }
        return render(request, "finetune_switch/prepared/similarity.html", context)


def _drafted(request: HttpRequest) -> PreparedAnswer:
    """An unsaved prepared answer with the valid values of the form."""
    try:
        threshold = float(request.POST.get("threshold", "").replace(",", "."))
    except ValueError:
        threshold = DEFAULT_THRESHOLD
    locale, site = request.POST.get("locale", ""), request.POST.get("site", "")
    locales = Locale.objects.filter(pk=int(locale)) if locale.isdecimal() else Locale.objects.none()
    return PreparedAnswer(
        examples=request.POST.get("examples", "")[:100_000],
        words=request.POST.get("words", "")[:100_000],
        threshold=threshold,
        locale=locales.first() or Locale.get_default(),
        site_id=int(site) if site.isdecimal() else None,
    )
