"""Rate limits for visitors: questions, searches and feedback, for each visitor and each site."""

import hashlib
import ipaddress
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from wagtail.models import Site

from finetune_switch import conf
from finetune_switch.exceptions import Refused

from . import budgets
from .counters import cache_key, raise_count, shared_cache, take_slot, warn

logger = logging.getLogger("finetune_switch.throttling")

MINUTE = 60
# A search or a feedback costs a fraction of an answer, so each limit on questions allows this many
# times as many of them.
REQUESTS_FOR_EACH_QUESTION = 10
# A slot outlives the deadline of its answer by this much.
SLOT_GRACE_SECONDS = 30
# The Retry-After of a visitor who finds all slots taken.
BUSY_SECONDS = 5

_warned_of_proxy = False


@dataclass(frozen=True)
class Admission:
    """A question within the limits. Call ``release`` once it has been answered.

    ``visitor`` is the hash of the visitor, empty if the cache could not keep its salt. If
    ``is_used_up``, the site's budget is used up and no model may be asked.
    """

    visitor: str
    is_used_up: bool
    release: Callable[[], None]


def admit(request: HttpRequest, site: Site | None, *, seconds: float) -> Admission:
    """Count a visitor's question, whose answer takes at most this many seconds.

    Raises :class:`~finetune_switch.exceptions.Refused` if it is over a limit.
    """
    visitor = visitor_hash(request)
    site_id = site.pk if site else 0
    release = _take_stream(site_id, seconds)
    try:
        if visitor:
            _count_question(visitor, site_id)
        used_up = budgets.count_question(site_id)
        if used_up and conf.visitors().when_used_up == "search":
            raise Refused(
                _("No more questions can be answered for now. You can search the pages."),
                code="budget",
                status=503,
                retry_after=used_up.seconds_left,
            )
    except BaseException:
        release()
        raise
    return Admission(visitor, used_up is not None, release)


def count_request(request: HttpRequest, site: Site | None, kind: str) -> None:
    """Count a visitor's request of this kind, ``"search"`` or ``"feedback"``.

    Its limits are those on questions times :data:`REQUESTS_FOR_EACH_QUESTION`, and each kind has a
    count of its own. Raises :class:`~finetune_switch.exceptions.Refused` if it is over a limit.
    """
    limits, site_id = conf.visitors(), site.pk if site else 0
    if visitor := visitor_hash(request):
        if rest := _over_minute(kind, visitor, site_id, REQUESTS_FOR_EACH_QUESTION):
            sentence = ngettext(
                "Too many requests in a short time. Try again in %d second.",
                "Too many requests in a short time. Try again in %d seconds.",
                rest,
            )
            raise _too_many(sentence % rest, rest)
        if rest := _over_day(
            (site_id, kind, "day", visitor), limits.questions_a_day, REQUESTS_FOR_EACH_QUESTION
        ):
            raise _too_many(_("You have reached today's limit. Try again tomorrow."), rest)
    if rest := _over_day(
        (site_id, kind, "site"), limits.site_questions_a_day, REQUESTS_FOR_EACH_QUESTION
    ):
        raise Refused(
            _("This site has reached today's limit. Try again tomorrow."),
            code="budget",
            status=503,
            retry_after=rest,
        )


def _take_stream(site_id: int, seconds: float) -> Callable[[], None]:
    streams = conf.visitors().streams
    if streams is None:
        return lambda: None
    release = take_slot(f"{site_id}:stream", streams, seconds + SLOT_GRACE_SECONDS)
    if release is None:
        raise Refused(
            _("Many people are asking just now. Ask again in a moment."),
            code="busy",
            status=503,
            retry_after=BUSY_SECONDS,
        )
    return release


def _count_question(visitor: str, site_id: int) -> None:
    if rest := _over_minute("question", visitor, site_id):
        sentence = ngettext(
            "You have asked many questions in a short time. Ask again in %d second.",
            "You have asked many questions in a short time. Ask again in %d seconds.",
            rest,
        )
        raise _too_many(sentence % rest, rest)
    if rest := _over_day((site_id, "question", "day", visitor), conf.visitors().questions_a_day):
        raise _too_many(_("You have asked as many questions as can be answered in one day."), rest)


def _over_minute(kind: str, visitor: str, site_id: int, times: int = 1) -> int:
    """Count a request in this minute: the seconds until the next one if it is too many, else 0."""
    limit = conf.visitors().questions_a_minute
    minute, passed = divmod(budgets.local_now().timestamp(), MINUTE)
    rest = int(MINUTE - passed) + 1
    return _over((site_id, kind, "minute", int(minute), visitor), limit, times, rest)


def _over_day(key: tuple[Any, ...], limit: int | None, times: int = 1) -> int:
    """Count a request in this day: the seconds until tomorrow if it is too many, else 0."""
    now = budgets.local_now()
    rest = budgets.seconds_until_tomorrow(now)
    return _over((*key, now.date().isoformat()), limit, times, rest)


def _over(key: tuple[Any, ...], limit: int | None, times: int, seconds: int) -> int:
    if limit is None:
        return 0
    count = raise_count(cache_key(*key), seconds)
    return seconds if count is not None and count > limit * times else 0


def _too_many(message: str, retry_after: int) -> Refused:
    return Refused(message, code="too_many", status=429, retry_after=retry_after)


def visitor_hash(request: HttpRequest) -> str:
    """A hash of the visitor's account or address, valid for one day.

    Its salt is random, kept only in the cache, and replaced each day. Empty if the cache fails.
    """
    now = budgets.local_now()
    try:
        salt = shared_cache().get_or_set(
            cache_key("salt", now.date().isoformat()),
            lambda: secrets.token_hex(16),
            budgets.seconds_until_tomorrow(now),
        )
    except Exception as error:
        warn(error)
        return ""
    who = identity(request).encode()
    return hashlib.blake2b(who, key=str(salt).encode(), digest_size=16).hexdigest()


def identity(request: HttpRequest) -> str:
    """What counts as one visitor: an account, an IPv4 address, or a /64 network of IPv6."""
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        return f"user {user.pk}"
    return f"address {_network(address_of(request))}"


def address_of(request: HttpRequest) -> str:
    """The address that the request came from, through as many proxies as ``TRUSTED_PROXIES``."""
    proxies = conf.visitors().trusted_proxies
    direct = request.META.get("REMOTE_ADDR", "")
    forwarded = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",")]
    if not any(forwarded):
        return direct
    if not proxies:
        _warn_of_proxy(direct)
        return direct
    # Each proxy appends the address of its client. Entries before these may be forged.
    return forwarded[-proxies] if proxies <= len(forwarded) else forwarded[0]


def _network(address: str) -> str:
    """The address, or its /64 network if it is IPv6: providers give one to each household.

    A text that is not an address is returned unchanged.
    """
    if address.startswith("["):
        address = address[1:].partition("]")[0]
    elif address.count(":") == 1:
        # Some proxies add the port, which changes with each connection.
        address = address.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def _warn_of_proxy(direct: str) -> None:
    """Warn once of a proxy missing in ``TRUSTED_PROXIES``: all visitors then share one limit."""
    global _warned_of_proxy
    try:
        is_proxy = not direct or ipaddress.ip_address(direct).is_private
    except ValueError:
        is_proxy = True
    if is_proxy and not _warned_of_proxy:
        _warned_of_proxy = True
        logger.warning(
            "Visitors come through a proxy and all count as one. Set "
            'FINETUNE_SWITCH["VISITORS"]["TRUSTED_PROXIES"] to the number of your proxies.'
        )
