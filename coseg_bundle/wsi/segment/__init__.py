"""What is segmented: where there is tissue, tiles through the network, one map per slide, nuclei and tissue on it."""
