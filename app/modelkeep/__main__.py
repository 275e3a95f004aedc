"""`python -m modelkeep` is the program."""

from modelkeep.start import main

main()
