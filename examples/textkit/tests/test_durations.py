from textkit.durations import read_seconds, to_seconds


def test_to_seconds_of_minutes():
    assert to_seconds("2:05") == 125


def test_to_seconds_of_hours():
    assert to_seconds("1:02:05") == 3725


def test_read_seconds():
    assert read_seconds("12") == 12
    assert read_seconds("soon", default=5) == 5
