"""The page with the form that opens a comparison."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy
from django.views.generic import FormView
from wagtail.models import Site

from finetune_switch.access import Asker
from finetune_switch.admin import permissions
from finetune_switch.admin.mixins import AdminPageMixin, PermissionFunctionMixin
from finetune_switch.comparisons.comparing import may_read, open_comparison
from finetune_switch.comparisons.forms import CompareForm
from finetune_switch.comparisons.reading import ComparisonReader
from finetune_switch.comparisons.suggestions import suggest
from finetune_switch.exceptions import BackendError, InvalidQuestion
from finetune_switch.models import ChatBackend, Comparison, Exchange, Question, Switch, SystemPrompt
from finetune_switch.search.readers import QuestionReader, Reader

EXAMPLES = 6
WORDINGS = 50


class CompareView(PermissionFunctionMixin, AdminPageMixin, FormView):
    has_permission = staticmethod(permissions.may_compare)
    form_class = CompareForm
    template_name = "finetune_switch/comparisons/compare.html"
    page_title = gettext_lazy("Compare")
    header_icon = "finetune-switch"

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "user": self.request.user}

    def get_initial(self) -> dict[str, Any]:
        """The user's last choices, or the active backend and one more.

        The question comes from the comparison ``?again=``, the saved question ``?saved=`` or the
        visitor's exchange ``?exchange=``.
        """
        user: Any = self.request.user
        own = Comparison.objects.filter(user=user)
        again = _row(Comparison.objects.all(), self.request.GET.get("again"))
        if again is not None and not may_read(Asker.from_request(self.request), again):
            again = None
        last = again or own.first()
        # Which backends answered is part of what a blind comparison hides.
        hides = again is not None and again.user_id != user.pk and not again.tells_names_to(user)
        site = (again and again.site) or Site.find_for_request(self.request)
        initial: dict[str, Any] = {
            "site": site,
            "backends": _suggested(own.first() if hides else last, site),
            "locale": again.locale if again is not None else _language_of(site),
        }
        if last is not None:
            initial |= {"is_blind": last.is_blind, "retrieval": last.retrieval}
        if again is not None:
            initial |= {
                "question": again.question,
                "saved_question": again.saved_question,
                "instructions": again.instructions,
            }
        saved = _row(Question.objects.all(), self.request.GET.get("saved"))
        if saved is not None:
            initial |= {"question": saved.text, "saved_question": saved}
        if permissions.may_see_visitors_questions(user):
            initial |= self._as_a_visitor_asked()
        return initial

    def _as_a_visitor_asked(self) -> dict[str, Any]:
        asked = _row(Exchange.objects.of_visitors(), self.request.GET.get("exchange"))
        if asked is None:
            return {}
        reader = QuestionReader(Reader.of(self.request))
        # The rewritten follow-up repeats parts of the answer before it.
        by_itself = asked.standalone_question if reader.may_read([asked]) else ""
        return {
            "question": by_itself or asked.question,
            "saved_question": None,
            "instructions": "",
            "retrieval": True,
            **({"site": asked.site} if asked.site else {}),
            **({"locale": asked.locale} if asked.locale else {}),
        }

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        backends = list(ChatBackend.objects.all())
        may_add = permissions.may_add_backends(self.request.user)
        return {
            **super().get_context_data(**kwargs),
            "suggestions": suggest("", ComparisonReader.of(self.request))[:EXAMPLES],
            "active": Switch.for_question(Site.find_for_request(self.request)).backend,
            "backends": backends,
            "controls": _controls(backends, may_add=may_add),
            "may_add_backend": may_add,
            "wordings": _wordings() if permissions.may_see_backends(self.request.user) else {},
        }

    def form_valid(self, form: CompareForm) -> HttpResponse:
        asked = form.cleaned_data
        site = asked["site"] or Site.find_for_request(self.request)
        try:
            comparison = open_comparison(
                asked["question"],
                backends=asked["backends"],
                site=site,
                locale=asked["locale"] or _language_of(site),
                user=self.request.user,
                as_group=asked["as_group"],
                is_blind=asked["is_blind"],
                retrieval=asked["retrieval"],
                limit=asked["limit"],
                indexes=[asked["index"]] if asked["index"] else None,
                instructions=asked["instructions"],
                saved_question=asked["saved_question"],
            )
        except InvalidQuestion as error:
            form.add_error(None, str(error))
        except BackendError as error:
            form.add_error(None, " ".join([str(error), error.remedy]).strip())
        else:
            return redirect(comparison)
        return self.form_invalid(form)


def _row(rows: QuerySet[Any], pk: str | None) -> Any:
    """The row with this primary key; ``None`` where there is none or the key is malformed."""
    try:
        return rows.filter(pk=pk).first() if pk else None
    except (ValueError, ValidationError):
        return None


def _controls(
    backends: Sequence[ChatBackend], *, may_add: bool
) -> list[tuple[ChatBackend, ChatBackend | None]]:
    """Each fine-tune with the backend of its base model, where the last check found that model.

    The second is ``None`` where the base model is no backend yet and the user may add it.
    """
    pairs = [
        (tuned, tuned.base_among(backends))
        for tuned in backends
        if tuned.base_model and not tuned.unavailable_reason
    ]
    return [(tuned, base) for tuned, base in pairs if base or may_add]


def _wordings() -> dict[ChatBackend, list[SystemPrompt]]:
    """The latest versions of instructions, newest first, grouped by backend."""
    latest = SystemPrompt.objects.exclude(text="").select_related("backend").order_by("-pk")
    grouped: dict[ChatBackend, list[SystemPrompt]] = {}
    for wording in sorted(latest[:WORDINGS], key=lambda wording: str(wording.backend)):
        grouped.setdefault(wording.backend, []).append(wording)
    return grouped


def _language_of(site: Site | None) -> str:
    """The language of a site's pages, independent of the admin's language."""
    return str(site.root_page.locale.language_code) if site else settings.LANGUAGE_CODE


def _suggested(last: Comparison | None, site: Site | None) -> list[Any]:
    """The backends of ``last``, else the active one and another that is available."""
    if last is not None:
        chosen = [pk for pk in last.columns.values_list("backend", flat=True) if pk]
        if len(chosen) > 1:
            return chosen
    active = Switch.for_question(site).active
    rows = [row for row in ChatBackend.objects.all() if not row.unavailable_reason]
    # Backends that failed their check come last, after the extractive one.
    rows.sort(
        key=lambda row: (
            row != active,
            row.check_passed is False,
            row.kind == ChatBackend.Kind.EXTRACTIVE,
            row.pk,
        )
    )
    return [row.pk for row in rows[:2]]
