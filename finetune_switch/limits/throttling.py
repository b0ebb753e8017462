"""How much visitors may ask: each of them, all of a site, and at once."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass

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
# A slot is held a little longer than its answer may take.
SLOT_GRACE_SECONDS = 30
# After which a visitor may try again where too many are being answered.
BUSY_SECONDS = 5

_warned_of_proxy = False


@dataclass(frozen=True)
class Admission:
    """A question that no limit stops. ``release`` is to be called once it has been answered.

    ``visitor`` is the hash of who asked, empty where the cache could not keep its salt.
    ``is_used_up`` says that the site's budget is, and that no model is to be asked.
    """

    visitor: str
    is_used_up: bool
    release: Callable[[], None]


def admit(request: HttpRequest, site: Site | None, *, seconds: float) -> Admission:
    """Count a visitor's question that may take so many seconds.

    Raises :class:`~finetune_switch.exceptions.Refused` where a limit stops it.
    """
    visitor = visitor_hash(request)
    site_id = site.pk if site else 0
    release = _take_stream(site_id, seconds)
    try:
        if visitor:
            _count_visitor(visitor, site_id)
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


def _count_visitor(visitor: str, site_id: int) -> None:
    limits, now = conf.visitors(), budgets.local_now()
    if limits.questions_a_minute is not None:
        minute, passed = divmod(now.timestamp(), MINUTE)
        rest = int(MINUTE - passed) + 1
        count = raise_count(cache_key(site_id, "minute", int(minute), visitor), rest)
        if count is not None and count > limits.questions_a_minute:
            sentence = ngettext(
                "You have asked many questions in a short time. Ask again in %d second.",
                "You have asked many questions in a short time. Ask again in %d seconds.",
                rest,
            )
            raise _too_many(sentence % rest, rest)
    if limits.questions_a_day is not None:
        rest = budgets.seconds_until_tomorrow(now)
        count = raise_count(cache_key(site_id, "day", now.date().isoformat(), visitor), rest)
        if count is not None and count > limits.questions_a_day:
            raise _too_many(
                _("You have asked as many questions as can be answered in one day."), rest
            )


def _too_many(message: str, retry_after: int) -> Refused:
    return Refused(message, code="too_many", status=429, retry_after=retry_after)


def visitor_hash(request: HttpRequest) -> str:
    """What stands for a visitor today, and for nobody tomorrow: a hash of their account or address.

    Its salt is made by chance each day, kept in the cache alone, and forgotten with the day. Empty
    where the cache cannot keep it.
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
    """Who counts as one visitor: an account, an address, or a network of IPv6."""
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        return f"user {user.pk}"
    return f"address {_network(address_of(request))}"


def address_of(request: HttpRequest) -> str:
    """Where the request came from, as far as ``TRUSTED_PROXIES`` lets it be believed."""
    proxies = conf.visitors().trusted_proxies
    direct = request.META.get("REMOTE_ADDR", "")
    forwarded = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",")]
    if not any(forwarded):
        return direct
    if not proxies:
        _warn_of_proxy(direct)
        return direct
    # Each proxy adds whom it was asked by; what stands before these anybody can have written.
    return forwarded[-proxies] if proxies <= len(forwarded) else forwarded[0]


def _network(address: str) -> str:
    """A provider gives a household a whole /64 of IPv6. What is no address stays as it is."""
    if address.startswith("["):
        address = address[1:].partition("]")[0]
    elif address.count(":") == 1:
        # Some proxies write the port as well, which is another one for each connection.
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
    """Behind a proxy that nobody declared all visitors look like one, and share one limit."""
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
