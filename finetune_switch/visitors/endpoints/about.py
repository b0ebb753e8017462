"""Current facts for a widget on a page that is cached for everybody."""

from django.http import HttpRequest, JsonResponse
from django.utils.crypto import salted_hmac
from django.utils.translation import override
from wagtail.models import Site

from finetune_switch import conf
from finetune_switch.models import Switch
from finetune_switch.models.exchange import MAX_QUESTION_LENGTH
from finetune_switch.visitors.answering import page_language
from finetune_switch.visitors.notices import notice_text

from .guards import PRIVATE, visitor_endpoint


@visitor_endpoint("GET")
def about(request: HttpRequest) -> JsonResponse:
    """Whether questions are answered, and the notice. Query: ``locale``."""
    locale = page_language(request.GET.get("locale", ""))
    switch = Switch.for_question(Site.find_for_request(request))
    with override(locale):
        data = {
            "is_on": switch.answers_visitors,
            "notice": notice_text(switch, locale),
            "data_destination": switch.backend.data_destination,
            "is_recorded": conf.record_visitor_questions(),
            "max_length": conf.visitors().max_question_length or MAX_QUESTION_LENGTH,
            "reader": _reader(request),
        }
    return JsonResponse(data, headers=PRIVATE)


def _reader(request: HttpRequest) -> str:
    """A hash of the signed-in user, empty for others.

    A browser forgets the conversation it remembers when this changes.
    """
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return ""
    return salted_hmac("finetune_switch.reader", str(user.pk)).hexdigest()[:16]
