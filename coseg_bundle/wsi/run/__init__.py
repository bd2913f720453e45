"""A run: its plan, its journal, and the workers that do the steps that are missing."""
