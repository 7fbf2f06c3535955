"""Starts the unmodified contrail-api-cli 0.3.0 on Python 3.11, for which it was not written.

Three things have changed since: aliases left ``collections``, a generator may no longer raise
StopIteration to end, and a method its path class overrides takes other arguments. Nothing of the
client is edited; its modules are changed while they are loaded.
"""

from __future__ import annotations

import ast
import collections
import collections.abc
import importlib.machinery
import importlib.util
import os.path
import sys

PACKAGE = "contrail_api_cli"
ROOT = "/"


class EndsAsReturn(ast.NodeTransformer):
    """Ends generators the way they end now."""

    def visit_Raise(self, node: ast.Raise) -> ast.stmt:
        if isinstance(node.exc, ast.Name) and node.exc.id == "StopIteration":
            return ast.copy_location(ast.Return(None), node)
        return node


class Loader(importlib.machinery.SourceFileLoader):
    """Compiles the client's modules itself, never from a cache made without the changes."""

    def path_stats(self, path):
        raise OSError(path)

    def source_to_code(self, data, path, *, _optimize=-1):
        tree = ast.fix_missing_locations(EndsAsReturn().visit(ast.parse(data, str(path))))
        return compile(tree, path, "exec", dont_inherit=True, optimize=_optimize)

    def exec_module(self, module) -> None:
        super().exec_module(module)
        if module.__name__ == f"{PACKAGE}.utils":
            module.Path._from_parsed_parts = classmethod(from_parsed_parts)


class Finder:
    """Hands the client's modules to the loader."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] != PACKAGE:
            return None
        found = importlib.machinery.PathFinder.find_spec(name, path, target)
        if found is None or found.origin is None:
            return found
        return importlib.util.spec_from_file_location(
            name,
            found.origin,
            loader=Loader(name, found.origin),
            submodule_search_locations=found.submodule_search_locations,
        )


def from_parsed_parts(cls, drive, root, parts):
    """Makes a path of the client; an absolute one without dots and never above the root."""
    if root:
        whole = os.path.normpath("/".join(("", *parts)))
        parts = [ROOT, *(part for part in whole.split("/") if part)]
    made = super(cls, cls)._from_parsed_parts(drive, root, parts)
    made.meta = {}
    return made


for alias in ("Iterable", "Mapping", "Sequence"):
    setattr(collections, alias, getattr(collections.abc, alias))
sys.dont_write_bytecode = True
sys.meta_path.insert(0, Finder())
sys.argv[0] = "contrail-api-cli"

from contrail_api_cli.main import main  # noqa: E402

main()
