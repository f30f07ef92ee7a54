"""``python -m chainrule.ops`` prints the page docs/operations.md."""

import sys

from chainrule.ops.document import page

if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # a page is UTF-8 on every system
    sys.stdout.write(page())
