"""`python -m tipline`."""

from tipline.cli import main

if __name__ == "__main__":
    main()
