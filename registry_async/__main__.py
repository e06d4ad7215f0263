"""Run the command-line interface: ``python -m registry_async``."""

import sys

from registry_async.cli import main

sys.exit(main())
