"""The page *Index* in the admin."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.generic import TemplateView, View
from wagtail.admin import messages
from wagtail.admin.views.generic import WagtailAdminTemplateMixin
from wagtail.log_actions import log
from wagtail.permission_policies.pages import PagePermissionPolicy

from finetune_switch.admin import permissions
from finetune_switch.admin.log_actions import INDEX_ACTION
from finetune_switch.admin.mixins import PermissionFunctionMixin
from finetune_switch.exceptions import IndexBusy
from finetune_switch.models import Exclusion, IndexBuild

from . import overview, tasks
from .builds import start_build
from .upkeep import runs_inside_the_request

logger = logging.getLogger("finetune_switch.index")

COMMAND = "manage.py finetune_switch index"
MOST_BUILDS = 10
MOST_TICKED = 50


class IndexView(PermissionFunctionMixin, WagtailAdminTemplateMixin, TemplateView):
    """Shows the state of the index, pending changes and builds."""

    has_permission = staticmethod(permissions.may_see_index)
    template_name = "finetune_switch/index/index.html"
    page_title = gettext_lazy("Index")
    header_icon = "list-ul"

    def get_breadcrumbs_items(self) -> list[dict[str, Any]]:
        return [*self.breadcrumbs_items, {"url": "", "label": self.get_page_title()}]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        builds = list(IndexBuild.objects.select_related("started_by")[:MOST_BUILDS])
        latest = builds[0] if builds else None
        state = overview.overview()
        user = self.request.user
        at_work = overview.is_at_work(latest)
        return {
            **super().get_context_data(**kwargs),
            "index": state,
            "model_name": overview.model_name(state.space) if state.space else "",
            "at_work": at_work,
            "may_start": not at_work or overview.lacks_worker(latest),
            "latest": latest,
            "progress": progress_of(latest),
            "builds": [_row(build) for build in (builds[1:] if at_work else builds)],
            "last_failure": overview.reason_of(latest)
            if latest and overview.status_of(latest) == IndexBuild.Status.FAILED
            else "",
            "ticked": ticked_pages(user),
            "may_run": permissions.may_build_index(user),
            "has_worker": not runs_inside_the_request(),
            "command": COMMAND,
            "progress_url": reverse("finetune_index:progress"),
        }


class ProgressView(PermissionFunctionMixin, View):
    """The status of the latest build, as JSON."""

    has_permission = staticmethod(permissions.may_see_index)
    http_method_names = ["get"]

    def get(self, request: HttpRequest) -> JsonResponse:
        return JsonResponse(progress_of(IndexBuild.objects.first()))


class BuildView(PermissionFunctionMixin, View):
    """Starts a build of the whole index or of pending changes."""

    has_permission = staticmethod(permissions.may_build_index)
    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        changed_only = bool(request.POST.get("changed"))
        if runs_inside_the_request():
            messages.error(
                request,
                _("Background tasks have no worker here. Build the index with: %s") % COMMAND,
            )
            return redirect("finetune_index:index")
        try:
            with transaction.atomic():
                build = start_build(changed_only=changed_only, user=request.user)
                # A queued build of the whole index stays one.
                changed_only = build.changed_only
                log(build, INDEX_ACTION, user=request.user, data={"changed_only": changed_only})
        except IndexBusy as error:
            messages.error(request, str(error))
            return redirect("finetune_index:index")
        transaction.on_commit(partial(_enqueue, build))
        messages.success(
            request,
            _("Changes are being indexed.")
            if changed_only
            else _("The whole index is being built. Until it is done, the old one answers."),
        )
        return redirect("finetune_index:index")


def _enqueue(build: IndexBuild) -> None:
    try:
        tasks.build_index.enqueue(build.pk)
    except Exception:  # task backends raise exceptions of their own
        logger.exception("The build of the index could not be given to a worker.")
        # A worker may have started the build because of an earlier request.
        waiting = IndexBuild.objects.filter(pk=build.pk, status=IndexBuild.Status.QUEUED)
        waiting.update(
            status=IndexBuild.Status.FAILED,
            finished_at=timezone.now(),
            error=_("The task could not be queued. The site's log says why."),
        )


def progress_of(build: IndexBuild | None) -> dict[str, Any]:
    """The progress of a build, for the page and its script."""
    if build is None:
        return {
            "status": "none",
            "is_at_work": False,
            "sentence": _("Nothing has been indexed yet."),
        }
    return {
        "build": build.pk,
        "status": overview.status_of(build),
        "is_at_work": overview.is_at_work(build),
        "done": min(build.done, build.total),
        "total": build.total,
        "counts": {name: getattr(build, name) for name in ("added", "kept", "removed", "failed")},
        "sentence": overview.sentence_of(build),
    }


def _row(build: IndexBuild) -> dict[str, Any]:
    status = overview.status_of(build)
    failed = status == IndexBuild.Status.FAILED
    return {
        "build": build,
        "status": status.label,
        "passed": status == IndexBuild.Status.COMPLETE,
        "failed": failed,
        "counts": overview.counts_of(build),
        "reason": overview.reason_of(build) if failed else "",
        "seconds": (build.finished_at - (build.started_at or build.queued_at)).total_seconds()
        if build.finished_at
        else None,
    }


def ticked_pages(user: Any) -> list[tuple[Any, bool]]:
    """Excluded pages that the user may edit, and whether their descendants are excluded."""
    rows = dict(Exclusion.objects.values_list("page_id", "subtree"))
    pages = PagePermissionPolicy().instances_user_has_permission_for(user, "change")
    found = pages.filter(pk__in=rows).order_by("path")[:MOST_TICKED]
    return [(page, rows[page.pk]) for page in found]
