"""How keys and secrets begin: by that people tell them apart, and the log knows what to hide."""

from typing import Final

LIVE_KEY: Final = "sk_live_"
TEST_KEY: Final = "sk_test_"  # as long as the other
WEBHOOK_SECRET: Final = "whsec_"
SHOWN: Final = len(LIVE_KEY) + 8  # characters of a key that name it in lists
