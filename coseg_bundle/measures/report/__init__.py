"""Pages to read: one self-contained HTML file for a slide, one for a cohort."""
