"""The experiments of papers as runs of recipes, with their figures."""
