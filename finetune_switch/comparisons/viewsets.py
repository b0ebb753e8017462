from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy
from wagtail.admin.viewsets.base import ViewSet

from finetune_switch.admin import permissions
from finetune_switch.admin.menu_items import shown_to

from .views.compare import CompareView
from .views.detail import (
    AgainView,
    ColumnView,
    ComparisonView,
    GradeView,
    PreferView,
    RevealView,
    SaveQuestionView,
    StopView,
    StreamView,
)
from .views.listing import ComparisonDeleteView, ComparisonIndexView, SuggestionsView
from .views.tally import TallyView


class CompareViewSet(ViewSet):
    name = "finetune_compare"
    url_prefix = "finetune/compare"
    menu_label = gettext_lazy("Compare")
    menu_icon = icon = "view"
    menu_item_class = shown_to(permissions.may_compare)

    def get_urlpatterns(self) -> list[URLPattern]:
        column = "<uuid:pk>/<int:position>/"
        return [
            path("", CompareView.as_view(), name="index"),
            path("<uuid:pk>/", ComparisonView.as_view(), name="comparison"),
            path("<uuid:pk>/prefer/", PreferView.as_view(), name="prefer"),
            path("<uuid:pk>/save/", SaveQuestionView.as_view(), name="save_question"),
            path("<uuid:pk>/reveal/", RevealView.as_view(), name="reveal"),
            path(column, ColumnView.as_view(), name="column"),
            path(f"{column}stream/", StreamView.as_view(), name="stream"),
            path(f"{column}stop/", StopView.as_view(), name="stop"),
            path(f"{column}again/", AgainView.as_view(), name="again"),
            path(f"{column}grade/", GradeView.as_view(), name="grade"),
        ]


class ComparisonsViewSet(ViewSet):
    name = "finetune_comparisons"
    url_prefix = "finetune/comparisons"
    menu_label = gettext_lazy("Comparisons")
    menu_icon = icon = "table"
    menu_item_class = shown_to(permissions.may_see_comparisons)

    def get_urlpatterns(self) -> list[URLPattern]:
        rows, sums = ComparisonIndexView, TallyView
        return [
            path("", rows.as_view(), name="index"),
            path("results/", rows.as_view(results_only=True), name="index_results"),
            path("tally/", sums.as_view(), name="tally"),
            path("tally/results/", sums.as_view(results_only=True), name="tally_results"),
            path("suggestions/", SuggestionsView.as_view(), name="suggestions"),
            path("<uuid:pk>/delete/", ComparisonDeleteView.as_view(), name="delete"),
        ]
