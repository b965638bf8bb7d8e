"""`python -m bessemer.interfaces.cli`: the command line where no script is installed."""

from bessemer.interfaces.cli.main import main

main()
