"""The plugin's part of the admin's menu."""

from __future__ import annotations

from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext_lazy
from wagtail.admin.menu import MenuItem
from wagtail.admin.viewsets.base import ViewSet, ViewSetGroup

from .admin import permissions
from .admin.menu_items import shown_to
from .comparisons.viewsets import CompareViewSet, ComparisonsViewSet
from .evaluation.viewsets import QuestionSetViewSet, QuestionViewSet
from .index.viewsets import IndexViewSet
from .prepared.viewsets import PreparedAnswerViewSet
from .switching.viewsets import ChatBackendViewSet, SwitchViewSet
from .views.unanswered import UnansweredView
from .views.visitor_exchange import VisitorExchangeView
from .views.visitor_questions import VisitorQuestionsView


class VisitorQuestionsViewSet(ViewSet):
    name = "finetune_visitor_questions"
    url_prefix = "finetune/visitor-questions"
    menu_label = gettext_lazy("Visitors' questions")
    menu_icon = icon = "help"
    menu_item_class = shown_to(permissions.may_see_visitors_questions)

    def get_urlpatterns(self) -> list[URLPattern]:
        rows, groups = VisitorQuestionsView, UnansweredView
        return [
            path("", rows.as_view(), name="index"),
            path("results/", rows.as_view(results_only=True), name="index_results"),
            path("unanswered/", groups.as_view(), name="unanswered"),
            path(
                "unanswered/results/",
                groups.as_view(results_only=True),
                name="unanswered_results",
            ),
            path("<uuid:pk>/", VisitorExchangeView.as_view(), name="exchange"),
        ]


def visitors_questions_report() -> MenuItem:
    """The same among Wagtail's own reports."""
    return shown_to(permissions.may_see_visitors_questions)(
        VisitorQuestionsViewSet.menu_label,
        reverse("finetune_visitor_questions:index"),
        name="finetune-visitors-questions",
        icon_name=VisitorQuestionsViewSet.icon,
    )


class FinetuneSwitchGroup(ViewSetGroup):
    menu_label = gettext_lazy("AI answers")
    menu_icon = "finetune-switch"
    menu_order = 250
    items = (
        CompareViewSet,
        ComparisonsViewSet,
        VisitorQuestionsViewSet,
        SwitchViewSet,
        QuestionViewSet,
        QuestionSetViewSet,
        PreparedAnswerViewSet,
        ChatBackendViewSet,
        IndexViewSet,
    )
