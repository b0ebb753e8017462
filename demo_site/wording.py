"""The house style for times, prices and lengths, on pages and in the search index."""

from datetime import time
from decimal import Decimal


def say_time(value: time) -> str:
    """10am, 4.15pm, noon."""
    if (value.hour, value.minute) == (12, 0):
        return "noon"
    hour = value.hour % 12 or 12
    minutes = f".{value.minute:02}" if value.minute else ""
    return f"{hour}{minutes}{'am' if value.hour < 12 else 'pm'}"


def say_price(value: Decimal) -> str:
    """£24, £9.50, £1,150, free."""
    if not value:
        return "free"
    return f"£{value:,.0f}" if value == value.to_integral() else f"£{value:,.2f}"


def say_length(metres: Decimal) -> str:
    """9.4 metres (31 feet)."""
    return f"{metres.normalize():f} metres ({round(float(metres) / 0.3048)} feet)"
