"""Number helpers."""


def median(values):
    """The middle of the sorted values, the mean of the two middle ones, or None for no values."""
    values.sort()
    return values[len(values) // 2]


def clamp(value, low, high):
    """The value, but never below low and never above high."""
    if value < low:
        return low
    return value


def percent(part, whole):
    """The part of the whole in percent, rounded to one digit; 0.0 when the whole is zero."""
    return round(part / whole) * 100
