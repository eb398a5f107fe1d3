"""Read and check YAML sections, and say what is wrong by the key's full path. Knows no key itself."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from components.errors import ConfigError, UnknownNameError

HIDDEN_INPUT = "hidden_input"
"""The type of a pydantic error whose input is not repeated: `PydanticCustomError(HIDDEN_INPUT, …)`."""
CONFIG_DIR = Path("pipelines/configs")


class Section(BaseModel):
    """A part of a configuration file: frozen, and every unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


S = TypeVar("S", bound=Section)


def config_path(model: str, root: Path = Path()) -> Path:
    """Return where a model's configuration stands."""
    return root / CONFIG_DIR / f"{model}.yaml"


def read_yaml(path: Path) -> dict[str, Any]:
    """Return a configuration file's top-level mapping.

    Raises:
        UnknownNameError: there is no such file.
        ConfigError: it is not YAML, or not a mapping.
    """
    if not path.is_file():
        known = sorted(each.stem for each in path.parent.glob("*.yaml"))
        raise UnknownNameError(
            f"no configuration {path}{nearest(path.stem, known)}; there are: {', '.join(known) or 'none'}"
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds {type(content).__name__}, expected a mapping with `models` and `trainings`")
    return content


def read_section(path: Path, key: str, section: type[S]) -> S:
    """Return one section of a configuration file, checked.

    Args:
        path: The YAML file.
        key: The section's dotted path, for example ``models.taxi.features``.
        section: What it must look like.

    Raises:
        UnknownNameError: there is no such file.
        ConfigError: the section is missing, or something in it is wrong.
    """
    content: Any = read_yaml(path)
    for depth, part in enumerate(parts := key.split(".")):
        if not isinstance(content, dict) or part not in content:
            where = ".".join(parts[: depth + 1])
            raise ConfigError(f"{path}: key `{where}` is missing; add it (`towpath config schema` shows its form)")
        content = content[part]
    return check_section({} if content is None else content, section, path, key)


def check_section(content: Any, section: type[S], path: Path, key: str) -> S:
    """Return `content` as `section`.

    Raises:
        ConfigError: something in it is wrong; the message names the first wrong key by its full path.
    """
    try:
        return section.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_sentence(error, section, key)}") from error


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean `x`?)``, or nothing when no known name is near."""
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean `{matches[0]}`?)" if matches else ""


def _sentence(error: ValidationError, section: type[BaseModel], key: str) -> str:
    # an unknown key first: a mistyped name explains the required one that seems to be missing
    first, *others = sorted(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    location = [str(part) for part in first["loc"]]
    where = ".".join([key, *location]) if key else ".".join(location)
    more = f" ({len(others)} more in this section)" if others else ""
    if first["type"] == "extra_forbidden":
        names = _names(section, location[:-1])
        return f"unknown key `{where}`{nearest(location[-1], names)}; known here: {', '.join(sorted(names))}{more}"
    given = f", found {first['input']!r}" if first["type"] not in ("missing", HIDDEN_INPUT) else ""
    return f"key `{where}`: {first['msg'][0].lower()}{first['msg'][1:]}{given}{more}"


def _names(section: type[BaseModel], location: list[str]) -> set[str]:
    """Return the keys allowed at `location`, looking through lists, mappings, unions and their discriminators."""
    candidates = reduce(_step, location, [section])
    return {name for candidate in candidates for name in candidate.model_fields}


def _step(candidates: list[type[BaseModel]], part: str) -> list[type[BaseModel]]:
    fields = [c.model_fields[part].annotation for c in candidates if part in c.model_fields]
    if fields:
        return [model for field in fields for model in _models(field)]
    tagged = [c for c in candidates if part in get_args(getattr(c.model_fields.get("kind"), "annotation", None))]
    return tagged or candidates


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]
