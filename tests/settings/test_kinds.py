"""Every kind of value: what is read, and the line that refuses the rest."""

from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.settings.reading import read, refusal, told
from trioworker.errors import SettingsError
from trioworker.model.batching import BatchPolicy, Fallback, Mode
from trioworker.model.bounds import TAG_BYTES_MAX
from trioworker.model.tags import Tags, unranked
from trioworker.settings import TABLE, Address, LogFormat, LogLevel, Setting
from trioworker.settings.kinds import SECONDS_MIN, TEXT_BYTES_MAX
from trioworker.worker.pull import IDLE_FIRST_S

BATCHES: Final = {"mode": "agent-batch"}
SPAN: Final = "give a number of seconds from 0.01 to 31536000"
PORT: Final = (
    "the port is not a number from 1 to 65535; in a password write / as %2F, ? as %3F, # as %23"
)

awkward: Final = st.one_of(
    st.text(),
    st.text(alphabet="~/:@#?[],=.-+e0123456789 _\n\0\udcff", max_size=20),
    st.floats().map(str),
    st.integers().map(str),
    st.text().map("postgresql://{}".format),
)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("database_url", "postgres://localhost", "postgres://localhost"),
        ("database_url", "postgresql:///jobs?host=/run", "postgresql:///jobs?host=/run"),
        ("database_url", "postgresql://a,[::1]:5433/jobs", "postgresql://a,[::1]:5433/jobs"),
        ("data_dir", "data/jobs", Path("data/jobs")),
        ("data_dir", "~/jobs", Path.home() / "jobs"),
        ("schema", "_jobs2", "_jobs2"),
        ("mode", "worker", Mode.WORKER),
        ("mode", "agent-batch", Mode.AGENT_BATCH),
        ("batch_pull_size", "1", 1),
        ("batch_commit_size", "10000", 10_000),
        ("batch_policy", "simple", BatchPolicy.SIMPLE),
        ("commit_fallback", "bisect", Fallback.BISECT),
        ("listen", "0.0.0.0:8600", Address("0.0.0.0", 8600)),  # noqa: S104 - read, not listened at
        ("listen", "[::1]:0", Address("::1", 0)),
        ("listen", " off ", Address("", 0)),
        ("api_key", "0123456789-._~+=", "0123456789-._~+="),
        ("agent_secret", "s" * 200, "s" * 200),
        ("tags", "mail", unranked("mail")),
        ("tags", " mail, ,bulk ,mail,", unranked("mail", "bulk")),
        ("tags", "é" * 60, unranked("é" * 60)),
        ("tags", "urgent=10,default", Tags(("urgent", "default"), (10, 0))),
        ("tags", " a = -32768 , b=+32767,a=-32768", Tags(("a", "b"), (-32_768, 32_767))),
        ("tags", "dedicated:etl/load.py=5", Tags(("dedicated:etl/load.py",), (5,))),
        ("tags", "a=b=0,=1=2", Tags(("a=b", "=1"), (0, 2))),
        ("concurrency", "10000", 10_000),
        ("poll_s", "0.01", 0.01),
        ("poll_s", " 1e1 ", 10.0),
        ("lease_s", "31536000", 31_536_000.0),
        ("reaped_max", "0", 0),
        ("grace_s", "0", 0.0),
        ("unknown_functions", "leave", "leave"),
        ("worker_name", "left-hand", "left-hand"),
        ("log_level", "debug", LogLevel.DEBUG),
        ("log_format", "json", LogFormat.JSON),
        ("log_statements", "1", True),
        ("log_statements", "Yes", True),
        ("log_statements", "off", False),
    ],
)
def test_what_fits_is_read(name: str, text: str, value: object) -> None:
    """A value that has the shape of its kind is read, from a flag and from a variable alike."""
    mode = {} if name == "mode" else BATCHES
    from_flag = read(mode | {name: text})
    from_variable = read(mode, **{TABLE[name].variable: text})

    assert getattr(from_flag, name) == value
    assert from_variable == from_flag


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("schema", "Jobs", "the schema name 'Jobs' will not do: use lower-case letters, digits"),
        ("schema", "jobs; --", "the schema name 'jobs; --' will not do: use lower-case letters"),
        ("schema", "2jobs", "the schema name '2jobs' will not do: use lower-case letters"),
        ("schema", "j" * 64, "at most 63, not beginning with a digit"),
        ("mode", "Worker", "--mode=Worker will not do; give one of standalone, server, worker"),
        ("batch_pull_size", "10001", "will not do; give a whole number from 1 to 10000"),
        ("batch_commit_size", "0", "will not do; give a whole number from 1 to 10000"),
        ("batch_policy", "", "--batch-policy= will not do; give one of full, simple"),
        ("commit_fallback", "halves", "will not do; give one of per-job, bisect"),
        ("tags", " , ", "--tags= ,  will not do; give one or more tags in UTF-8, separated by"),
        ("tags", "\udcff", r"--tags=\udcff will not do; give one or more tags in UTF-8"),
        ("tags", "urgent=", "the rank of the tag 'urgent' is ''; give a whole number from -32768"),
        ("tags", "urgent=high", "is 'high'; give a whole number from -32768 to 32767, or write"),
        ("tags", "a=b", "or write a=b=0 if that is a tag"),
        ("tags", "urgent=32768", "the rank of the tag 'urgent' is '32768'; give a whole number"),
        ("tags", "urgent=-32769", "the rank of the tag 'urgent' is '-32769'; give a whole number"),
        ("tags", "urgent=1.5", "the rank of the tag 'urgent' is '1.5'; give a whole number"),
        ("tags", "a=1,b,a=2", "the tag 'a' has two ranks, 1 and 2; drop one"),
        ("tags", "a,a=2", "the tag 'a' has two ranks, 0 and 2; drop one"),
        ("tags", "=10", "'=10' ranks no tag; write TAG=10"),
        ("tags", "é" * 61, "a tag of 122 bytes is too long; at most 120"),
        ("listen", "8600", "will not do; give an address such as 127.0.0.1:8600, or off"),
        ("listen", "here:65536", "will not do; give an address such as 127.0.0.1:8600, or off"),
        ("listen", "::1:80", "will not do; give an address such as 127.0.0.1:8600, or off"),
        ("concurrency", "many", "--concurrency=many will not do; give a whole number from 1 to"),
        ("concurrency", "1.5", "will not do; give a whole number from 1 to 10000"),
        ("poll_s", "0", SPAN),
        ("poll_s", "-1", SPAN),
        ("poll_s", "nan", SPAN),
        ("lease_s", "inf", SPAN),
        ("lease_s", "31536001", SPAN),
        ("grace_s", "-0.1", "give a number of seconds from 0 to 31536000"),
        ("unknown_functions", "ignore", "give one of fail, leave"),
        ("worker_name", "", "--worker-name= will not do; give text in UTF-8, at most 200 bytes"),
        ("worker_name", "n" * 201, "n… will not do; give text in UTF-8, at most 200 bytes"),
        ("worker_name", "\udcff", r"--worker-name=\udcff will not do; give text in UTF-8"),
        ("log_level", "INFO", "--log-level=INFO will not do; give one of debug, info, warning"),
        ("log_format", "xml", "--log-format=xml will not do; give one of auto, console, json"),
        ("data_dir", "", "--data-dir= will not do; give a folder"),
        ("data_dir", "~nobody-of-this-name/jobs", "there is no such user; write the folder"),
        ("data_dir", "a\0b", r"--data-dir=a\x00b will not do; give a folder"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_mend(name: str, text: str, line: str) -> None:
    """The line names the flag and the value as they were written, and says what would do."""
    mode = {} if name == "mode" else BATCHES

    message = refusal(mode | {name: text})

    assert message.startswith(f"{TABLE[name].flag}=")
    assert line in message


def test_a_switch_in_a_variable_is_refused_by_its_value() -> None:
    """A flag has no value to show, a variable has."""
    assert refusal(TRIOWORKER_LOG_STATEMENTS="maybe") == (
        "TRIOWORKER_LOG_STATEMENTS=maybe will not do;"
        " give 1 or 0 (also true, false, yes, no, on, off)"
    )


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("localhost:5432/jobs", "DATABASE_URL will not do; give an address such as postgresql://"),
        ("mysql://localhost/jobs", "DATABASE_URL will not do; give an address such as"),
        ("postgresql://me:secret\udcff@localhost/jobs", "DATABASE_URL will not do"),
        ("postgresql://me:secret]@localhost/jobs", "DATABASE_URL will not do"),
        ("postgresql://me:secret℀@localhost/jobs", "DATABASE_URL will not do"),
        ("postgresql://me:secret@localhost:http/jobs", f"DATABASE_URL: {PORT}"),
        ("postgresql://me:secret@localhost:0/jobs", f"DATABASE_URL: {PORT}"),
        ("postgresql://me:secret@localhost:65536/jobs", f"DATABASE_URL: {PORT}"),
        ("postgresql://me:sec/ret@localhost/jobs", f"DATABASE_URL: {PORT}"),
        ("postgresql://me:sec?ret@localhost/jobs", f"DATABASE_URL: {PORT}"),
        ("postgresql://me:sec#ret@localhost/jobs", f"DATABASE_URL: {PORT}"),
    ],
)
def test_an_address_that_cannot_be_one_is_refused(url: str, line: str) -> None:
    """What no driver could use is found out before one tries, and never shown."""
    message = refusal(DATABASE_URL=url)

    assert message.startswith(line)
    assert "sec" not in message


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("api_key", "short-hush-key0"),
        ("api_key", "hush" * 51),
        ("api_key", "a key with hush in it"),
        ("api_key", "hush-hush-hush-hush-é"),
        ("api_key", "hush-hush-hush-hush\n"),
        ("api_key", "hush-hush-hush-hush\0"),
        ("api_key", "hush-hush-hush-\udcff"),
        ("agent_secret", "hush" * 7 + "abc"),
        ("agent_secret", "-----BEGIN PUBLIC KEY-----\nhush\n-----END PUBLIC KEY-----"),
        ("agent_secret", '{"kty":"oct","k":"hush-hush-hush-hush-hush"}'),
    ],
)
def test_a_secret_that_will_not_do_is_not_shown(name: str, word: str) -> None:
    """Too short to be one, or of what would not pass a header; the line says what would do."""
    setting = TABLE[name]
    bounds = "16 to 200" if name == "api_key" else "32 to 200"
    for line, source in (
        (refusal({name: word}), setting.flag),
        (refusal(**{setting.variable: word}), setting.variable),
    ):
        assert line == f"{source} will not do; give {bounds} letters, digits and -._~+/="


@given(word=st.text(min_size=8), scheme=st.sampled_from(["postgresql", "postgres", "mysql"]))
@example(word="p4ss/word", scheme="postgresql")
@example(word="p4ssword]", scheme="postgresql")
def test_a_password_is_never_shown(word: str, scheme: str) -> None:
    """However a password breaks its address, no part of it stands in the message."""
    message = told(DATABASE_URL=f"{scheme}://me:{word}@localhost/jobs")

    assert not any(piece in message for piece in pieces(word))


def pieces(word: str) -> list[str]:
    """Its pieces of four characters, but for what the messages hold anyway."""
    said = refusal(DATABASE_URL="x") + PORT
    found = {word[at : at + 4] for at in range(len(word) - 3)}
    return [piece for piece in found if piece not in said]


@given(word=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_password_that_is_quoted_is_read(word: str) -> None:
    """What the message advises works: %2F for / and so on."""
    url = f"postgresql://me:{quote(word, safe='')}@localhost/jobs"

    assert read(DATABASE_URL=url).database_url == url


@given(setting=st.sampled_from([*TABLE.values()]), text=awkward)
@settings(max_examples=1_000)
def test_any_text_is_a_value_or_one_line(setting: Setting, text: str) -> None:
    """No text, of whatever kind, makes a setting fail otherwise than by one printable line."""
    for message in (told({setting.name: text}), told(**{setting.variable: text})):
        assert message == "" or message.startswith((setting.flag, setting.variable))
        assert message.isprintable()


@given(size=st.integers(), bounds=st.sampled_from(["batch_commit_size", "concurrency"]))
def test_a_whole_number_is_read_within_its_bounds_only(size: int, bounds: str) -> None:
    """The bounds belong to the range, and nothing outside does."""
    try:
        found: Any = getattr(read(BATCHES | {bounds: str(size)}), bounds)
    except SettingsError:
        found = None
    assert found == (size if 1 <= size <= 10_000 else None)


@given(found=st.lists(st.text(), min_size=1))
def test_tags_that_are_read_can_be_stored(found: list[str]) -> None:
    """Each tag is there once, has no space around it, and fits its column."""
    try:
        tags = read({"tags": ",".join(found)}).tags
    except SettingsError:
        return
    assert list(tags.names) == list(dict.fromkeys(tags.names))
    for tag in tags.names:
        assert tag == tag.strip()
        assert 1 <= len(tag.encode()) <= TAG_BYTES_MAX
        assert "\0" not in tag


def test_the_shortest_pause_can_grow() -> None:
    """The shortest `--poll-s` is no shorter than the first pause of an idle worker."""
    assert IDLE_FIRST_S <= SECONDS_MIN


def test_every_default_is_a_value_of_its_kind() -> None:
    """What a setting is when nobody sets it could also be set."""
    for setting in TABLE.values():
        if setting.default is not None:
            flags = BATCHES | {setting.name: setting.default_is}
            assert getattr(read(flags), setting.name) == setting.default


def test_a_name_of_the_longest_size_is_read() -> None:
    """The bound itself is allowed."""
    assert read({"worker_name": "n" * TEXT_BYTES_MAX}).worker_name == "n" * TEXT_BYTES_MAX
