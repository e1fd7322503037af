"""The rooms of the building: one module each, forms beside views of a few lines. They never import one another."""
