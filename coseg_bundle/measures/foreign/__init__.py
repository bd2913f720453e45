"""Nuclei of other programs as something to measure: GeoJSON, label maps, TIAToolbox' annotation stores."""
