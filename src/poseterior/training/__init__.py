"""Training: recipes, the Lightning module, runs that resume. Imports lightning: never at ``import poseterior``."""
