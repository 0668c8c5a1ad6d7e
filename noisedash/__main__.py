"""`python -m noisedash` is the command `noisedash`."""

from noisedash.cli import main

main()
