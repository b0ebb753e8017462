"""Statistics of judgements."""

import math
from collections import Counter
from collections.abc import Iterable

# The 97.5 % quantile of the standard normal distribution.
Z = 1.959963984540054
# More questions than this are not estimated.
MOST_NEEDED = 1000


def wilson_interval(wins: int, trials: int) -> tuple[float, float] | None:
    """The 95 % Wilson score interval of a proportion, valid for few trials and extreme shares.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal
    of the American Statistical Association 22 (1927), pages 209-212.
    """
    if not trials:
        return None
    share, weight = wins / trials, Z * Z / trials
    centre = (share + weight / 2) / (1 + weight)
    reach = Z * math.sqrt(share * (1 - share) / trials + weight / (4 * trials)) / (1 + weight)
    return max(0.0, centre - reach), min(1.0, centre + reach)


def log_e_value(wins: float, losses: float) -> float:
    """The natural logarithm of the e-value against "both are equally good".

    ``wins`` and ``losses`` count the questions on which only one of two models had the property,
    such as being right. The e-value is ¾ · twopoint(0.7) + ¼ · twopoint(0.95), where twopoint(q) is
    the mean of the likelihood ratios of "the first has it with probability q" and "the second has".
    It may be looked at after every question: for equally good models the chance that it ever
    reaches 1 / α is at most α (Ville's inequality).
    """
    return _log_sum(
        math.log(weight / 2) + first * math.log(2 * q) + second * math.log(2 - 2 * q)
        for q, weight in ((0.7, 0.75), (0.95, 0.25))
        for first, second in ((wins, losses), (losses, wins))
    )


def e_value(wins: float, losses: float) -> float:
    """The e-value of :func:`log_e_value`; infinite where it is too large for a float."""
    try:
        return math.exp(log_e_value(wins, losses))
    except OverflowError:
        return math.inf


def _log_sum(logarithms: Iterable[float]) -> float:
    terms = list(logarithms)
    largest = max(terms)
    return largest + math.log(sum(math.exp(term - largest) for term in terms))


def questions_needed(wins: int, losses: int, asked: int, threshold: float) -> int | None:
    """How many more questions reach the threshold if they turn out as those asked so far.

    ``None`` where that takes more than :data:`MOST_NEEDED`, or where nothing differs yet.
    """
    if not asked or wins == losses:
        return None
    needed = math.log(threshold)

    def reaches(more: int) -> bool:
        scale = (asked + more) / asked
        return log_e_value(wins * scale, losses * scale) >= needed

    return next((more for more in range(1, MOST_NEEDED + 1) if reaches(more)), None)


def cohen_kappa(pairs: Iterable[tuple[str, str]]) -> float | None:
    """Cohen's κ of two judges; ``None`` without pairs, or where chance explains all agreement.

    J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological
    Measurement 20 (1960), pages 37-46.
    """
    counted = Counter(pairs)
    total = counted.total()
    if not total:
        return None
    first: Counter[str] = Counter()
    second: Counter[str] = Counter()
    for (one, other), times in counted.items():
        first[one] += times
        second[other] += times
    observed = sum(times for (one, other), times in counted.items() if one == other) / total
    expected = sum(first[value] * second[value] for value in first) / total**2
    return None if expected == 1 else (observed - expected) / (1 - expected)
