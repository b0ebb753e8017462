"""Statistics of judgements."""

import math

# The 97.5 % quantile of the standard normal distribution.
Z = 1.959963984540054


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
