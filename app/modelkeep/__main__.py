"""`python -m modelkeep` is the program."""

from modelkeep.start import main

if __name__ == "__main__":
    main()
