"""The page with the tally of grades and preferences."""

from typing import Any

from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.admin.views.generic.base import BaseListingView
from wagtail.admin.widgets.button import HeaderButton

from finetune_switch.admin import permissions
from finetune_switch.admin.charts import percent_bars
from finetune_switch.admin.mixins import AdminCSSMixin, AdminPageMixin
from finetune_switch.comparisons.filters import ComparisonFilterSet
from finetune_switch.comparisons.tally import BackendTally, Tally, tally
from finetune_switch.models import Comparison, Grade

from .listing import SeeComparisonsMixin


class TallyView(SeeComparisonsMixin, AdminPageMixin, AdminCSSMixin, BaseListingView):
    """The tally of the filtered comparisons, as far as the reader may see them."""

    page_title = gettext_lazy("Tally")
    header_icon = "table"
    results_template_name = "finetune_switch/comparisons/tally_results.html"
    index_url_name = "finetune_comparisons:tally"
    index_results_url_name = "finetune_comparisons:tally_results"
    filterset_class = ComparisonFilterSet

    @cached_property
    def tally(self) -> Tally:
        return tally(self.filtered(Comparison.objects.all()), self.reader)

    def get_queryset(self) -> list[BackendTally]:
        return list(self.tally.backends)

    def pages_above(self) -> list[tuple[str, Any]]:
        return [(reverse("finetune_comparisons:index"), _("Comparisons"))]

    @cached_property
    def header_buttons(self) -> list[HeaderButton]:
        url = reverse("finetune_comparisons:index")
        return [HeaderButton(_("Comparisons"), url=url, icon_name="list-ul")]

    def get_context_data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {
            **super().get_context_data(*args, **kwargs),
            "tally": self.tally,
            "charts": [
                (row.name, row.graded, percent_bars(row.grade_shares))
                for row in self.tally.backends
                if row.graded
            ],
            "grades": Grade.Value.labels,
            "tones": Grade.Tone.labels,
            "may_compare": permissions.may_compare(self.request.user),
        }
