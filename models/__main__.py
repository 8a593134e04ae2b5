"""Command line of the models: train, fit, measure."""

import sys

from models.commands import main

sys.exit(main(sys.argv[1:]))
