"""The page of unanswered questions, in groups, with why each had no answer."""

from datetime import timedelta
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy
from wagtail.admin.views.generic.base import BaseListingView
from wagtail.admin.widgets.button import HeaderButton
from wagtail.coreutils import get_content_languages
from wagtail.models import Site

from finetune_switch import conf
from finetune_switch.access import Asker
from finetune_switch.access.source_access import SourceAccess
from finetune_switch.access.visibility import page_id_of, page_model
from finetune_switch.admin.mixins import AdminCSSMixin, AdminPageMixin
from finetune_switch.admin.presenting import create_page_url
from finetune_switch.models import Exchange
from finetune_switch.passages import Passage
from finetune_switch.visitor_questions.filters import UnansweredFilterSet
from finetune_switch.visitor_questions.grouping import (
    MOST_QUESTIONS,
    Group,
    Grouping,
    Missing,
    group_unanswered,
    what_was_missing,
)

from .listing import (
    SeeVisitorsQuestionsMixin,
    VisitorQuestionsView,
    compare_url,
    prepare_url,
    site_of,
)

OTHER_WORDINGS = 10


class UnansweredView(SeeVisitorsQuestionsMixin, AdminPageMixin, AdminCSSMixin, BaseListingView):
    page_title = gettext_lazy("What visitors asked and we could not answer")
    header_icon = "help"
    results_template_name = "finetune_switch/visitor_questions/unanswered_results.html"
    index_url_name = "finetune_visitor_questions:unanswered"
    index_results_url_name = "finetune_visitor_questions:unanswered_results"
    filterset_class = UnansweredFilterSet
    paginate_by = 10

    @cached_property
    def grouping(self) -> Grouping:
        since = timezone.now() - timedelta(days=self.filters.chosen_days)
        rows = self.filter_queryset(Exchange.objects.unanswered())
        return group_unanswered(rows.filter(opened_at__gte=since))

    def get_queryset(self) -> list[Group]:
        return self.grouping.groups

    def pages_above(self) -> list[tuple[str, Any]]:
        return [(reverse("finetune_visitor_questions:index"), VisitorQuestionsView.page_title)]

    @cached_property
    def header_buttons(self) -> list[HeaderButton]:
        url = reverse("finetune_visitor_questions:index")
        return [HeaderButton(VisitorQuestionsView.page_title, url=url, icon_name="list-ul")]

    def get_context_data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(*args, **kwargs)
        groups = list(context["object_list"])
        typical = [group.typical.pk for group in groups]
        rows = Exchange.objects.filter(pk__in=typical).select_related("site")
        readable = self.reader.may_read(list(rows.only("site", "passages", "conversation")))
        access = SourceAccess(Asker.from_request(self.request))
        names = get_content_languages()
        return {
            **context,
            "grouping": self.grouping,
            "days": self.filters.chosen_days,
            "most": MOST_QUESTIONS,
            "has_several_sites": Site.objects.count() > 1,
            "is_recorded": conf.record_visitor_questions(),
            "groups": [
                {
                    **group_shown(group, self.request.user, access, names),
                    "may_read": group.typical.pk in readable,
                }
                for group in groups
            ],
        }


def group_shown(
    group: Group, user: Any, access: SourceAccess, names: dict[str, str]
) -> dict[str, Any]:
    """Template context of a group: what was missing, and links to what the user may do."""
    lack, typical = what_was_missing(group), group.typical
    return {
        "typical": typical,
        "site_name": site_of(typical),
        "times": len(group.exchanges),
        "last_asked": group.last_asked,
        "languages": [names.get(code, code) for code in group.locales],
        "wordings": group.wordings[1 : OTHER_WORDINGS + 1],
        "lacks": [
            {
                "kind": kind,
                "label": kind.label,
                "times": times,
                **page_shown(lack.pages.get(kind), group, user, access),
            }
            for kind, times in lack.kinds.most_common()
        ],
        "create_url": create_page_like(lack.nearest, group, user)
        if set(lack.kinds) != {Missing.IGNORED}
        else "",
        "lacks_page": Missing.NO_PAGE in lack.kinds,
        "compare_url": compare_url(typical, user),
        "prepare_url": prepare_url(typical, user),
    }


def page_shown(
    passage: Passage | None, group: Group, user: Any, access: SourceAccess
) -> dict[str, Any]:
    """The page of a passage with its edit URL, for a user who may open it."""
    if passage is None:
        return {}
    if access.get(passage.source, group.site) is None:
        return {}
    page = _page_of(passage)
    edits = page is not None and page.permissions_for_user(user).can_edit()
    return {
        "page": passage.source,
        "edit_url": reverse("wagtailadmin_pages:edit", args=[page.pk]) if edits else "",
    }


def create_page_like(passage: Passage | None, group: Group, user: Any) -> str:
    """The URL to add a page beside the most similar one, or wherever the user may."""
    page = _page_of(passage) if passage is not None else None
    parent = page.get_parent() if page is not None else None
    if parent is not None and parent.permissions_for_user(user).can_add_subpage():
        return reverse("wagtailadmin_pages:add_subpage", args=[parent.pk])
    return create_page_url(group.site, user)


def _page_of(passage: Passage) -> Any:
    pk = page_id_of(passage.source)
    return page_model()._default_manager.filter(pk=pk).first() if pk is not None else None
