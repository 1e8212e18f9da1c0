"""The environment variables of settings: read them, and say which one is wrong."""

import re
import sys
from collections.abc import Iterator
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsError

Kind = TypeVar("Kind", bound=BaseSettings)


def load(kind: type[Kind]) -> Kind:
    """Return the settings in the environment.

    A wrong one ends the process with exit status 2 and one line on stderr: the variable, what is allowed, and what was
    given, unless that could be a secret: only a number, a truth value or a choice can't.
    """
    try:
        return kind()
    except ValidationError as error:
        reasons = [_explain(kind, one["loc"], one["type"], one["input"]) or one["msg"] for one in error.errors()]
    except SettingsError as error:  # a value that should be JSON; the text names the field
        reasons = [_explain(kind, tuple(re.findall(r'field "(\w+)"', str(error))), "json", None) or str(error)]
    print("wrong settings:", "; ".join(reasons), file=sys.stderr)
    sys.exit(2)


class Variable(NamedTuple):
    """An environment variable, and what it sets: `place` as in pydantic's errors, `model` if its value has fields."""

    place: tuple[str, ...]
    name: str
    field: FieldInfo
    model: type[BaseModel] | None

    @property
    def kind(self) -> str:
        """The type, as it is written."""
        kind = self.field.annotation
        return kind.__name__ if isinstance(kind, type) and not get_args(kind) else re.sub(r"\b\w+\.", "", str(kind))


def variables(kind: type[BaseModel], prefix: str = "", place: tuple[str, ...] = ()) -> Iterator[Variable]:
    """Yield the variable of each setting, and after that of a model those of its fields."""
    config: Any = kind.model_config
    prefix = prefix or config.get("env_prefix", "")
    for name, field in kind.model_fields.items():
        alias = field.validation_alias
        alias = alias.choices[0] if isinstance(alias, AliasChoices) else alias
        key = alias if isinstance(alias, str) else name
        variable = (key if alias and not place else prefix + key).upper()
        models = [one for one in _types(field) if isinstance(one, type) and issubclass(one, BaseModel)]
        yield Variable((*place, key), variable, field, models[0] if models else None)
        for model in models:
            yield from variables(model, f"{variable}{config.get('env_nested_delimiter') or '.'}", (*place, key))


def _explain(kind: type[BaseSettings], place: tuple[int | str, ...], what: str, given: object) -> str:
    found = [one for one in variables(kind) if one.place == place[: len(one.place)]]
    if not found:  # the settings as a whole
        return ""
    one = found[-1]
    origin, allowed = get_origin(one.field.annotation), one.field.description or one.kind
    if one.model or origin in (list, set, tuple, dict):
        allowed += f" ({one.kind}) as JSON, such as " + ('{"a": "b"}' if one.model or origin is dict else '["a", "b"]')
    seen = "missing" if what == "missing" else repr(given) if all(map(_is_open, _types(one.field))) else "wrong"
    return f"{one.name} is {seen}, allowed: {allowed}"


def _types(field: FieldInfo) -> tuple[Any, ...]:
    is_union = get_origin(field.annotation) in (Union, UnionType)
    return get_args(field.annotation) if is_union else (field.annotation,)


def _is_open(kind: object) -> bool:
    is_choice = get_origin(kind) is Literal or (isinstance(kind, type) and issubclass(kind, Enum))
    return is_choice or kind in (int, float, bool, NoneType)
