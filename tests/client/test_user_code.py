"""Code of the user's own that is called on the way: whatever it raises is one row's or one call's error."""

from __future__ import annotations

import asyncio
import threading
import warnings
from contextlib import closing

import polars as pl
import pydantic
import pytest

from qwennb import Qwen
from qwennb.cache import Name, Store, Writer
from qwennb.catalog import TokenCounter, estimate_tokens
from qwennb.client import Bridge, QwenWarning, Runtime, Session
from qwennb.errors import CallbackFailed, QwenError, ValidatorFailed
from qwennb.notebook.interpolated import read_value


class BrokenWords(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


ERRORS: dict[str, BaseException] = {
    "KeyError": KeyError("Atlantis"),
    "TypeError": TypeError("no"),
    "ExceptionGroup": ExceptionGroup("several", [ValueError("one"), KeyError("two")]),
    "BaseExceptionGroup": BaseExceptionGroup("several", [KeyboardInterrupt()]),
    "SystemExit": SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "GeneratorExit": GeneratorExit(),
    "StopIteration": StopIteration("end"),
    "StopAsyncIteration": StopAsyncIteration(),
    "CancelledError": asyncio.CancelledError(),
    "RecursionError": RecursionError("deep"),
    "MemoryError": MemoryError(),
    "BaseException": BaseException("base"),
    "an error without words": BrokenWords(),
}


def person(error: BaseException, bad: int = 13) -> type[pydantic.BaseModel]:
    class Person(pydantic.BaseModel):
        age: int

        @pydantic.field_validator("age")
        @classmethod
        def look(cls, age: int) -> int:
            if age == bad:
                raise error
            return age

    return Person


def ages(asked) -> str:
    """The number in the question, as the age."""
    return f'{{"age": {"".join(c for c in asked.text if c.isdigit()) or 0}}}'


@pytest.mark.parametrize("name", ERRORS)
def test_whatever_a_validator_raises_is_its_own_rows_error(simulate, client, name):
    sim = simulate(script=ages)
    qwen = client(sim)
    table = pl.DataFrame({"n": range(10, 20)})
    made = table.qwen.ask(
        "Age {{ n }}", into="who", client=qwen, schema=person(ERRORS[name]), on_error="column", meta=True
    )
    assert made.filter(pl.col("n") != 13)["who"].null_count() == 0
    (said,) = made["who_error"].drop_nulls()
    assert said.startswith("ValidatorFailed: ") and type(ERRORS[name]).__name__ in said
    assert made["who_meta"].struct.field("attempts").to_list() == [1] * 10, "nobody asks again for a bug"
    assert str(qwen.ask("Why 1?")), "the loop lives"


@pytest.mark.parametrize("name", ERRORS)
def test_whatever_a_validator_raises_is_its_own_calls_error(simulate, client, name):
    sim = simulate(script=ages)
    qwen = client(sim)
    with pytest.raises(ValidatorFailed, match=r"test_user_code\.py, line \d+"):
        qwen.ask("Age 13", schema=person(ERRORS[name]))
    good, bad = qwen.ask_many(["Age 12", "Age 13"], schema=person(ERRORS[name]))
    assert good.data.age == 12 and isinstance(bad.error, ValidatorFailed)
    assert asyncio.run(qwen.ask_async("Age 14", schema=person(ERRORS[name]))).data.age == 14
    with pytest.raises(ValidatorFailed):
        asyncio.run(qwen.ask_async("Age 13", schema=person(ERRORS[name])))
    with pytest.raises(ValidatorFailed):
        _ = qwen.stream("Age 13", schema=person(ERRORS[name])).answer
    assert qwen.ask("Age 15", schema=person(ERRORS[name])).data.age == 15


@pytest.mark.parametrize("name", ["KeyError", "ExceptionGroup", "SystemExit", "GeneratorExit"])
def test_a_known_answer_on_which_a_validator_breaks_is_not_paid_for_again(simulate, client, name):
    sim = simulate(script=ages)
    qwen = client(sim)
    table = pl.DataFrame({"n": range(10, 20)})
    table.qwen.ask("Age {{ n }}", client=qwen, schema=person(ValueError(), bad=0))
    asked = sim.ledger.count("asked")
    broken = person(ERRORS[name])
    made = table.qwen.ask("Age {{ n }}", into="who", client=qwen, schema=broken, on_error="column")
    assert made["who"].null_count() == 1 and "ValidatorFailed" in made["who_error"].drop_nulls()[0]
    answers = qwen.ask_many([f"Age {n}" for n in range(10, 20)], schema=broken)
    assert [isinstance(a.error, ValidatorFailed) for a in answers] == [n == 13 for n in range(10, 20)]
    with pytest.raises(ValidatorFailed):
        qwen.ask("Age 13", schema=broken)
    with pytest.raises(ValidatorFailed):
        qwen.ask("Age 13", schema=broken, cache="replay")
    assert sim.ledger.count("asked") == asked


def test_a_serializer_that_raises_is_its_own_rows_error(simulate, client):
    class Person(pydantic.BaseModel):
        age: int

        @pydantic.field_serializer("age")
        def write(self, age: int) -> int:
            if age == 13:
                raise SystemExit(1)
            return age

    qwen = client(simulate(script=ages))
    table = pl.DataFrame({"n": range(10, 20)})
    for _ in ("live", "from memory"):
        made = table.qwen.ask("Age {{ n }}", client=qwen, schema=Person, on_error="column")
        assert made["answer"].null_count() == 1 and "SystemExit" in made["answer_error"].drop_nulls()[0]


def test_a_validator_that_complains_is_still_asked_again(simulate, client):
    sim = simulate(script=['{"age": 13}', '{"age": 14}'])
    assert client(sim).ask("How old?", schema=person(ValueError("too young"))).data.age == 14


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("name", ["KeyError", "ExceptionGroup", "SystemExit", "GeneratorExit"])
def test_what_a_progress_function_raises_is_the_calls_error_and_answers_stay(simulate, client, name, lazy):
    sim = simulate()
    qwen = client(sim)

    def progress(_: object) -> None:
        raise ERRORS[name]

    table = pl.DataFrame({"n": range(5)})
    with pytest.raises(CallbackFailed, match=f"progress= raised {name}"):
        if lazy:
            table.lazy().qwen.ask("Say {{ n }}", client=qwen, progress=progress).collect()
        else:
            table.qwen.ask("Say {{ n }}", client=qwen, progress=progress)
    assert table.qwen.ask("Say {{ n }}", client=qwen)["answer"].null_count() == 0


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(1), ExceptionGroup("x", [KeyError()])])
def test_what_an_ai_repr_raises_is_the_cells_error(error):
    class Told:
        def _ai_repr_(self) -> str:
            raise error

    with pytest.raises(CallbackFailed, match="`_ai_repr_` of Told raised"):
        read_value(Told())


def test_a_loop_survives_what_kills_loops():
    bridge = Bridge()

    async def die() -> None:
        raise SystemExit(1)

    async def live() -> int:
        return 1

    for error in (SystemExit, KeyboardInterrupt, GeneratorExit):

        async def raise_it(kind: type[BaseException] = error) -> None:
            raise kind

        with pytest.raises(QwenError, match=error.__name__):
            bridge.run(raise_it())
        bridge.loop.call_soon_threadsafe(lambda kind=error: (_ for _ in ()).throw(kind()))
        assert bridge.run(live()) == 1


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError])
def test_the_writer_survives_whatever_is_raised_on_its_thread(tmp_path, error):
    def die(*_: object) -> None:
        raise error

    said: list[BaseException | None] = []
    with Store(tmp_path / "cache") as store, closing(Writer(store)) as writer:
        name = Name("0" * 64, "openrouter")
        writer.put(name, b"one", die)
        writer.run(die, said.append)
        writer.run(lambda _: None, die)
        writer.put(name, b"two", said.append)
        assert writer.flush(10)
        assert isinstance(said[0], error) and said[1] is None
        assert store.get(name) == b"two"


def test_a_text_that_breaks_the_counter_is_counted_by_estimate():
    class PanicException(BaseException):
        """As a library in Rust raises it."""

    def break_on_long(text: str) -> int:
        if len(text) > 10:
            raise PanicException("the stack overflowed")
        return 1

    counter = TokenCounter(lambda: break_on_long)
    assert counter.count("short").exact
    assert counter.count("a much longer text") == estimate_tokens("a much longer text")


def test_a_vocabulary_that_can_not_be_loaded_leaves_the_estimate():
    def load() -> None:
        raise OSError("no such file")

    counter = TokenCounter(load)
    assert [counter.count("text").exact for _ in range(2)] == [False, False]


# ---------------------------------------------------------------------- a loop that stands still


@pytest.fixture
def hurried(simulate, tmp_path):
    shared_runtime = Runtime({}, bridge=Bridge(told_after=0.5, given_up_after=2.0))

    def make(sim) -> Qwen:
        """A client whose bridge loses its patience soon."""
        settings = {
            "endpoint": f"openrouter+{sim.base_url}",
            "api_key": "sk-sim",
            "cache_dir": tmp_path / "cache",
        }
        made = Qwen()
        made.session = Session(settings, lambda: shared_runtime)
        return made

    yield make
    shared_runtime.close()


def sleeper(until: threading.Event) -> type[pydantic.BaseModel]:
    class Sleeper(pydantic.BaseModel):
        age: int

        @pydantic.field_validator("age")
        @classmethod
        def sleep_for_ever(cls, age: int) -> int:
            until.wait(60)
            return age

    return Sleeper


DOORS = {
    "ask": lambda qwen, schema: qwen.ask("Age 13", schema=schema),
    "ask_async": lambda qwen, schema: asyncio.run(qwen.ask_async("Age 13", schema=schema)),
    "stream": lambda qwen, schema: qwen.stream("Age 13", schema=schema).answer,
    "ask_many": lambda qwen, schema: qwen.ask_many(["Age 13", "Age 14"], schema=schema),
    "column": lambda qwen, schema: pl.DataFrame({"n": [13, 14]}).qwen.ask(
        "Age {{ n }}", client=qwen, schema=schema
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS)
def test_a_loop_that_a_validator_holds_up_is_told_to_who_waits_and_given_up(simulate, hurried, door):
    qwen, awake = hurried(simulate(script=ages)), threading.Event()
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            with pytest.raises(CallbackFailed, match=r"`sleep_for_ever` \(test_user_code\.py, line \d+\)"):
                DOORS[door](qwen, sleeper(awake))
        said = [str(one.message) for one in told if issubclass(one.category, QwenWarning)]
        assert len(said) == 1 and "sleep_for_ever" in said[0]
        assert qwen.ask("Why 1?").text, "what comes later is answered"
    finally:
        awake.set()


@pytest.mark.slow
def test_a_validator_that_only_takes_a_while_is_waited_for(simulate, hurried):
    qwen, awake = hurried(simulate(script=ages)), threading.Event()
    told = []

    def wake(message, *where):
        told.append(str(message))
        awake.set()

    with warnings.catch_warnings():
        warnings.simplefilter("always", QwenWarning)
        warnings.showwarning = wake
        assert qwen.ask("Age 13", schema=sleeper(awake)).data.age == 13
    assert len(told) == 1 and "sleep_for_ever" in told[0]
