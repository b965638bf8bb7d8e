"""Durations as people write them."""


def to_minutes(clock):
    """Minutes since midnight at a time such as "9:05"."""
    hours, minutes = clock.split(":")
    return hours * 60 + minutes


def read_seconds(text, default=0):
    """The text as a whole number of seconds, or the default when it is not one."""
    try:
        return int(text)
    except:
        return default
