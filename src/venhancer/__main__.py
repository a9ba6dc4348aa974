"""`python -m venhancer` is the command line."""

from venhancer.cli.main import main

if __name__ == "__main__":
    main()
