"""The environment as settings, read by pydantic-settings."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource


class _Environment(EnvSettingsSource):
    """Takes a list or a mapping as JSON; other text goes on as it is, so that its field can say what it wants."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


def read_environment(model: type[BaseModel], prefix: str, nesting: str) -> dict[str, Any]:
    """Values of `model` that the environment sets, not yet validated."""
    settings_class: type[BaseSettings] = type(model.__name__, (model, BaseSettings), {"__module__": __name__})
    return _Environment(settings_class, env_prefix=prefix, env_nested_delimiter=nesting)()
