"""What is measured of the nuclei and the tissue of a slide, a tissue class, a region, a cell of a grid."""
