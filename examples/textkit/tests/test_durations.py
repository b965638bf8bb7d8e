from textkit.durations import read_seconds, to_minutes


def test_to_minutes():
    assert to_minutes("2:05") == 125


def test_to_minutes_at_midnight():
    assert to_minutes("0:00") == 0


def test_read_seconds():
    assert read_seconds("12") == 12
    assert read_seconds("soon", default=5) == 5
