"""From the journal to files, back from the files, and to other formats."""
