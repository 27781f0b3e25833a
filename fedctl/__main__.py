"""`python -m fedctl` is `fedctl`."""

from fedctl.main import main

main()
