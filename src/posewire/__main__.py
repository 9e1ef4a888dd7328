"""`python -m posewire` is the command `posewire`."""

from posewire.cli import main

main()
