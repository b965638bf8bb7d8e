"""Everything `bessemer doctor` looks at: the machine, and the models that can be reached from it."""

from __future__ import annotations

from pathlib import Path

from bessemer.actors.backends import PROVIDERS, key_variables
from bessemer.actors.backends._embedded_model import INSTALL_HINT, default_directory, is_assembled, parts
from bessemer.cluster.environment import Environment, Row, keys_present, look_around
from bessemer.cluster.errors import BessemerError
from bessemer.cluster.settings import Settings


def variables_of(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Variables that each provider's key is read from; providers without a key are left out."""
    found = {provider: key_variables(f"{provider}/any", settings.backends) for provider in PROVIDERS}
    return {provider: names for provider, names in found.items() if names}


def embedded_row(settings: Settings) -> Row:
    """The model that needs no key: its runtime, its parts, and whether it is assembled."""
    import importlib.util

    where = settings.backends.embedded.model_dir
    folder = Path(where).expanduser() if where else default_directory()
    if importlib.util.find_spec("xllamacpp") is None:
        remedy = f"to work without a key: {INSTALL_HINT} (1.1 GB)"
        return Row(name="embedded model", state="note", found="its runtime is not installed", remedy=remedy)
    if is_assembled(folder):
        return Row(name="embedded model", state="ok", found=f"assembled in {folder}")
    try:
        count = len(parts())
    except BessemerError as error:
        return Row(name="embedded model", state="note", found=error.message.partition(";")[0], remedy=INSTALL_HINT)
    return Row(name="embedded model", state="ok", found=f"all {count} parts installed; assembled at its first use")


def model_row(settings: Settings, embedded: Row) -> Row:
    """Whether any model can build here."""
    keyed = [provider for provider, there in keys_present(variables_of(settings)).items() if there]
    compatible = settings.backends.compatible.base_url
    local = ["embedded"] if embedded.state == "ok" else []
    reachable = [*keyed, *(["openai-compatible"] if compatible else []), *local]
    if reachable:
        return Row(name="a model", state="ok", found=", ".join(reachable))
    return Row(
        name="a model",
        state="missing",
        found="no key is set and the embedded model is not installed",
        remedy=f"set a key, for example ANTHROPIC_API_KEY in .env, or {INSTALL_HINT}",
    )


def examine(settings: Settings) -> Environment:
    """Look at everything."""
    embedded = embedded_row(settings)
    return look_around(settings, variables_of(settings), (embedded, model_row(settings, embedded)))
