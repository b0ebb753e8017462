"""The form that starts a run. It shows the estimate before anything is asked."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import FormView
from wagtail.admin import messages
from wagtail.log_actions import log
from wagtail.models import Site

from finetune_switch.admin import permissions
from finetune_switch.admin.mixins import AdminPageMixin, PermissionFunctionMixin
from finetune_switch.evaluation.estimating import estimate
from finetune_switch.evaluation.run_forms import RunForm
from finetune_switch.evaluation.starting import (
    InvalidRun,
    is_repeated,
    start_run,
    unanswerable_note,
)
from finetune_switch.evaluation.tasks import enqueue_run
from finetune_switch.index.upkeep import runs_inside_the_request
from finetune_switch.models import ChatBackend, QuestionSet, Run, Switch


class StartView(PermissionFunctionMixin, AdminPageMixin, FormView):
    has_permission = staticmethod(permissions.may_start_runs)
    form_class = RunForm
    template_name = "finetune_switch/evaluation/start.html"
    page_title = gettext_lazy("New evaluation")
    header_icon = "finetune-switch"

    def pages_above(self) -> list[tuple[str, Any]]:
        return [(reverse("finetune_runs:index"), _("Evaluations"))]

    def get_initial(self) -> dict[str, Any]:
        """The active backend and the base model of a fine-tune, as the control."""
        site = Site.find_for_request(self.request)
        active = Switch.for_question(site).backend
        sets = list(QuestionSet.objects.filter(purpose=QuestionSet.Purpose.TESTING)[:2])
        only = sets[0].pk if len(sets) == 1 else ""
        return {
            **super().get_initial(),
            "question_set": self.request.GET.get("set", only),
            "site": site,
            "backends": [active.pk] if active.pk else [],
            "baseline": active.pk,
        }

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        backends = list(ChatBackend.objects.all())
        return {
            **super().get_context_data(**kwargs),
            "has_sets": QuestionSet.objects.exists(),
            "controls": [
                (tuned, base)
                for tuned in backends
                if tuned.base_model and (base := tuned.base_among(backends)) is not None
            ],
        }

    def form_valid(self, form: RunForm) -> HttpResponse:
        asked = form.cleaned_data
        question_set, percent = asked["question_set"], asked["repeat_percent"]
        count = question_set.questions.count()
        repeated = sum(is_repeated(position, percent) for position in range(count))
        times = (count + repeated) * len(form.setups)
        forecast = estimate(asked["backends"], times)
        if "start" not in self.request.POST or (forecast.is_expensive and not asked["agreed"]):
            return self.render_to_response(
                self.get_context_data(
                    form=form, forecast=forecast, note=unanswerable_note(question_set)
                )
            )
        site = asked["site"]
        try:
            with transaction.atomic():
                run = start_run(
                    question_set,
                    asked["backends"],
                    site=site,
                    locale=_language_of(site),
                    user=self.request.user,
                    setups=form.setups,
                    repeat_percent=percent,
                    graders=asked["graders"],
                    rules_decide=asked["rules_decide"],
                    baseline=asked["baseline"],
                )
                log(run, "wagtail.create", user=self.request.user)
        except InvalidRun as error:
            form.add_error(None, str(error))
            return self.form_invalid(form)
        give_to_worker(run)
        messages.success(self.request, _("The evaluation was started."))
        return redirect(run)


def give_to_worker(run: Run) -> None:
    """Queue the run's task. Without a worker, its page names the command instead."""
    if not runs_inside_the_request():
        transaction.on_commit(partial(enqueue_run, run))


def _language_of(site: Site | None) -> str:
    return str(site.root_page.locale.language_code) if site else settings.LANGUAGE_CODE
