from textkit.numbers import clamp, median, percent


def test_median_of_an_odd_count():
    assert median([3, 1, 2]) == 2


def test_median_of_an_even_count():
    assert median([4, 1, 3, 2]) == 2.5


def test_median_of_nothing():
    assert median([]) is None


def test_clamp_below_and_above():
    assert clamp(-5, 0, 10) == 0
    assert clamp(50, 0, 10) == 10


def test_percent_keeps_one_digit():
    assert percent(1, 3) == 33.3


def test_percent_of_zero():
    assert percent(1, 0) == 0.0
