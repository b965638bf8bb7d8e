"""A project's `.massgen-quality/eval_config.json`: who judges it, as another system's users have written it down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bessemer.cluster._layers import Layer
from bessemer.cluster.errors import SettingsError

EVAL_CONFIG = Path(".massgen-quality") / "eval_config.json"


class EvalConfig(BaseModel):
    """What the file says. Keys that are not known here are its own system's affair."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    eval_mode: str = "massgen"
    """Anything but `massgen` leaves judging as it is."""
    orchestrator: Literal["claude", "massgen"] = "claude"
    backends: list[str] = Field(default_factory=list)
    docker: bool = False


def read_eval_config(folder: Path) -> EvalConfig | None:
    """The file of this folder; None where there is none. Raises SettingsError naming the file and the key."""
    path = folder / EVAL_CONFIG
    try:
        value = json.loads(path.read_bytes())
        return EvalConfig.model_validate(value)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); mend or remove it") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise SettingsError(f"{path}: {key} is {first['input']!r}; {first['msg'].lower()}") from None
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: is not JSON ({error}); mend or remove it") from None


def eval_config_layer(folder: Path) -> Layer:
    """The file as settings: its backends, who orchestrates them, and the sandbox."""
    found = read_eval_config(folder)
    if found is None or found.eval_mode != "massgen":
        return Layer({}, {})
    judging: dict[str, Any] = {"orchestrator": "massgen"} if found.orchestrator == "massgen" else {}
    if found.backends:
        judging["backends"] = list(found.backends)
    values: dict[str, Any] = {"eval": judging} if judging else {}
    if found.docker:
        values["sandbox"] = {"door": "container"}
    place = str(folder / EVAL_CONFIG)
    return Layer(values, {(section, key): place for section, keys in values.items() for key in keys})
