"""From flags and environment to `Settings`, or to one line that says what is wrong.

Rule of this file: a message names the source as the user wrote it, what is wrong, and the mend.
"""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from trioworker.errors import SettingsError, UsageError
from trioworker.model.batching import Mode
from trioworker.settings.setting import Setting
from trioworker.settings.table import TABLE, Settings


class _Given(msgspec.Struct, frozen=True):
    """A setting that somebody set, and where."""

    setting: Setting
    raw: str
    from_flag: bool

    @property
    def source(self) -> str:
        return self.setting.source(self.raw, from_flag=self.from_flag)


def read_settings(
    flags: Mapping[str, str | None],
    environment: Mapping[str, str],
    *,
    names: Collection[str] = TABLE.keys(),
    mode: Mode | None = None,
) -> Settings:
    """The settings `names`; all others have their defaults, whatever the environment says.

    `flags` are texts by the setting's name, None where a flag was not given. `mode` is the mode
    where nobody is asked for it. Raises `SettingsError`.
    """
    given = {
        name: found
        for name in names
        if (found := _given(TABLE[name], flags, environment)) is not None
    }
    _choose_database(given)
    values: dict[str, Any] = {name: _value(found) for name, found in given.items()}
    if mode is not None:
        values["mode"] = mode
    _fit_to_mode(values, given)
    _check_agent(values, given)
    settings = Settings(**values)
    _check_periodic(settings, given)
    _check_lease(settings, given)
    return settings


def _given(
    setting: Setting, flags: Mapping[str, str | None], environment: Mapping[str, str]
) -> _Given | None:
    flag = flags.get(setting.name)
    if flag is not None:
        return _Given(setting, flag, from_flag=True)
    variable = environment.get(setting.variable, "")
    return _Given(setting, variable, from_flag=False) if variable else None


def _value(given: _Given) -> object:
    kind = given.setting.kind
    try:
        return kind.read(given.raw)
    except UsageError as error:
        raise SettingsError(f"{given.source}: {error}") from None
    except ValueError:
        if _is_elsewhere(given):
            return given.setting.elsewhere
        raise SettingsError(f"{given.source} will not do; give {kind.shape}") from None


def _is_elsewhere(given: _Given) -> bool:
    return given.setting.elsewhere is not None and given.raw.strip() == str(given.setting.elsewhere)


def _choose_database(given: dict[str, _Given]) -> None:
    """One database: a flag's wins over a variable's, and two of the same source are a mistake."""
    url, data_dir = given.get("database_url"), given.get("data_dir")
    if url is None or data_dir is None:
        return
    if url.from_flag == data_dir.from_flag:
        raise SettingsError(
            f"{data_dir.source} is the folder of the embedded PostgreSQL, which {url.source}"
            " replaces; drop one of the two"
        )
    del given["data_dir" if url.from_flag else "database_url"]


def _fit_to_mode(values: dict[str, Any], given: Mapping[str, _Given]) -> None:
    mode = values.get("mode", TABLE["mode"].default)
    for setting in TABLE.values():
        found = given.get(setting.name)
        if mode in setting.modes:
            if found and _is_elsewhere(found):
                raise SettingsError(f"{found.source} will not do; give {setting.kind.shape}")
            continue
        if found and not _is_elsewhere(found):
            raise SettingsError(_unused(found, mode))
        if setting.elsewhere is not None:
            values[setting.name] = setting.elsewhere


def _check_agent(values: Mapping[str, Any], given: Mapping[str, _Given]) -> None:
    """An agent has a server and a token, and then no database."""
    url, token = given.get("base_internal_url"), given.get("agent_token")
    if url is None and (token is not None or values.get("mode") is Mode.AGENT):
        raise SettingsError("an agent needs to know its server; set BASE_INTERNAL_URL")
    if url is None:
        return
    if token is None:
        raise SettingsError(
            f"{url.source} asks who comes; set AGENT_TOKEN to what `trioworker token create` prints"
        )
    for found in given.values():
        if found.setting.modes - {Mode.AGENT_BATCH} and Mode.AGENT not in found.setting.modes:
            raise SettingsError(
                f"{found.source}: an agent of {url.source} has no database of its own, and takes"
                " the tags of its token; drop one of the two"
            )


def _check_periodic(settings: Settings, given: Mapping[str, _Given]) -> None:
    """How often a script is run, somebody may say who has said which."""
    often = given.get("periodic_s")
    usual = settings.periodic_s == TABLE["periodic_s"].default
    if often is not None and not usual and settings.periodic_script is None:
        raise SettingsError(
            f"{often.source}: there is no periodic script; name one with --periodic-script"
        )


def _unused(found: _Given, mode: Mode) -> str:
    users = sorted(found.setting.modes)
    others = " or ".join(f"--mode {user}" for user in users)
    return f"{found.source}: the mode {mode} does not use it; drop it, or choose {others}"


def _check_lease(settings: Settings, given: Mapping[str, _Given]) -> None:
    if settings.lease_s > 2 * settings.heartbeat_s:
        return
    found = given.get("lease_s") or given["heartbeat_s"]
    raise SettingsError(
        f"{found.source}: a lease of {settings.lease_s:g} s is too short for a heartbeat every"
        f" {settings.heartbeat_s:g} s; it must be more than twice as long"
    )
