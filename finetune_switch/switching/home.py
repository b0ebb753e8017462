"""The panel on the admin's home page."""

from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.forms import Media
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from wagtail.admin.ui.components import Component
from wagtail.models import Site

from finetune_switch import adapters
from finetune_switch.access.sites import site_name
from finetune_switch.admin import permissions
from finetune_switch.admin.widgets import admin_css
from finetune_switch.index import overview
from finetune_switch.limits import budgets
from finetune_switch.models import ChatBackend, Exchange, Outcome, PreparedAnswer, Switch


class ActiveBackendHomePanel(Component):
    """The active backend, its state, today's questions, and a suggestion what to do next."""

    name = "finetune_active_backend"
    template_name = "finetune_switch/switching/home_panel.html"
    order = 130

    @property
    def media(self) -> Media:
        return admin_css()

    def __init__(self, site: Site, user: Any) -> None:
        self.site = site
        self.user = user

    def get_context_data(self, parent_context: Any = None) -> dict[str, Any]:
        switch = Switch.for_question(self.site)
        today = Exchange.objects.filter(site=self.site).asked_today()
        backend = switch.backend
        return {
            "site_name": site_name(self.site),
            "switch": switch,
            "backend": backend,
            "questions": today.count(),
            "unanswered": today.filter(outcome=Outcome.NO_ANSWER).count(),
            "failed": today.filter(outcome__in=(Outcome.FAILED, Outcome.CUT_OFF)).count(),
            "unanswered_this_week": self._unanswered_this_week(),
            "unanswered_url": reverse("finetune_visitor_questions:unanswered"),
            "switch_url": reverse("finetune_switch:site", args=[self.site.pk]),
            "used_up": budgets.used_up(self.site.pk),
            "next_thing": next_thing(switch, backend, self.user),
            "overdue": self._overdue(),
            "overdue_url": f"{reverse('finetune_prepared:index')}?state=overdue",
        }

    def _unanswered_this_week(self) -> int:
        """The number of unanswered questions of visitors, or 0 where the user may not read them."""
        if not permissions.may_see_visitors_questions(self.user):
            return 0
        since = timezone.now() - timedelta(days=7)
        rows = Exchange.objects.unanswered()
        return rows.filter(site=self.site, opened_at__gte=since).count()

    def _overdue(self) -> int:
        """The number of prepared answers to review, or 0 where the user may not edit them."""
        if not permissions.may_prepare_answers(self.user):
            return 0
        return PreparedAnswer.objects.overdue().filter(Q(site=self.site) | Q(site=None)).count()


def next_thing(switch: Switch, backend: ChatBackend, user: Any) -> dict[str, str] | None:
    """A suggestion for this user: a sentence and a link. ``None`` where there is none."""
    here = reverse("finetune_switch:site", args=[switch.site_id])
    check = backend.get_check_url() if backend.pk and permissions.may_see_backends(user) else here
    if backend.unavailable_reason:
        return {"text": _("It cannot answer. Switch to another backend."), "url": here}
    if backend.check_passed is False:
        return {"text": _("Its last check failed. See why."), "url": check}
    if backend.shutdown_date:
        return {
            "text": _("It shuts down on %s. Choose a successor.")
            % backend.shutdown_date.isoformat(),
            "url": here,
        }
    if permissions.may_add_backends(user) and not ChatBackend.objects.editable().exists():
        return {
            "text": _("Add a model: yours, or a hosted one."),
            "url": reverse("finetune_backends:add"),
        }
    if advice := overview.advice(has_other_indexes=bool(adapters.indexes())):
        return {"text": advice, "url": reverse("finetune_index:index")}
    if backend.kind == ChatBackend.Kind.EXTRACTIVE:
        return {"text": _("No model answers yet. Choose one."), "url": here}
    if backend.pk and backend.check_passed is None:
        return {"text": _("It was never checked. Check it."), "url": check}
    return None


def add_home_panel(request: HttpRequest, panels: list[Component]) -> None:
    if site := permissions.site_to_open(request):
        panels.append(ActiveBackendHomePanel(site, request.user))
