"""`python -m binpose`, which `torchrun -m binpose` starts in each of its processes."""

import sys

from binpose.cli import main

sys.exit(main())
