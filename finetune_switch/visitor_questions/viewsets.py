from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext_lazy
from wagtail.admin.menu import MenuItem
from wagtail.admin.viewsets.base import ViewSet

from finetune_switch.admin import permissions
from finetune_switch.admin.menu_items import shown_to

from .views.detail import VisitorExchangeView
from .views.listing import VisitorQuestionsView
from .views.unanswered import UnansweredView


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
    """The menu item among Wagtail's reports."""
    return shown_to(permissions.may_see_visitors_questions)(
        VisitorQuestionsViewSet.menu_label,
        reverse("finetune_visitor_questions:index"),
        name="finetune-visitors-questions",
        icon_name=VisitorQuestionsViewSet.icon,
    )
