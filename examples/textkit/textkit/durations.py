"""Durations as people write them."""


def to_seconds(clock):
    """Seconds of a clock time such as "1:02:05" or "2:05"."""
    seconds = 0
    for part in clock.split(":"):
        seconds += int(part) * 60
    return seconds


def read_seconds(text, default=0):
    """The text as a whole number of seconds, or the default when it is not one."""
    try:
        return int(text)
    except:
        return default
