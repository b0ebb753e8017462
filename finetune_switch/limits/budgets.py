"""Budgets of a site: questions of all its visitors in a day, and their cost in a month."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

from django.conf import settings
from django.core.cache.backends.locmem import LocMemCache
from django.db.models import Q, Sum
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from finetune_switch import conf
from finetune_switch.models import Exchange, Origin

from .counters import cache_key, raise_count, shared_cache, warn

logger = logging.getLogger("finetune_switch.throttling")

MICRO = 1_000_000
# Processes with a cache each take the sum of the record this often, so that each sees the costs of
# the others. They do so only if the record is complete. A shared counter is more exact: it includes
# the cost of answers that broke off.
SUM_SECONDS = 300
DAYS_OF_A_MONTH = 31


@dataclass(frozen=True)
class UsedUp:
    """A budget that is used up: of ``"questions"`` or of ``"dollars"``.

    ``since`` is when that was noticed, if the cache still knows.
    """

    of: str
    budget: float
    since: datetime | None
    seconds_left: int

    @property
    def sentence(self) -> str:
        """For editors: which budget it was, and what visitors get instead."""
        since = formats.date_format(self.since, "SHORT_DATETIME_FORMAT") if self.since else ""
        values = {"budget": formats.number_format(self.budget), "since": since}
        if self.of == "dollars":
            told = (
                _("This month's budget of $%(budget)s is used up (since %(since)s).")
                if self.since
                else _("This month's budget of $%(budget)s is used up.")
            )
        else:
            told = (
                _("Today's budget of %(budget)s questions is used up (since %(since)s).")
                if self.since
                else _("Today's budget of %(budget)s questions is used up.")
            )
        if conf.visitors().when_used_up == "search":
            instead = _("Visitors can search the pages, and get no answers.")
        else:
            instead = _("Visitors get sentences from the pages, and no model is asked.")
        return f"{told % values} {instead}"


def count_question(site_id: int) -> UsedUp | None:
    """Count a visitor's question, and return the budget that is used up, if any."""
    limits, now = conf.visitors(), local_now()
    if limits.site_questions_a_day is not None:
        seconds = seconds_until_tomorrow(now)
        count = raise_count(_questions_key(site_id, now), seconds)
        if count is not None and count > limits.site_questions_a_day:
            return _used_up("questions", limits.site_questions_a_day, site_id, now)
    return _dollars_used_up(site_id, now)


def used_up(site_id: int) -> UsedUp | None:
    """The budget that is used up now, if any, without counting."""
    limits, now = conf.visitors(), local_now()
    if limits.site_questions_a_day is not None:
        try:
            count = shared_cache().get(_questions_key(site_id, now)) or 0
        except Exception as error:
            warn(error)
            count = 0
        if count > limits.site_questions_a_day:
            return _used_up("questions", limits.site_questions_a_day, site_id, now)
    return _dollars_used_up(site_id, now)


def add_cost(site_id: int, cost: Decimal | None, *, is_recorded: bool) -> None:
    """Count the cost of an answer to a visitor, in US dollars.

    If the answer is recorded, call this after the record is written.
    """
    if not cost or conf.visitors().site_dollars_a_month is None:
        return
    now, micro = local_now(), math.ceil(cost * MICRO)
    raise_count(
        _dollars_key(site_id, now),
        _sum_seconds(now),
        micro,
        # The record may include this cost; it does not if the question was asked last month.
        start=lambda: max(0, _recorded(site_id, now) - (micro if is_recorded else 0)),
    )
    # Logs a used-up budget now, not with the next question.
    _dollars_used_up(site_id, now)


def _dollars_used_up(site_id: int, now: datetime) -> UsedUp | None:
    budget = conf.visitors().site_dollars_a_month
    if budget is None or _spent(site_id, now) < round(float(budget) * MICRO):
        return None
    return _used_up("dollars", budget, site_id, now)


def _spent(site_id: int, now: datetime) -> int:
    """Micro-dollars spent this month; if the cache fails, those in the record."""
    count: Callable[[], int] = partial(_recorded, site_id, now)
    try:
        spent = shared_cache().get_or_set(_dollars_key(site_id, now), count, _sum_seconds(now))
        return int(spent or 0)
    except Exception as error:
        warn(error)
        return count()


def _recorded(site_id: int, now: datetime) -> int:
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    of_site = Q(site=site_id) if site_id else Q(site=None)
    asked = Exchange.objects.filter(of_site, origin=Origin.SITE, opened_at__gte=month)
    return math.ceil((asked.aggregate(sum=Sum("cost"))["sum"] or 0) * MICRO)


def _sum_seconds(now: datetime) -> int:
    retention = conf.retention_days()
    is_whole = conf.record_visitor_questions() and (retention or DAYS_OF_A_MONTH) >= DAYS_OF_A_MONTH
    if is_whole and isinstance(shared_cache(), LocMemCache):
        return SUM_SECONDS
    return _seconds_until(_next_month(now), now)


def _used_up(of: str, budget: float, site_id: int, now: datetime) -> UsedUp:
    end = _tomorrow(now) if of == "questions" else _next_month(now)
    key = cache_key(site_id, "used-up", of, end.date().isoformat())
    since: datetime | None = None
    try:
        cache = shared_cache()
        is_news = cache.add(key, now.isoformat(), _seconds_until(end, now))
        since = datetime.fromisoformat(cache.get(key) or "") if not is_news else now
    except Exception as error:
        is_news = False
        warn(error)
    found = UsedUp(of, budget, since, _seconds_until(end, now))
    if is_news:
        logger.warning(
            "Site %s: the visitors' budget of %s %s is used up until %s.",
            site_id, f"{budget:g}", of, end.isoformat(timespec="minutes"),
        )  # fmt: skip
    return found


def _questions_key(site_id: int, now: datetime) -> str:
    return cache_key(site_id, "questions", now.date().isoformat())


def _dollars_key(site_id: int, now: datetime) -> str:
    return cache_key(site_id, "dollars", f"{now:%Y-%m}")


def local_now() -> datetime:
    """Now in ``TIME_ZONE``, which decides when a day and a month end."""
    return timezone.localtime() if settings.USE_TZ else timezone.now()


def seconds_until_tomorrow(now: datetime) -> int:
    return _seconds_until(_tomorrow(now), now)


def _tomorrow(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _next_month(now: datetime) -> datetime:
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)


def _seconds_until(then: datetime, now: datetime) -> int:
    return math.ceil(then.timestamp() - now.timestamp())
