"""Measures: from nuclei and tissue to tables that a study can use. `docs/measures.md` defines every column."""
