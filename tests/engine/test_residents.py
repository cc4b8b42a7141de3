"""Which models stay: the least recently used leave, idle ones too, busy ones and one never."""

from server.engine.residents import Residents


def test_the_least_recently_used_leave_for_another() -> None:
    models = Residents(most=3, idle_s=0, stay=["home"])
    for now, name in enumerate(["home", "a", "b"]):
        assert models.surplus(busy=()) == []
        models.use([name], now)
    assert models.surplus(()) == ["a"]
    models.use(["a"], 3)
    assert models.surplus(()) == ["b"], "it was used before a"
    assert models.surplus({"b"}) == ["a"], "songs are going through b"
    assert models.surplus({"a", "b"}) == [], "then there are more than there should be"
    models.leave("b")
    assert models.surplus(()) == []


def test_too_many_leave_at_once_when_they_can() -> None:
    models = Residents(most=2, idle_s=0, stay=["home"])
    models.use(["home", "a", "b", "c"], 0)
    assert models.surplus({"a", "b", "c"}) == []
    assert len(models.surplus(())) == 3
    assert Residents(most=1, idle_s=0, stay=["home"]).surplus(()) == []


def test_idle_ones_leave_after_their_time() -> None:
    models = Residents(most=9, idle_s=10, stay=["home"])
    models.use(["home", "a"], 0)
    models.use(["b"], 4)
    assert models.next_idle(1) == 9
    assert models.idle((), 9.9) == []
    assert models.idle((), 10) == ["a"]
    assert models.idle({"a"}, 12) == [], "a song still goes through it"
    models.leave("b")
    assert models.next_idle(12) == 10, "its time begins when the song has gone"
    assert models.idle((), 22) == ["a"]
    models.leave("a")
    assert models.next_idle(30) is None and models.idle((), 1e9) == []


def test_never() -> None:
    models = Residents(most=9, idle_s=0, stay=["home"])
    models.use(["a"], 0)
    assert models.next_idle(1e9) is None and models.idle((), 1e9) == []
