"""A contract type that import-linter lacks: a package may import what is listed and no more.

Its own `forbidden` contract needs every bad import named beforehand; a pure core is better served
by a list of the few good ones. The standard library counts as good, but for its `refused` parts.
"""

import sys
from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class OnlyImportsContract(Contract):
    """`source` (a package) imports itself, `allowed`, and the standard library less `refused`."""

    type_name = "only_imports"

    source = fields.StringField()
    allowed = fields.SetField(subfield=fields.StringField())
    refused = fields.SetField(subfield=fields.StringField())
    broken_contract_guidance = fields.StringField(required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002, FBT001 - import-linter's signature
        """Look at direct imports: what an allowed module imports in turn is its own affair."""
        source = cast("str", self.source)
        good = self._good(source)
        found = [
            (importer, imported, detail["line_number"])
            for importer in sorted({source, *graph.find_descendants(source)})
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if not any(imported == name or imported.startswith(f"{name}.") for name in good)
            for detail in graph.get_import_details(importer=importer, imported=imported)
        ]
        return ContractCheck(kept=not found, metadata={"found": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """One line for each import, in import-linter's own words, and how to mend it."""
        for importer, imported, line in check.metadata["found"]:
            output.print_error(f"{importer} is not allowed to import {imported} (l.{line})")
        output.print(cast("str | None", self.broken_contract_guidance) or "")

    def _good(self, source: str) -> set[str]:
        allowed, refused = cast("set[str]", self.allowed), cast("set[str]", self.refused)
        return {source, *allowed, *(sys.stdlib_module_names - refused)}
