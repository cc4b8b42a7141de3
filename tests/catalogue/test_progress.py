"""What people are told of a run."""

from server.catalogue.progress import WINDOW, Meter


def test_counts_speed_and_time_left() -> None:
    meter = Meter(total=10, there=2, now=100.0)
    assert meter.line(100.0) == ("2/10 songs · 0.0 s of audio a second · 2 were there · 0 failed · "
                                 "begins")
    meter.add(60.0, 110.0)
    meter.add(60.0, 110.0, same=True)
    meter.fail()
    assert meter.done == 5
    assert meter.speed(110.0) == 6.0
    assert meter.seconds_left(110.0) == 10 / 3 * 5
    assert meter.line(110.0) == ("5/10 songs · 6.0 s of audio a second · 2 were there · 1 the same "
                                 "as others · 1 failed · 0:17 left")


def test_speed_forgets_what_is_long_ago() -> None:
    meter = Meter(total=10, there=0, now=0.0)
    meter.add(600.0, 10.0)
    assert meter.speed(60.0) == 10.0
    assert meter.speed(10.0 + WINDOW) == 600.0 / WINDOW
    assert meter.speed(11.0 + WINDOW) == 0.0


def test_hours_are_told() -> None:
    meter = Meter(total=1001, there=0, now=0.0)
    meter.add(1.0, 10.0)
    assert meter.line(10.0).endswith("2:46:40 left")
