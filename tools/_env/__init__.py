"""How `.venv` is made. Standard library only: this runs before anything is installed."""
