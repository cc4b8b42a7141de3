"""Reads the settings: packaged defaults, then a file, the environment and flags.

Unknown keys and bad values stop the start with their name and what is allowed.
"""

import os
import tomllib
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from server import presets
from server.config.checks import check
from server.config.sections import Config
from server.errors import ConfigError

ENV_PREFIX = "STEMBOX_"
SECRETS = ("metrics__token",)
PRESETS = "presets"  # the section whose keys are names that people give
MATCHING = "matching regex"  # in msgspec's words
NO_TOML = (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError)


def defaults_file() -> Path:
    """`config.toml`: in a checkout a link to the one at the top, in a wheel the file itself."""
    return Path(__file__).parents[1] / "config.toml"


def load(
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Config:
    """Reads the settings.

    Args:
        file: a TOML file whose keys override the defaults.
        environ: the environment (default: this process's).
        flags: `{"section.key": value}`; None values are left out.

    Raises:
        ConfigError: an unknown section or key, or a value that is not allowed.
    """
    raw = _read(defaults_file())
    if file is not None:
        _merge(raw, _read(file), str(file))
    _merge(raw, _from_env(os.environ if environ is None else environ), "environment")
    for name, value in (flags or {}).items():
        if value is not None:
            section, key = name.split(".")
            raw[section][key] = value
    named = raw.pop(PRESETS)
    try:
        config = msgspec.convert(raw | {PRESETS: {}}, Config, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(error)) from None
    config = msgspec.structs.replace(config, presets=_presets(named))
    check(config)
    return config


def forget_secrets(environ: MutableMapping[str, str]) -> None:
    """Removes what nobody else may know from an environment, however it is spelled there."""
    for name in list(environ):
        if name.startswith(ENV_PREFIX) and name.removeprefix(ENV_PREFIX).lower() in SECRETS:
            del environ[name]


def _presets(tables: Mapping[str, Any]) -> dict[str, presets.Preset]:
    found = {}
    for name, table in tables.items():
        try:
            found[name] = msgspec.convert(table, presets.Preset)
        except msgspec.ValidationError as error:
            reason, _, place = str(error).partition(" - at ")
            raise ConfigError(f"settings: presets.{name}{place.strip('`$')}: {reason}") from None
    presets.check(found)
    return found


def _explain(error: msgspec.ValidationError) -> str:
    reason, _, place = str(error).rpartition(" - at ")
    name = place.strip("`$.")
    section, _, key = name.partition("[")[0].partition(".")
    hints = get_type_hints(get_type_hints(Config).get(section), include_extras=True)
    allowed = ", ".join(_allowed(hints.get(key)))
    if MATCHING in reason and allowed:
        return f"settings: {name}: allowed: {allowed}"  # the pattern says it to programmers alone
    return f"settings: {name}: {reason}{allowed and f'; allowed: {allowed}'}"


def _allowed(kind: Any) -> Iterator[str]:
    """What values of a type may be, in words; nothing where the type's name says it all."""
    if get_origin(kind) is Literal:
        yield from map(str, get_args(kind))
    elif get_origin(kind) is Annotated:
        for meta in kind.__metadata__:
            if meta.description:
                yield meta.description
            elif meta.ge is not None and meta.le is not None:
                yield f"{meta.ge} to {meta.le:.16g}"
    elif kind is bool:
        yield from ("true", "false")
    else:
        for part in get_args(kind):
            yield from _allowed(part)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))  # as some editors write it
    except OSError as error:
        raise ConfigError(f"settings: cannot read {file}: {error.strerror}") from None
    except NO_TOML as error:
        raise ConfigError(f"settings: {file}: {error}") from None


def _merge(raw: dict[str, Any], more: Mapping[str, Any], origin: str) -> None:
    for section, keys in more.items():
        if section not in raw:
            raise ConfigError(
                f"settings: unknown section {section!r} in {origin}; allowed: {', '.join(raw)}"
            )
        if not isinstance(keys, Mapping):
            raise ConfigError(f"settings: {section!r} in {origin} must be a section of keys")
        for key, value in keys.items():
            if key not in raw[section] and section != PRESETS:
                raise ConfigError(
                    f"settings: unknown key {section}.{key} in {origin}; "
                    f"allowed: {', '.join(raw[section])}"
                )
            raw[section][key] = value


def _from_env(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """`STEMBOX_SERVER__PORT=9000` as `{"server": {"port": "9000"}}`; lists are comma separated, and
    a preset is the TOML of its table."""
    sections = get_type_hints(Config)
    found: dict[str, dict[str, Any]] = {}
    for name, text in environ.items():
        if not name.startswith(ENV_PREFIX):
            continue
        section, apart, key = name.removeprefix(ENV_PREFIX).lower().partition("__")
        if not apart:
            _check_spelling(name, sections)
            continue
        if section == PRESETS:
            found.setdefault(section, {})[key] = _table(text, name)
            continue
        kind = get_type_hints(sections[section]).get(key) if section in sections else None
        is_list = getattr(kind, "__origin__", None) is list
        value = [part.strip() for part in text.split(",") if part.strip()] if is_list else text
        found.setdefault(section, {})[key] = value
    return found


def _check_spelling(name: str, sections: Mapping[str, Any]) -> None:
    """A variable of ours that is no setting is somebody else's, unless one underline is missing."""
    words = name.removeprefix(ENV_PREFIX).lower()
    if words.startswith("_"):
        raise ConfigError(f"settings: {name} in environment has no section: it must be written "
                          f"{ENV_PREFIX}SECTION_{words.upper()}")  # fmt: skip
    for section, kind in sections.items():
        if section == PRESETS:  # whose names are not known, but which nobody else has
            if f"{words}_".startswith(f"{PRESETS}_"):
                raise ConfigError(f"settings: {name} in environment: it must be written "
                                  f"{ENV_PREFIX}{PRESETS.upper()}__NAME")  # fmt: skip
            continue
        key = words.removeprefix(f"{section}_")
        if key != words and key in get_type_hints(kind):
            raise ConfigError(
                f"settings: {name} in environment: it must be written "
                f"{ENV_PREFIX}{section.upper()}__{key.upper()}"
            )


def _table(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except NO_TOML as error:
        raise ConfigError(f"settings: {name}: {error}") from None
