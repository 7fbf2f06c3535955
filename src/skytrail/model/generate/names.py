"""Generates the names by which a person may call an object type, for the command line."""

from __future__ import annotations

from skytrail.model.catalog_types import Catalog
from skytrail.model.generate.python_text import HEADER


def type_names(catalog: Catalog) -> dict[str, str]:
    """Lower-case name -> object type: full, joined (class) and short names.

    A name claimed by two types is a ValueError.
    """
    names: dict[str, str] = {}
    for entry in catalog.objects.values():
        full = entry.name.lower()
        for name in dict.fromkeys((full, entry.class_name.lower(), *entry.short_names)):
            if name in names:
                raise ValueError(f"both {names[name]} and {entry.name} are called {name!r}")
            names[name] = entry.name
    return dict(sorted(names.items()))


def names_module(catalog: Catalog) -> str:
    """Source of `generated/names.py`."""
    rows = "".join(f'    "{key}": "{value}",\n' for key, value in type_names(catalog).items())
    return (
        f'"""Names of object types for people: full, joined and short.\n\n{HEADER}\n"""\n\n'
        f"TYPE_NAMES: dict[str, str] = {{\n{rows}}}\n"
    )
