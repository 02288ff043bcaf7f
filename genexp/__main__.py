"""``python -m genexp``."""

from genexp.cli import main

if __name__ == "__main__":
    main()
