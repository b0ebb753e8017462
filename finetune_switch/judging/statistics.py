"""Statistics of judgements."""

from __future__ import annotations

import math

# Of a normal distribution, 95 % lies within so many standard deviations of its mean.
Z = 1.959963984540054


def wilson_interval(wins: int, trials: int) -> tuple[float, float] | None:
    """The 95 % score interval of a share, which holds for few trials and at either end.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal
    of the American Statistical Association 22 (1927), pages 209-212.
    """
    if not trials:
        return None
    share, weight = wins / trials, Z * Z / trials
    centre = (share + weight / 2) / (1 + weight)
    reach = Z * math.sqrt(share * (1 - share) / trials + weight / (4 * trials)) / (1 + weight)
    return max(0.0, centre - reach), min(1.0, centre + reach)
